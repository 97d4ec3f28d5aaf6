"""Finds, makes and checks the cache's directory and files: what others could touch is not used."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from warmtoken.errors import CacheCorruptError, CacheError, CacheFullError, CacheRefusedError

DATA_FILE = "tokens-v1.mdb"
LOCK_FILE = "tokens-v1.mdb-lock"
GATE_FILE = "tokens-v1.gate"
STAMP_FILE = "tokens-v1.stamp"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_META_SIZE = 4096
_LMDB_MAGIC = 0xBEEFC0DE


def default_directory() -> Path:
    """Return the directory of the user's own cache, which all programs of that user share."""
    import platformdirs

    return own_directory(platformdirs.user_state_path)


def own_directory(find: Callable[[str], Path]) -> Path:
    """Return the real path of a directory that platformdirs names; CacheRefusedError where the user has no home."""
    try:
        found = find("warmtoken")
    except RuntimeError:
        found = Path()
    if not found.is_absolute():  # or it would be made below wherever the program runs
        raise CacheRefusedError(
            "path_refused",
            "expected HOME or the XDG variables to name directories for the user's own cache and key, got none; "
            "set HOME, or pass a path and a key",
        )
    return Path(os.path.realpath(found))


def prepare(directory: Path) -> Path:
    """Make the cache's directory if need be, check it and the files in it, and return its absolute path.

    Raises CacheRefusedError where another user could read, replace or redirect them, CacheCorruptError where there is
    a data file of another kind. Nothing that exists is changed.
    """
    directory = Path(os.path.abspath(directory))
    make_private_directory(directory)
    for name in (DATA_FILE, LOCK_FILE, GATE_FILE, STAMP_FILE):
        _check_file(directory / name)
    _refuse_foreign(directory)
    return directory


def _refuse_foreign(directory: Path) -> None:
    # Without the gate's file none of us has been here, and none shall be made beside somebody else's data.
    gate = directory / GATE_FILE
    if gate.exists():
        return
    try:
        check_content(directory / DATA_FILE)
    except CacheCorruptError:
        if not gate.exists():
            raise


def make_private_directory(directory: Path) -> None:
    """Make a directory of mode 0700 where there is none, and refuse one that is not the user's alone."""
    refuse_links(directory)
    for part in (*reversed(directory.parents), directory):
        _make_directory(part)
    refuse_links(directory)
    _check_directory(directory, os.lstat(directory))


def sync_directory(directory: Path) -> None:
    """Make a new file's name as durable as its content; CacheError where that cannot be done."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise cannot("sync", directory, error) from error


def is_descriptor_of(fd: int, identity: tuple[int, int] | None) -> bool:
    """Tell whether a descriptor is still of the file with this device and inode.

    A daemon closes the descriptors that it inherited, also ours; what has their numbers then is the program's own.
    """
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == identity


def identity_at(path: Path) -> tuple[int, int] | None:
    """Return device and inode of what is at a path, be it a link; None where nothing can be found out."""
    try:
        found = os.lstat(path)
    except OSError:  # whoever opens it says why
        return None
    return found.st_dev, found.st_ino


def is_still_at(path: Path, fd: int, identity: tuple[int, int] | None) -> bool:
    """Tell whether the file with this device and inode is the one at the path, and the descriptor's."""
    return identity_at(path) == identity and is_descriptor_of(fd, identity)


def close_if_of(fd: int, identity: tuple[int, int] | None) -> None:
    """Close a descriptor that is still of the file with this device and inode."""
    if is_descriptor_of(fd, identity):
        os.close(fd)


def cannot(what: str, path: Path, error: OSError) -> CacheError:
    """Return the CacheError for a call of the system that failed."""
    if error.errno in _FULL:
        return CacheFullError("disk_full", f"cannot {what} {path}: {error.strerror}; free some space and try again")
    code = "cache_not_writable" if error.errno in _NOT_WRITABLE else "path_refused"
    return CacheRefusedError(
        code, f"cannot {what} {path}: {error.strerror}; mend its permissions, or choose another path"
    )


def _make_directory(directory: Path) -> None:
    # One by one: the missing parents, too, are nobody else's business, whatever the umask.
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        if not os.path.isdir(directory):  # noqa: PTH112 (Path.is_dir raises for a name that is too long)
            raise cannot("make the directory", directory, error) from error


def refuse_links(directory: Path) -> None:
    """Refuse a path with a symbolic link in it, or with a part that anybody may replace."""
    for part in (*reversed(directory.parents), directory):
        try:
            found = os.lstat(part)
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot("look at", part, error) from error
        if stat.S_ISLNK(found.st_mode):
            real = os.path.realpath(directory)
            raise _refused(directory, f"{part} is a symbolic link", f"pass the real path, {real}")
        if found.st_mode & 0o002 and not found.st_mode & stat.S_ISVTX:
            raise _refused(directory, f"anybody may replace what is in {part}", f"chmod o-w {part}, or choose another")


def _check_directory(directory: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise _refused(directory, "it is not a directory", "choose another path")
    if found.st_uid != os.geteuid():
        owner = f"it belongs to user {found.st_uid}, expected {os.geteuid()}"
        raise _refused(directory, owner, "choose another path, or chown it")
    if found.st_mode & 0o077:
        mode = f"its mode is {stat.S_IMODE(found.st_mode):04o}, expected 0700"
        raise _refused(directory, mode, f"chmod 700 {directory}")


def _check_file(path: Path) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise _refused(path, "it is a link or no regular file", "move it away")
    if found.st_uid != os.geteuid():
        raise _refused(path, f"it belongs to user {found.st_uid}, expected {os.geteuid()}", "move it away, or chown it")
    if found.st_mode & 0o077:
        raise _refused(path, f"its mode is {stat.S_IMODE(found.st_mode):04o}, expected 0600", f"chmod 600 {path}")


def _refused(path: Path, found: str, advice: str) -> CacheRefusedError:
    return CacheRefusedError("path_refused", f"refused to use {path}: {found}; {advice}")


def check_content(path: Path) -> None:
    """Refuse a data file that is no LMDB file or shorter than it says: mapping it could kill the process.

    To be called behind the gate: a file that another process is just making looks like that too.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot("read", path, error) from error
    try:
        meta = os.pread(fd, _META_SIZE, 0)
        twin = os.pread(fd, _META_SIZE, _page_size(meta))
        size = os.fstat(fd).st_size  # after the meta pages: what they count was written before them
    finally:
        os.close(fd)
    if size == 0:
        return
    if len(twin) < _META_SIZE or int.from_bytes(meta[16:20], "little") != _LMDB_MAGIC:
        raise CacheCorruptError(
            "not_a_cache", f"{path}: expected a warmtoken cache, found a file of another kind; move it away"
        )
    expected = (max(_last_page(meta), _last_page(twin)) + 1) * _page_size(meta)
    if size < expected:
        raise CacheCorruptError(
            "truncated",
            f"{path}: expected at least {expected} bytes, found {size}: the file was cut short; "
            "restore it or move it away",
        )


def _page_size(meta: bytes) -> int:
    return int.from_bytes(meta[40:44], "little")


def _last_page(meta: bytes) -> int:
    return int.from_bytes(meta[136:144], "little")
