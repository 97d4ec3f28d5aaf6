"""Seals and unseals while other processes rotate the keys: takes the keyring up anew when a key is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.key_sources import UNENCRYPTED_KEY
from warmtoken.cache.keyring import Keyring, retired_name, stored_keyring, unwrap_keyring
from warmtoken.cache.lookup_keys import FILE_ID_KEY
from warmtoken.cache.sealing import MAGIC, Sealer, key_id
from warmtoken.cache.shared_store import SharedStore
from warmtoken.errors import CacheCorruptError, CacheError, CacheRefusedError

_PAUSE = 1.0  # seconds between two looks at a keyring that our root key does not open


class Wrapped(NamedTuple):
    """The keyring, its sealed record in the file, and the root key that opens it."""

    keyring: Keyring
    sealed: bytes
    root_key: bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class LiveSealer(Sealer):
    """The sealer of one cache file, with the data keys that are in the file's keyring.

    `root_key` opened `keyring`; `find_root_key` is asked again where a later keyring does not open with it.
    """

    def __init__(
        self, shared: SharedStore, keyring: Keyring, root_key: bytes, find_root_key: Callable[[], bytes]
    ) -> None:
        super().__init__([key.secret for key in keyring.data_keys], keyring.file_id)
        self._store = shared.store
        self._file_id = keyring.file_id
        self._wrapped = Wrapped(keyring, b"", root_key)
        self._find_root_key = find_root_key
        self._not_before = 0.0

    @property
    def index_key(self) -> bytes:
        """The key of the lookup keys, which does not change."""
        return self._wrapped.keyring.index_key

    @property
    def is_encrypted(self) -> bool:
        """Whether the root key is a secret."""
        return self._wrapped.root_key != UNENCRYPTED_KEY

    def is_stale(self, value: bytes) -> bool:
        """Tell whether a sealed record names another key than the one that seals now."""
        return value[:2] == MAGIC and value[4:12] != self.active

    def guards(self, operations: list[Operation]) -> list[Operation]:
        """Return what must hold for the operations to be written: this is their file, and their keys are in use."""
        sealed = {fields[3][4:12] for fields in operations if fields[0] in (_engine.PUT, _engine.PUT_TOKEN)}
        keys = [(_engine.EXPECT, _engine.META, retired_name(name), b"") for name in sealed]
        return [(_engine.EXPECT, _engine.META, FILE_ID_KEY, self._file_id), *keys]

    def renew_if_barred(self, guards: list[Operation]) -> bool:
        """Take up the newer keys where one of the guards does not hold, and tell whether that was so.

        Raises CacheRefusedError where no root key opens the keyring that has them, CacheError where it is another file.
        """
        self._check_file(_engine.read(self._store, _engine.META, FILE_ID_KEY)[1])
        barred = {
            fields[2] for fields in guards[1:] if _engine.read(self._store, _engine.META, fields[2])[1] is not None
        }
        if barred and retired_name(key_id(self.reload().keyring.data_keys[0].secret)) in barred:
            raise CacheCorruptError(
                "keyring_damaged", f"{self._store.path}: the active data key was retired; move the file away"
            )
        return bool(barred)

    def reload(self, root_key: bytes | None = None) -> Wrapped:
        """Take up the keyring as it is in the file now; `root_key` is tried before the one that opened it last.

        Raises CacheRefusedError where no root key opens it, CacheError where it is of another file; the keys in memory
        stay then.
        """
        self._check_file(_engine.read(self._store, _engine.META, FILE_ID_KEY)[1])
        sealed, file_id = stored_keyring(self._store)
        found = self._wrapped
        if sealed != found.sealed:
            root_key = self._opening(sealed, root_key or found.root_key)
            found = Wrapped(unwrap_keyring(self._store, root_key, sealed, file_id), sealed, root_key)
            self._wrapped = found
        # Always: of two threads that reload at once, the one with the older keys may come last.
        self.use([key.secret for key in found.keyring.data_keys])
        return found

    def _check_file(self, file_id: bytes | None) -> None:
        # As a child finds it that fork made long ago: nobody would find what was sealed for the file of before.
        if file_id != self._file_id:
            raise CacheError("cache_replaced", f"{self._store.path}: another cache has taken its place; try again")

    def _opening(self, sealed: bytes, root_key: bytes) -> bytes:
        if sealed[4:12] == key_id(root_key):
            return root_key
        try:
            return self._find_root_key()
        except CacheError:
            raise
        except Exception as error:
            # A program's own callable, in the middle of a read or a write: not at its request, as when it is opened.
            raise CacheRefusedError(
                "key_unavailable",
                f"{self._store.path}: expected the new key of the cache, since another process has changed it, "
                f"from where the old one came from, got {type(error).__name__}; see to it that it is there",
            ) from error

    def find_missing_key(self) -> bool:
        """Take up the keyring anew for a record whose key is not here, and tell whether that could be done."""
        # A reader goes on without what it cannot read; a key that has not come yet is looked for now and then.
        if time.monotonic() < self._not_before:
            return False
        try:
            self.reload()
        except CacheError:
            self._not_before = time.monotonic() + _PAUSE
            return False
        return True


def commit_sealed(shared: SharedStore, sealer: LiveSealer, seal: Callable[[], list[Operation]]) -> bool:
    """Write what `seal` returns in one transaction, and tell whether what it expects was so.

    What was sealed with a key that was retired before the commit is not written: it is sealed anew.
    """
    while True:
        operations = seal()
        guards = sealer.guards(operations)
        if shared.commit([*guards, *operations])[1]:
            return True
        if not sealer.renew_if_barred(guards):
            return False
