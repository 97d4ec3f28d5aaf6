"""Changes the root key and the data keys of a cache while other processes read and write it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.keyring import ACTIVE, DECRYPT_ONLY, KEY_SIZE, DataKey, Keyring, retired_name, wrap_keyring
from warmtoken.cache.live_sealer import LiveSealer, Wrapped
from warmtoken.cache.lookup_keys import KEYRING_KEY
from warmtoken.cache.sealing import RecordType, key_id, read_header
from warmtoken.cache.shared_store import SharedStore

PER_TRANSACTION = 64
_SEALED = (_engine.ACCESS, _engine.REFRESH, _engine.IDENTITY, _engine.ACCOUNT, _engine.APP, _engine.NOTE)
_KINDS = set(RecordType)


class DataKeyRotation(NamedTuple):
    """How many records were sealed anew, how many could not be read before or after, and how many keys were removed."""

    records: int
    unreadable: int
    retired_keys: int


def rotate_root_key(shared: SharedStore, sealer: LiveSealer, root_key: bytes) -> None:
    """Wrap the keyring with another root key, in one commit."""
    while True:
        now = sealer.reload()
        if _replace(shared, now, now.keyring, root_key):
            sealer.reload(root_key)
            return


def rotate_data_key(shared: SharedStore, sealer: LiveSealer) -> DataKeyRotation:
    """Seal all records with a new data key and remove the older ones.

    Raises CacheError where the cache cannot be written; what was done until then stays, and another call finishes it.
    """
    _activate_new_key(shared, sealer)
    total = 0
    while True:
        now = sealer.reload()
        found, done, unreadable = _reseal_all(shared, sealer)
        total += done
        active = [key for key in now.keyring.data_keys if key.state == ACTIVE]
        # Only a pass that found nothing to do proves that no record needs the older keys.
        if not found and _replace(shared, now, now.keyring._replace(data_keys=active), now.root_key):
            sealer.reload()
            return DataKeyRotation(total, unreadable, len(now.keyring.data_keys) - len(active))


def _activate_new_key(shared: SharedStore, sealer: LiveSealer) -> None:
    applied = False
    while not applied:
        now = sealer.reload()
        old = [key._replace(state=DECRYPT_ONLY) for key in now.keyring.data_keys]
        fresh = DataKey(ACTIVE, int(time.time()), os.urandom(KEY_SIZE))
        # From this commit on nobody writes with an older key: LiveSealer.guards.
        bars = [(_engine.PUT, _engine.META, retired_name(key_id(key.secret)), b"\1") for key in old]
        applied = _replace(shared, now, now.keyring._replace(data_keys=[fresh, *old]), now.root_key, bars)
    sealer.reload()


def _replace(
    shared: SharedStore, now: Wrapped, keyring: Keyring, root_key: bytes, more: list[Operation] | None = None
) -> bool:
    sealed = wrap_keyring(keyring, root_key, read_header(now.sealed).generation + 1)
    expected = (_engine.EXPECT, _engine.META, KEYRING_KEY, now.sealed)
    return shared.commit([expected, (_engine.PUT, _engine.META, KEYRING_KEY, sealed), *(more or [])])[1]


def _reseal_all(shared: SharedStore, sealer: LiveSealer) -> tuple[int, int, int]:
    # How many records were found that name an older key, how many were sealed anew, how many cannot be read.
    found = done = unreadable = 0
    for db, page in _pages(shared.store):
        stale = [(key, value) for key, value in page if sealer.is_stale(value)]
        resealed = [operations for key, value in stale if (operations := _reseal(sealer, db, key, value))]
        unreadable += len(stale) - len(resealed)
        found += len(resealed)
        if resealed and shared.commit(list(chain.from_iterable(resealed)))[1]:
            done += len(resealed)
    return found, done, unreadable


def _pages(store: _engine.Store) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    for db in _SEALED:
        for page in _engine.pages(store, db, b"", PER_TRANSACTION):
            yield db, page


def _reseal(sealer: LiveSealer, db: int, key: bytes, value: bytes) -> list[Operation]:
    # Nothing where the record does not verify: it was unreadable before, too.
    if len(value) <= 14 or value[14] not in _KINDS:
        return []
    kind = RecordType(value[14])
    plain = sealer.unseal(kind, key, value)
    if plain is None:
        return []
    put = (_engine.PUT, db, key, sealer.seal(kind, key, plain, read_header(value)))
    return [(_engine.EXPECT, db, key, value), *sealer.guards([put]), put]
