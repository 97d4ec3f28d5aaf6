"""Where the root key comes from: the caller, the system, or a key file that only its owner can read."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

from warmtoken.cache.paths import cannot, make_private_directory, own_directory, refuse_links, sync_directory
from warmtoken.errors import CacheRefusedError

KEY_SIZE = 32
CREDENTIAL = "warmtoken.key"
VARIABLE = "WARMTOKEN_KEY"
UNENCRYPTED_KEY = b"warmtoken cache: not encrypted!!"  # no secret: the root key of caches that want none

GivenKey = bytes | Callable[[], bytes] | os.PathLike[str]
KeySource = GivenKey | None

_from_environment: list[bytes] = []  # what the variable held: it is not there any more


def resolve_key(source: KeySource, *, make: bool = True) -> bytes:
    """Return the 32-byte root key that `source` names: itself, what it returns, the content of a file.

    None is the user's own key. The first that is there: the systemd credential `warmtoken.key`; the key file `key` in
    the configuration directory; the OS keyring, if the package `keyring` is installed and has a backend that works;
    the environment variable WARMTOKEN_KEY; a new key file. So a cache that was begun with a key file stays with it,
    and the keyring is not even loaded. Where `make` is false, no key is made. Raises TypeError and ValueError for a
    key of another type or size, CacheRefusedError for a key that others may read or that is no key.
    """
    if source is None:
        return _own_key(make)
    if isinstance(source, bytes):
        return checked_key(source)
    return checked_key(source()) if callable(source) else _from_file(Path(source), make)


def checked_key(key: object) -> bytes:
    """Return `key` if it is 32 bytes."""
    if not isinstance(key, bytes):
        raise TypeError(f"expected key to be bytes, a callable, a pathlib.Path or None, got {type(key).__name__}")
    if len(key) != KEY_SIZE:
        raise ValueError(f"expected a key of {KEY_SIZE} bytes, got {len(key)}; make one with secrets.token_bytes(32)")
    if key == UNENCRYPTED_KEY:
        raise ValueError("expected a secret key, got the published one; pass allow_unencrypted=True if that is meant")
    return key


def _own_key(make: bool) -> bytes:
    key = _credential()
    if key is not None:
        return key
    file = _default_key_file()
    if not os.path.lexists(file):
        from warmtoken.cache import os_keyring

        key = os_keyring.find_key(file.parent, make=make) or _variable()
    return _from_file(file, make) if key is None else key


def _credential() -> bytes | None:
    # systemd.exec(5): the directory is the service's alone; ACLs may show as permissions of the group.
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory or "/", CREDENTIAL)
    if not directory or not os.path.lexists(path):
        return None
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o007:
            raise _refused(path, "no regular file, or open to all", "expected a credential of systemd")
        content = path.read_bytes()
    except OSError as error:
        raise cannot("use the credential", path, error) from error
    return content if len(content) == KEY_SIZE else _from_digits(path, content.decode("ascii", "replace"))


def _variable() -> bytes | None:
    text = os.environ.get(VARIABLE)
    if text is not None:
        key = _parsed(text)
        if key is None:  # and stays there: else the next to ask would find none, and make a key file
            raise CacheRefusedError(
                "key_variable_refused", f"expected {2 * KEY_SIZE} hexadecimal digits in {VARIABLE}, got something else"
            )
        _from_environment[:] = [key]  # before it is removed: a thread that asks now must find it in either
        os.environ.pop(VARIABLE, None)
        warnings.warn(
            f"{VARIABLE} was removed from os.environ, but stays readable in /proc/PID/environ; "
            "use a key file or a systemd credential",
            RuntimeWarning,
            stacklevel=2,
        )
    return _from_environment[0] if _from_environment else None


def _from_digits(path: Path, text: str) -> bytes:
    key = _parsed(text)
    if key is None:
        raise _refused(path, "something else", f"expected {2 * KEY_SIZE} hexadecimal digits; restore the file")
    return key


def _parsed(text: str) -> bytes | None:
    text = text.strip()
    if len(text) != 2 * KEY_SIZE or not set(text.lower()) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(text)


def _default_key_file() -> Path:
    import platformdirs

    return own_directory(platformdirs.user_config_path) / "key"


def _from_file(path: Path, make: bool) -> bytes:
    path = Path(os.path.abspath(path))
    try:
        if make and not os.path.lexists(path):
            _make(path)
        return _read(path)
    except OSError as error:
        raise cannot("use the key file", path, error) from error


def _read(path: Path) -> bytes:
    if path.is_symlink():
        raise _refused(path, "a symbolic link", "put the file itself there")
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _check_private(path, os.fstat(fd))
        text = os.read(fd, 4096).decode("ascii", "replace")
    finally:
        os.close(fd)
    return _from_digits(path, text)


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "no regular file", "name a file")
    if found.st_uid != os.geteuid():
        raise _refused(path, f"a file of user {found.st_uid}", f"expected user {os.geteuid()}; chown it")
    if found.st_mode & 0o077:
        raise _refused(path, f"mode {stat.S_IMODE(found.st_mode):04o}", "expected 0600; chmod 600 it")


def _refused(path: Path, found: str, advice: str) -> CacheRefusedError:
    return CacheRefusedError("key_file_refused", f"key file {path} is {found}: {advice}")


def _make(path: Path) -> None:
    # Linked into place when complete: of several processes that start at once, one wins and all read its key.
    if path.parent.exists():
        refuse_links(path.parent)
    else:
        make_private_directory(path.parent)
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, os.urandom(KEY_SIZE).hex().encode() + b"\n")
        os.fsync(fd)
        os.link(draft, path)
        sync_directory(path.parent)
    except FileExistsError:
        pass
    finally:
        os.close(fd)
        os.unlink(draft)
