"""The key in the operating system's keyring, through the package `keyring`, which need not be installed."""

from __future__ import annotations

import fcntl
import importlib
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from warmtoken.cache.paths import cannot, make_private_directory
from warmtoken.errors import CacheError, CacheRefusedError

SERVICE, NAME = "warmtoken", "cache key"
MARKER = "key-in-keyring"
_KEY_SIZE = 32
_NO_BACKENDS = {"keyring.backends.fail", "keyring.backends.null"}


class _Backend(Protocol):
    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...


def find_key(directory: Path, *, make: bool) -> bytes | None:
    """Return the user's key from the OS keyring, made if `make`; None where there is no keyring that works.

    A marker in `directory` says that the key was put there: from then on a keyring that does not answer is a
    CacheRefusedError, since another key would open nothing.
    """
    marked = os.path.lexists(directory / MARKER)
    backend = _backend()
    key = None if backend is None else _stored(backend)
    if key is None and backend is not None and make and not marked:
        key = _make(backend, directory)
    elif key is not None and make and not marked:  # it came with the user's profile, say
        with suppress(CacheError):
            make_private_directory(directory)
            _mark(directory / MARKER)
    if key is None and marked:
        raise CacheRefusedError(
            "keyring_unavailable",
            f"expected the key under {SERVICE!r} in the OS keyring, got none; unlock or restore it, or pass key=. "
            f"To begin anew, remove {directory / MARKER} and the cache",
        )
    return key


def _backend() -> _Backend | None:
    try:
        backend: _Backend = importlib.import_module("keyring").get_keyring()
    except Exception:  # noqa: BLE001 (not installed, or no backend: whatever it says, there is no keyring)
        return None
    return None if type(backend).__module__ in _NO_BACKENDS else backend


def _stored(backend: _Backend) -> bytes | None:
    try:
        return _parsed(backend.get_password(SERVICE, NAME))
    except CacheRefusedError:
        raise
    except Exception:  # noqa: BLE001 (backends raise what they like)
        return None


def _parsed(text: str | None) -> bytes | None:
    if text is None:
        return None
    if len(text) != 2 * _KEY_SIZE or not set(text.lower()) <= set("0123456789abcdef"):
        raise CacheRefusedError(
            "keyring_unavailable",
            f"expected {2 * _KEY_SIZE} hexadecimal digits under {SERVICE!r} in the OS keyring, got something else",
        )
    return bytes.fromhex(text)


def _make(backend: _Backend, directory: Path) -> bytes | None:
    # Of several processes that start at once one makes the key; it counts once it can be read back.
    make_private_directory(directory)
    with _locked(directory):
        key = _stored(backend)
        if key is None:
            try:
                backend.set_password(SERVICE, NAME, secrets.token_hex(_KEY_SIZE))
            except Exception:  # noqa: BLE001 (backends raise what they like)
                return None
            key = _stored(backend)
        if key is not None:
            _mark(directory / MARKER)
        return key


def _mark(marker: Path) -> None:
    try:
        marker.touch(mode=0o600)
    except OSError as error:
        raise cannot("write", marker, error) from error


@contextmanager
def _locked(directory: Path) -> Generator[None]:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise cannot("lock", directory, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
