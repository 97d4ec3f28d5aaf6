"""The token cache as programs hold it: a directory, a key, opened at the first use."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from warmtoken import _engine
from warmtoken.cache.key_sources import UNENCRYPTED_KEY, GivenKey, KeySource, checked_key, resolve_key
from warmtoken.cache.keyring import open_keyring
from warmtoken.cache.live_sealer import LiveSealer
from warmtoken.cache.paths import default_directory
from warmtoken.cache.shared_store import MAX_BYTES, MAX_ENTRIES, SharedStore, shared_store
from warmtoken.cache.vault import Vault
from warmtoken.errors import ClientError

if TYPE_CHECKING:
    from typing import NoReturn

    from warmtoken.cache.rotation import DataKeyRotation
    from warmtoken.cache.stats import CacheStats
    from warmtoken.interop.msal_report import ImportReport

MAP_SIZE = 1 << 30
L1_ENTRIES = 16_384
L1_BYTES = 64 << 20
_SWEPT_AT_ONCE = 256

_caches: weakref.WeakSet[TokenCache] = weakref.WeakSet()


class TokenCache:
    """A token cache that all processes of this user share.

    `path` is a directory, made with mode 0700 if need be; None is the user's own cache in the state directory.
    `key` is 32 bytes, a callable that returns them, or the path of a key file (made if missing); None is the user's
    own key (docs/keys.md). `allow_unencrypted` in place of a key is for a cache that anybody who has the file can read.
    `map_size` is in bytes of address space, not of disk; it grows by itself to 8 GiB. Above `max_bytes` of records, or
    `max_entries` access tokens, access tokens are evicted, those that expire soonest first. `clock` is a test's
    (docs/testing.md). Opened at the first use, which raises CacheError where the directory, the file or the key is not
    right; then nothing changes. Raises TypeError and ValueError for arguments that cannot be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        key: KeySource = None,
        allow_unencrypted: bool = False,
        map_size: int = MAP_SIZE,
        max_bytes: int = MAX_BYTES,
        max_entries: int = MAX_ENTRIES,
        clock: _engine.Clock | None = None,
    ) -> None:
        if allow_unencrypted is not False and (allow_unencrypted is not True or key is not None):
            raise ValueError("expected allow_unencrypted=True without a key, or a key alone")
        # What a relative path names now, it goes on naming when the program changes its directory.
        self._path = None if path is None else Path(os.path.abspath(_checked_path(path)))
        self._key = None if key is None else _checked_source(key)
        self._is_encrypted = not allow_unencrypted
        self._map_size = _checked_size("map_size", map_size, _engine.LEAST_MAP_SIZE)
        self._max_bytes = _checked_size("max_bytes", max_bytes, 0)
        self._max_entries = _checked_size("max_entries", max_entries, 0)
        self._clock = _engine.Clock() if clock is None else _checked_clock(clock)
        self._lock = threading.Lock()
        _caches.add(self)
        self._vault: Vault | None = None
        self._hits: _engine.Hits | None = None
        self._closed = False
        self._is_inherited = False  # by a child that fork made: a daemon may have closed the descriptors

    def __repr__(self) -> str:
        unencrypted = "" if self._is_encrypted else ", allow_unencrypted=True"
        return f"TokenCache({str(self._path) if self._path else None!r}{unencrypted})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "expected no TokenCache to pickle or copy, since it holds an open file and perhaps a key; make one with "
            "the same path and key in each process: it has the same tokens"
        )

    def __enter__(self) -> TokenCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Forget the tokens in memory and let go of the file; the cache cannot be used afterwards."""
        with self._lock:
            self._closed = True
            self._let_go()

    def sweep(self) -> int:
        """Delete all access tokens that expired more than five minutes ago, and return how many there were.

        A few are deleted with each write anyway. Raises CacheError where the cache cannot be written.
        """
        shared, total = self.vault().shared, 0
        while swept := shared.sweep(_SWEPT_AT_ONCE):
            total += swept
        return total

    def stats(self) -> CacheStats:
        """Return what the cache holds and how it does, as this process sees it; CacheError if it cannot be opened."""
        from warmtoken.cache.stats import collect

        vault = self.vault()
        return collect(vault, self._open_hits())

    def import_msal(self, data: str | bytes) -> ImportReport:
        """Write what the text of an MSAL cache holds in one transaction, and return what was taken and what was not.

        All MSALs' files are read, those of Azure CLI too (docs/msal.md). What is in the cache stays where it is newer.
        Raises TypeError for what is no text, ClientError for a text that is no MSAL cache or too large for one, and
        CacheError where the cache cannot be written; then nothing was imported.
        """
        from warmtoken.interop.msal_import import import_into

        return import_into(self.vault(), data, self._clock.time())

    def export_msal(self, dialect: str = "python") -> str:
        """Return the tokens and accounts as the text of an MSAL cache, not encrypted.

        `dialect` is whose: "dotnet", "python", "java", "go" or "node". Raises TypeError and ValueError for
        another, CacheError where the cache cannot be read.
        """
        from warmtoken.interop.msal_export import export_from

        return export_from(self.vault(), dialect, self._clock.time())

    def rotate_key(self, new_key: GivenKey) -> None:
        """Make `new_key` the key of the cache, in one commit; the key before opens it no more.

        Other processes go on, and look at their own key again when they need to (docs/keys.md). Raises TypeError or
        ValueError for what is no key, CacheError where the cache cannot be written, ClientError for an unencrypted one.
        """
        from warmtoken.cache.rotation import rotate_root_key

        source = _checked_source(new_key)
        if not self._is_encrypted:
            raise ClientError(
                "cache_unencrypted", "expected an encrypted cache, this one is not; make a new one with a key"
            )
        vault = self.vault()
        root_key = resolve_key(source)
        rotate_root_key(vault.shared, vault.sealer, root_key)
        if isinstance(self._key, bytes):
            self._key = root_key  # callables and files are asked again: there the program puts the new key

    def rotate_data_key(self) -> DataKeyRotation:
        """Seal all tokens anew with a new data key while other processes go on, and return how many there were.

        The older data keys are removed. Raises CacheError where the cache cannot be written; a later call finishes.
        """
        from warmtoken.cache.rotation import rotate_data_key

        vault = self.vault()
        return rotate_data_key(vault.shared, vault.sealer)

    @property
    def is_encrypted(self) -> bool:
        """Whether the cache is for those alone who have its key; False with `allow_unencrypted`."""
        return self._is_encrypted

    @property
    def clock(self) -> _engine.Clock:
        """The clock that decides about expiry."""
        return self._clock

    @property
    def is_open(self) -> bool:
        """Whether the file has been opened by this object, and need not be looked at again just now."""
        return self._vault is not None and self._hits is not None and not (self._hits.check_due or self._is_inherited)

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def opened(self) -> tuple[Vault, _engine.Hits] | None:
        """Return the file as it was opened last and what is kept of it, None where it is not open; opens nothing.

        For the library's own layers.
        """
        vault, hits = self._vault, self._hits
        return None if vault is None or hits is None or not hits.is_live else (vault, hits)

    def vault(self) -> Vault:
        """Return the open file; for the library's own layers.

        Raises CacheError where it cannot be opened, ClientError after close().
        """
        vault, hits = self._vault, self._hits
        if vault is None or hits is None:
            return self._open()
        if hits.check_due or self._is_inherited or not hits.is_live:
            self._check(vault, hits)
            return self._vault or self._open()
        return vault

    def _check(self, vault: Vault, hits: _engine.Hits) -> None:
        # A file that was deleted or restored is another file: what was read from the old one says nothing any more.
        self._is_inherited = False
        if vault.shared.is_current and hits.is_live:
            hits.checked()
            return
        with self._lock:
            if self._hits is hits:
                self._let_go()

    def _let_go(self) -> None:
        if self._hits is not None:
            self._hits.abandon()
        self._vault = self._hits = None

    def view(self) -> _engine.View:
        """Return a new window on the results that this process keeps; for the library's own layers."""
        return self._open_hits().view()

    def _open_hits(self) -> _engine.Hits:
        self.vault()
        while (hits := self._hits) is None:  # closed, or opened anew, by another thread just now
            self.vault()
        return hits

    def _open(self) -> Vault:
        with self._lock:
            if self._closed:
                raise ClientError("cache_closed", "expected an open TokenCache, this one was closed; make a new one")
            if self._vault is None:
                directory = self._path or default_directory()
                shared = shared_store(directory, self._map_size, self._clock, self._max_bytes, self._max_entries)
                vault = Vault(shared, self._open_sealer(shared))
                self._hits = _engine.Hits(shared.store, self._clock, L1_ENTRIES, L1_BYTES)
                shared.memories.add(self._hits)
                self._vault = vault
            return self._vault

    def _open_sealer(self, shared: SharedStore) -> LiveSealer:
        if not self._is_encrypted:
            return LiveSealer(shared, open_keyring(shared, UNENCRYPTED_KEY), UNENCRYPTED_KEY, lambda: UNENCRYPTED_KEY)
        key = self._key
        root_key = resolve_key(key)
        return LiveSealer(shared, open_keyring(shared, root_key), root_key, lambda: resolve_key(key, make=False))

    def renew(self) -> None:
        """Begin anew in a process that fork made; for the library's own layers."""
        self._lock = threading.Lock()
        self._is_inherited = True


