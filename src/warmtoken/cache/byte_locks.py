"""Locks between processes that the kernel releases when their holder dies: one byte of a file each."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from warmtoken.cache.paths import cannot, close_if_of, identity_at, is_descriptor_of, is_still_at
from warmtoken.errors import CacheLockedError

GATE = 0  # before every write; all other offsets are tokens that are being fetched
GATE_DEADLINE = 2.0  # seconds

_Identity = tuple[int, int]


class _Descriptors:
    # Closing any descriptor of a file drops all locks that this process has on it. So there is one for each file,
    # counted, and closed only where the next one is opened, under the lock, never by whoever collects garbage.
    def __init__(self) -> None:
        self._open: dict[_Identity, int] = {}
        self._users: dict[_Identity, int] = {}
        self.dropped: deque[_Identity] = deque()
        self.forget_those_inside()

    def forget_those_inside(self) -> None:
        """Begin without anybody behind a gate, and with nobody who holds a lock."""
        self.lock = threading.Lock()
        self.inside: dict[_Identity, set[object]] = {}

    def take(self, path: Path) -> tuple[_Identity, int]:
        with self.lock:
            found = identity_at(path)
            if found not in self._open or not is_descriptor_of(self._open[found], found):
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                opened = os.fstat(fd)
                found = opened.st_dev, opened.st_ino
                self._open[found] = fd
            self._users[found] = self._users.get(found, 0) + 1
            self._close_unused()
            return found, self._open[found]

    def _close_unused(self) -> None:
        while self.dropped:
            identity = self.dropped.popleft()
            self._users[identity] -= 1
            if not self._users[identity]:
                del self._users[identity]
                close_if_of(self._open.pop(identity), identity)


_descriptors = _Descriptors()


class ByteLocks:
    """POSIX record locks on a file of their own.

    They exclude other processes, not other threads of this one. A child made by fork does not inherit them.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._identity, self._fd = _descriptors.take(path)
        except OSError as error:
            raise cannot("write", path, error) from error
        self._path = path

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            _descriptors.dropped.append(self._identity)

    @property
    def is_current(self) -> bool:
        """Whether the file at the path is still the one that is locked, not deleted or replaced by another."""
        return is_still_at(self._path, self._fd, self._identity)

    def try_lock(self, offset: int) -> bool:
        """Lock the byte at `offset` if no other process has it, and tell whether it is ours now."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):  # POSIX allows EAGAIN and EACCES for "somebody else has it"
            return False
        except OSError as error:
            raise cannot("lock", self._path, error) from error
        return True

    def unlock(self, offset: int) -> None:
        """Let go of the byte at `offset`."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, offset)

    @contextmanager
    def gate(self) -> Generator[None]:
        """Let one process at a time go on to LMDB's own lock, for which there is no deadline.

        Raises CacheLockedError where the gate is not free within 2 s.
        """
        who = object()
        try:
            self._wait_at_gate(who)
            yield
        finally:
            self._leave(who)

    def is_gate_free(self) -> bool:
        """Tell whether no other process is behind the gate."""
        who = object()
        try:
            return self._enter(who)
        finally:
            self._leave(who)

    def _wait_at_gate(self, who: object) -> None:
        deadline = time.monotonic() + GATE_DEADLINE
        while not self._enter(who):
            if time.monotonic() > deadline:
                raise CacheLockedError(
                    "write_gate_timeout",
                    f"{self._path.parent}: expected to write within {GATE_DEADLINE} s, but another process is writing "
                    "all the time or has been stopped while it wrote; end or continue it",
                )
            time.sleep(0.0005)

    # The kernel knows no threads: who leaves lets go of the byte only where no other thread is still behind the gate.

    def _enter(self, who: object) -> bool:
        with _descriptors.lock:
            inside = _descriptors.inside.setdefault(self._identity, set())
            if inside or self.try_lock(GATE):
                inside.add(who)
            return who in inside

    def _leave(self, who: object) -> None:
        # Also who was interrupted on the way in, and may have locked the byte already.
        with _descriptors.lock:
            inside = _descriptors.inside.get(self._identity, set())
            inside.discard(who)
            if not inside:
                _descriptors.inside.pop(self._identity, None)
                self.unlock(GATE)


def _forget_lock_of_parent() -> None:
    _descriptors.forget_those_inside()


os.register_at_fork(after_in_child=_forget_lock_of_parent)
