"""What all caches of one directory share within a process: the open file, its locks, the fetches under way."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from pathlib import Path
from typing import Any

from warmtoken import _engine
from warmtoken.cache import paths
from warmtoken.cache.byte_locks import ByteLocks
from warmtoken.cache.file_systems import refuse_network_file_system
from warmtoken.cache.flights import Attempts, Flights
from warmtoken.cache.group_commit import GroupCommit, Operation
from warmtoken.cache.sealing import FOR_EVER
from warmtoken.cache.session_stamp import SessionStamp
from warmtoken.errors import CacheError, CacheRefusedError

_open: weakref.WeakValueDictionary[tuple[int, int], SharedStore] = weakref.WeakValueDictionary()
_open_lock = threading.Lock()


MAX_BYTES = 4 << 30
MAX_ENTRIES = 5_000_000
EVICTED_AT_ONCE = 10_000  # by a write, after it: a tenth of a second behind the gate
SWEEP_GRACE = 300  # seconds that an expired access token is kept
READER_CHECK_PAUSE = 60  # seconds
_fork_noted = False


class SharedStore:
    """The one store of a directory in this process.

    `clock` says what has expired; above `max_bytes` of records, or `max_entries` access tokens, access tokens are
    evicted, the soonest to expire first.
    """

    def __init__(
        self, directory: Path, map_size: int, clock: _engine.Clock, max_bytes: int, max_entries: int = MAX_ENTRIES
    ) -> None:
        self.directory = directory
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._readers_checked = clock.monotonic()
        self.evicted = 0
        self.locks = ByteLocks(directory / paths.GATE_FILE)
        self.unsaved_notes: dict[bytes, Any] = {}  # by lookup key, those that could not be written
        self.unsaved: list[Any] = []  # what the vaults of this directory could not write; `saving` guards it
        self.memories: weakref.WeakSet[_engine.Hits] = weakref.WeakSet()
        self.renew()
        data = directory / paths.DATA_FILE
        is_new = not data.exists()
        with self.locks.gate():
            paths.check_content(data)
            stamp = SessionStamp(directory / paths.STAMP_FILE)
            self.store = _engine.open_store(str(data), map_size)
        self._hold(stamp)
        if is_new:
            paths.sync_directory(directory)

    def renew(self) -> None:
        """Begin anew in a process that fork made: the threads that held these locks are not here."""
        self.flights = Flights()
        self.attempts = Attempts()
        self.saving = threading.Lock()
        self._writers = GroupCommit()

    def check(self) -> None:
        """Look at the files again: go on with those that are there now, and refuse what is none of ours."""
        self.locks = ByteLocks(self.directory / paths.GATE_FILE)
        with self.locks.gate():
            paths.check_content(self.directory / paths.DATA_FILE)
            stamp = SessionStamp(self.directory / paths.STAMP_FILE)
            if not self.store.is_current:
                self.store.reopen()
        self._hold(stamp)

    def _hold(self, stamp: SessionStamp) -> None:
        self._stamp = self.store.keeper = stamp
        self.store.gate = self.locks.gate

    @property
    def is_current(self) -> bool:
        """Whether the files at the path are still those that are open, not deleted or replaced by others."""
        return self.store.is_current and self.locks.is_current and self._stamp.is_current

    def commit(self, operations: list[Operation]) -> tuple[int, bool]:
        """Write `operations` in one synced transaction; return its id and whether what they expect was so.

        Threads that write at the same time share one transaction. Raises CacheError where nothing was written.
        """
        return self._writers.commit(operations, self._write)

    def keep_unsaved(self, replies: list[Any]) -> None:
        """Keep what could not be written for later; memory must not say any more that there is no such token."""
        self.unsaved += replies
        for hits in list(self.memories):
            hits.forget_absences()

    def heal(self) -> None:
        """Make the commit of a writer that died visible to readers, if there is one: an empty transaction does it.

        One that lives and holds the gate makes it visible itself, however long it may be stopped: nobody waits for it.
        """
        if not self.store.needs_heal:
            return
        if not self.locks.is_gate_free():
            self.store.heal_later()
            return
        self.commit([])
        self.store.healed()

    def sweep(self, limit: int) -> int:
        """Delete up to `limit` access tokens that expired a while ago, and return how many there were."""
        with self.locks.gate():
            return _engine.sweep(self.store, self._expired_before_ms(), limit)

    def _expired_before_ms(self) -> int:
        return int((self._clock.time() - SWEEP_GRACE) * 1000)

    def _write(self, batches: list[list[Operation]]) -> tuple[int, list[bool]]:
        with self.locks.gate():
            if self.store.has_lost_its_lock_file:  # a commit would go over those of others
                self.store.reopen()
            self._check_readers()
            written = _engine.commit(self.store, batches, self._expired_before_ms())
            with contextlib.suppress(CacheError):  # what is written is written; the next write tries again
                self._keep_within_budget()
            return written

    def _check_readers(self) -> None:
        # Only writers are hurt by what a dead reader still holds: old pages that cannot be used again.
        now = self._clock.monotonic()
        if now - self._readers_checked >= READER_CHECK_PAUSE:
            self._readers_checked = now
            _engine.check_readers(self.store)

    def _keep_within_budget(self) -> None:
        used, entries = _engine.usage(self.store)
        tokens = entries[_engine.ACCESS]
        surplus = max(0, tokens - self._max_entries)
        if used > self._max_bytes:
            surplus = max(surplus, 64 + int((used - self._max_bytes) / used * tokens))
        if surplus:
            self.evicted += _engine.sweep(self.store, FOR_EVER, min(surplus, EVICTED_AT_ONCE))


def check_lmdb(version: tuple[int, int, int]) -> None:
    """Refuse a liblmdb whose file format or bugs we do not know; warn of one that now and then fails to open."""
    text = ".".join(map(str, version))
    if version[:2] != (0, 9) or version < (0, 9, 24):
        raise CacheRefusedError(
            "lmdb_unsupported", f"expected liblmdb 0.9.24 or newer of the 0.9 series, got {text}; install one"
        )
    if (0, 9, 26) <= version <= (0, 9, 31):
        import warnings

        warnings.warn(
            f"liblmdb {text} sometimes fails to open a file that another process is closing; use 0.9.32 or newer",
            RuntimeWarning,
            stacklevel=2,
        )


def shared_store(
    directory: Path,
    map_size: int,
    clock: _engine.Clock | None = None,
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
) -> SharedStore:
    """Return the process's store for `directory`, opened if need be; the first to open it sets clock and budgets.

    Raises CacheError where the directory or a file in it cannot be used.
    """
    with _open_lock:
        if not _open:
            check_lmdb(_engine.lmdb_version())
        refuse_network_file_system(directory)
        prepared = paths.prepare(directory)
        refuse_network_file_system(prepared)  # also where a mount came up when the directory was looked at
        found = prepared.stat()
        shared = _open.get((found.st_dev, found.st_ino))
        if shared is None:
            shared = SharedStore(prepared, map_size, clock or _engine.Clock(), max_bytes, max_entries)
            _open[found.st_dev, found.st_ino] = shared
        else:
            _refuse_moved(shared.directory, prepared)
            shared.check()
        return shared


def _refuse_moved(before: Path, now: Path) -> None:
    # Under the name of before may be another cache by now, which is not to be taken for this one.
    if not (before.exists() and before.samefile(now)):
        raise CacheRefusedError(
            "path_refused", f"refused to use {now}: it is open as {before}, from where it was moved; close that first"
        )


def _renew_all() -> None:
    global _open_lock
    _open_lock = threading.Lock()
    for shared in list(_open.values()):
        shared.renew()


def _note_fork() -> None:
    # Children do well, but for each of them the parent's threads, locks and snapshot were copied to no use.
    global _fork_noted
    if _fork_noted or not _open:
        return
    _fork_noted = True
    import logging

    logging.getLogger("warmtoken").info(
        "process %d forked with the token cache open; the child opens it anew at its first use. "
        "Opening it in the children alone is the better way",
        os.getpid(),
    )


os.register_at_fork(after_in_parent=_note_fork, after_in_child=_renew_all)
