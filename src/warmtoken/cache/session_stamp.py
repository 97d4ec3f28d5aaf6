"""Says what the processes that have a cache open have in common, and refuses those that differ."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from warmtoken import _engine
from warmtoken.cache.paths import cannot, close_if_of, is_still_at
from warmtoken.errors import CacheRefusedError

SIZE = 512  # bytes, always: a full disk does not stop a stamp from being written over another
_UNKNOWN = "unknown"

# What must be the same, the code where it is not, and what to do.
_RULES = {
    "boot": (
        "host_mismatch",
        "a process of another machine has this cache open; give each machine its own path on a local disk",
    ),
    "layout": (
        "abi_mismatch",
        "a program with another LMDB, C library or word size has this cache open; give each kind its own path",
    ),
    "pid_namespace": (
        "pid_namespace_mismatch",
        (
            "another container has this cache open; give each its own path, or let them share one PID namespace "
            "(docker run --pid=container:NAME, shareProcessNamespace: true in Kubernetes)"
        ),
    ),
}


class SessionStamp:
    """A shared lock on the stamp file of a cache, to be held for as long as the cache is open.

    LMDB's lock file is made for processes of one machine, one process-id namespace and one layout of its mutexes, and
    does not notice others. Whoever opens the cache alone writes down what it is; others must be alike. To be made
    behind the gate, so that two processes do not do this at once. Raises CacheRefusedError where they are not alike.
    """

    # flock(2) locks belong to the open file, which fork shares: a child that never uses the cache keeps the lock while
    # it lives. That is as it should be, since it may open the cache at any moment. A program it starts does not get it.

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._identity: tuple[int, int] | None = None
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            opened = os.fstat(self._fd)
            self._identity = opened.st_dev, opened.st_ino
            self._take(path)
        except OSError as error:
            self._close()
            raise cannot("lock", path, error) from error
        except CacheRefusedError:
            self._close()  # now: whoever keeps the exception must not keep the lock
            raise

    def __del__(self) -> None:
        self._close()

    @property
    def is_current(self) -> bool:
        """Whether the file at the path is still the one that is locked, not deleted or replaced by another."""
        return is_still_at(self._path, self._fd, self._identity)

    def _close(self) -> None:
        if self._fd >= 0:
            close_if_of(self._fd, self._identity)
            self._fd = -1

    def _take(self, path: Path) -> None:
        ours = _facts()
        if self._is_alone():
            self._write(ours)
        fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        _compare(path, _parse(os.pread(self._fd, SIZE, 0)), ours)

    def _is_alone(self) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _write(self, facts: dict[str, str]) -> None:
        text = "".join(f"{name}={value}\n" for name, value in facts.items())
        stamp = text.encode().ljust(SIZE, b"\n")
        if os.pread(self._fd, SIZE + 1, 0) != stamp:
            os.pwrite(self._fd, stamp, 0)
            os.ftruncate(self._fd, SIZE)


def _compare(path: Path, theirs: dict[str, str], ours: dict[str, str]) -> None:
    for name, (code, advice) in _RULES.items():
        found = theirs.get(name, "nothing")
        if found != ours[name]:
            raise CacheRefusedError(code, f"{path.parent}: expected {name} {ours[name]}, found {found}: {advice}")


def _parse(stamp: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in stamp.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in pairs}


def _facts() -> dict[str, str]:
    return {"boot": _boot(), "layout": _layout(), "pid_namespace": _pid_namespace()}


def _layout() -> str:
    major, minor, _ = _engine.lmdb_version()
    bits = sys.maxsize.bit_length() + 1
    return f"lmdb {major}.{minor}, {bits} bits, {sys.byteorder}-endian, {_libc()}, mutex {_engine.MUTEX_SIZE}"


def _libc() -> str:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or _UNKNOWN).split()[0]
    except (ValueError, OSError):
        return "another libc"


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return _UNKNOWN


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return _UNKNOWN