def _checked_path(path: str | os.PathLike[str]) -> str:
    named = path.__fspath__() if isinstance(path, os.PathLike) else path
    if not isinstance(named, str):
        raise TypeError(f"expected path to be a str, a pathlib.Path or None, got {type(path).__name__}")
    # An empty one would be the working directory: of a variable that is set, but to nothing.
    if not named or "\0" in named:
        raise ValueError(
            "expected path to name a directory, got an empty str or one with a NUL; None is the user's own"
        )
    return named


def _checked_clock(clock: object) -> _engine.Clock:
    if not isinstance(clock, _engine.Clock):
        raise TypeError(f"expected clock to be a warmtoken.testing.Clock or None, got {type(clock).__name__}")
    return clock


def _checked_source(key: GivenKey) -> GivenKey:
    if callable(key):
        return key
    return Path(os.path.abspath(key)) if isinstance(key, os.PathLike) else checked_key(key)


def _checked_size(name: str, size: object, least: int) -> int:
    if not isinstance(size, int):
        raise TypeError(f"expected {name} to be an int, got {type(size).__name__}")
    if not least <= size < 1 << 63:
        raise ValueError(f"expected {name} to be from {least} to {(1 << 63) - 1}, got {size}")
    return size


def _forget_locks_of_parent() -> None:
    # A thread of the parent may have been opening a cache; it is not here to let go of the lock.
    for cache in list(_caches):
        cache.renew()


os.register_at_fork(after_in_child=_forget_locks_of_parent)
