"""The keys inside the cache file: one for lookup keys, one or more for data, all wrapped by the root key."""

from __future__ import annotations

import os
import time
from struct import Struct
from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache.key_sources import UNENCRYPTED_KEY
from warmtoken.cache.lookup_keys import FILE_ID_KEY, KEYRING_KEY
from warmtoken.cache.sealing import Header, RecordType, Sealer, key_id
from warmtoken.cache.shared_store import SharedStore
from warmtoken.errors import CacheCorruptError, CacheRefusedError

VERSION = 1
KEY_SIZE = 32
FILE_ID_SIZE = 16
ACTIVE, DECRYPT_ONLY = 1, 2
_HEAD = Struct("<BB32s")
_ENTRY = Struct("<Bq32s")


class DataKey(NamedTuple):
    """A key that seals records; `state` is ACTIVE or DECRYPT_ONLY, `created` in Unix seconds."""

    state: int
    created: int
    secret: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Keyring(NamedTuple):
    """The index key, the data keys (the active one first) and the id of the file they belong to."""

    index_key: bytes
    data_keys: list[DataKey]
    file_id: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def open_keyring(shared: SharedStore, root_key: bytes) -> Keyring:
    """Return the keyring of a cache file, made if the file is new.

    Raises CacheRefusedError where the root key is not the one that the file was made with.
    """
    if _engine.read(shared.store, _engine.META, KEYRING_KEY)[1] is None and not any(_engine.usage(shared.store)[1]):
        _create(shared, root_key)
    return unwrap_keyring(shared.store, root_key, *stored_keyring(shared.store))


def stored_keyring(store: _engine.Store) -> tuple[bytes, bytes]:
    """Return the sealed keyring and the file's id; CacheCorruptError where there is none."""
    sealed = _engine.read(store, _engine.META, KEYRING_KEY)[1]
    file_id = _engine.read(store, _engine.META, FILE_ID_KEY)[1]
    if sealed is None or file_id is None or len(file_id) != FILE_ID_SIZE:
        raise CacheCorruptError(
            "keyring_missing", f"{store.path}: expected a keyring in the cache file, found none; move the file away"
        )
    return sealed, file_id


def retired_name(data_key_id: bytes) -> bytes:
    """Return the key in `meta` of the record that bars a data key from sealing."""
    return (b"retired " + data_key_id).ljust(32, b"\0")


def wrap_keyring(keyring: Keyring, root_key: bytes, generation: int) -> bytes:
    """Return the keyring sealed with the root key; `generation` counts how often it was written."""
    sealer = Sealer([root_key], keyring.file_id)
    return sealer.seal(RecordType.KEYRING, KEYRING_KEY, _pack(keyring), Header(0, 0, generation))


def _create(shared: SharedStore, root_key: bytes) -> None:
    # Of several processes that get here at once, one wins and the others read what it wrote.
    file_id = os.urandom(FILE_ID_SIZE)
    fresh = Keyring(os.urandom(KEY_SIZE), [DataKey(ACTIVE, int(time.time()), os.urandom(KEY_SIZE))], file_id)
    shared.commit(
        [
            (_engine.EXPECT, _engine.META, KEYRING_KEY, b""),
            (_engine.PUT, _engine.META, KEYRING_KEY, wrap_keyring(fresh, root_key, 1)),
            (_engine.PUT, _engine.META, FILE_ID_KEY, file_id),
        ]
    )


def unwrap_keyring(store: _engine.Store, root_key: bytes, sealed: bytes, file_id: bytes) -> Keyring:
    """Return the keyring that `root_key` sealed; CacheRefusedError where another key did."""
    if sealed[4:12] != key_id(root_key):
        raise CacheRefusedError(
            "wrong_key",
            f"{store.path}: {_expected(sealed, root_key)}, or another path for a new cache. Nothing was changed",
        )
    plain = Sealer([root_key], file_id).unseal(RecordType.KEYRING, KEYRING_KEY, sealed)
    if plain is None:
        raise CacheCorruptError(
            "keyring_damaged", f"{store.path}: the keyring does not verify: the file was damaged; move it away"
        )
    return _unpack(plain, file_id)


def _expected(sealed: bytes, root_key: bytes) -> str:
    if sealed[4:12] == key_id(UNENCRYPTED_KEY):
        return "this cache was made with allow_unencrypted=True, got a key; pass the same"
    if root_key == UNENCRYPTED_KEY:
        return "expected the key that this cache was made with, got allow_unencrypted=True; pass that key"
    return "expected the key that this cache was made with, got another one; pass that key"


def _pack(keyring: Keyring) -> bytes:
    head = _HEAD.pack(VERSION, len(keyring.data_keys), keyring.index_key)
    return head + b"".join(_ENTRY.pack(*key) for key in keyring.data_keys)


def _unpack(plain: bytes, file_id: bytes) -> Keyring:
    version, count, index_key = _HEAD.unpack_from(plain)
    if version != VERSION:
        raise CacheCorruptError(
            "keyring_version", f"expected a keyring of version {VERSION}, got {version}: use a newer warmtoken"
        )
    keys = [DataKey(*_ENTRY.unpack_from(plain, _HEAD.size + i * _ENTRY.size)) for i in range(count)]
    return Keyring(index_key, sorted(keys, key=lambda key: key.state), file_id)
