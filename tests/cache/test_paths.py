"""What others could touch is refused, with a word on how to mend it, and stays as it was."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from isolated.support import KEY, new_tokens, open_vault, run, secret_of

from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import CacheCorruptError, CacheError, CacheRefusedError
from warmtoken.testing import Clock

DATA, LOCK, GATE, STAMP = "tokens-v1.mdb", "tokens-v1.mdb-lock", "tokens-v1.gate", "tokens-v1.stamp"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def snapshot(top: Path) -> dict[str, object]:
    """Return kind, mode, owner and content of everything under a directory."""
    found: dict[str, object] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        found[str(path)] = (info.st_mode, info.st_uid, info.st_nlink, info.st_mtime_ns, content)
    return found


def refusal(directory: Path, top: Path, kind: type[CacheError] = CacheRefusedError) -> CacheError:
    """Return the error of opening a cache that must leave everything under `top` as it was."""
    before = snapshot(top)
    with pytest.raises(kind) as caught:
        TokenCache(directory, key=KEY).vault()
    assert snapshot(top) == before
    return caught.value


@pytest.fixture
def used(directory: Path) -> Path:
    """The directory of a cache that was used and closed."""
    vault = open_vault(directory)
    vault.save(new_tokens("secret"))
    return directory


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_made_is_the_owners_alone(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        open_vault(tmp_path / "new" / "deep" / "cache").save(new_tokens("secret"))
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "new").rglob("*")}
    assert modes == {"deep": 0o700, "cache": 0o700, DATA: 0o600, LOCK: 0o600, GATE: 0o600, STAMP: 0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert secret_of(open_vault(tmp_path / "new" / "deep" / "cache")) == "secret"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o770, 0o701, 0o710, 0o777, 0o1777, 0o707])
def test_a_directory_that_others_may_enter_is_refused(directory: Path, tmp_path: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    error = refusal(directory, tmp_path)
    assert error.code == "path_refused"
    assert "chmod" in str(error)


@pytest.mark.parametrize("name", [DATA, LOCK, GATE, STAMP])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_may_open_is_refused(used: Path, tmp_path: Path, name: str, mode: int) -> None:
    (used / name).chmod(mode)
    error = refusal(used, tmp_path)
    assert error.code == "path_refused"
    assert f"chmod 600 {used / name}" in str(error)
    (used / name).chmod(0o600)
    assert secret_of(open_vault(used)) == "secret"


@root_only
@pytest.mark.parametrize("name", [".", DATA, LOCK, GATE, STAMP])
def test_what_belongs_to_another_user_is_refused(used: Path, tmp_path: Path, name: str) -> None:
    os.chown(used / name, 12345, -1)
    error = refusal(used, tmp_path)
    assert error.code == "path_refused"
    assert "belongs to user 12345" in str(error)


@pytest.mark.parametrize("name", [DATA, LOCK, GATE, STAMP])
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_file_that_is_a_link_is_refused(used: Path, tmp_path: Path, name: str, link: object) -> None:
    (used / name).rename(tmp_path / "target")
    link(tmp_path / "target", used / name)  # type: ignore[operator]
    error = refusal(used, tmp_path)
    assert error.code == "path_refused"
    assert "move it away" in str(error)


@pytest.mark.parametrize("name", [DATA, LOCK, GATE, STAMP])
def test_nothing_is_made_behind_a_dangling_link(directory: Path, tmp_path: Path, name: str) -> None:
    directory.mkdir(mode=0o700)
    (directory / name).symlink_to(tmp_path / "nowhere")
    assert refusal(directory, tmp_path).code == "path_refused"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", [DATA, LOCK, GATE, STAMP])
def test_a_file_of_another_kind_is_refused(directory: Path, tmp_path: Path, name: str) -> None:
    directory.mkdir(mode=0o700)
    os.mkfifo(directory / name, 0o600)
    assert refusal(directory, tmp_path).code == "path_refused"


def test_a_directory_that_is_a_link_is_refused(used: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(used)
    error = refusal(tmp_path / "link", tmp_path)
    assert error.code == "path_refused"
    assert str(used) in str(error)


def test_a_link_among_the_parents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real" / "parent").mkdir(mode=0o700, parents=True)
    (tmp_path / "link").symlink_to("real")
    error = refusal(tmp_path / "link" / "parent" / "cache", tmp_path)
    assert error.code == "path_refused"
    assert str(tmp_path / "real" / "parent" / "cache") in str(error)
    assert refusal(tmp_path / "link" / "missing" / "cache", tmp_path).code == "path_refused"


def test_a_parent_in_which_anybody_may_replace_files_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    parent.mkdir()
    parent.chmod(0o777)
    assert refusal(parent / "cache", tmp_path).code == "path_refused"
    parent.chmod(0o1777)
    open_vault(parent / "cache").save(new_tokens("secret"))
    parent.chmod(0o777)
    assert "chmod o-w" in str(refusal(parent / "cache", tmp_path))


def test_a_file_in_place_of_the_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    directory.write_text("a file")
    for path in (directory, directory / "below", directory / "below" / "deeper"):
        assert refusal(path, tmp_path).code == "path_refused"


@pytest.mark.parametrize(
    "content", [b"x", b"no database " * 5000, bytes(4096), bytes(9000), b"\0" * 16 + b"\xde\xc0\xef\xbe"]
)
def test_a_file_of_somebody_else_is_refused(directory: Path, tmp_path: Path, content: bytes) -> None:
    directory.mkdir(mode=0o700)
    (directory / DATA).write_bytes(content)
    (directory / DATA).chmod(0o600)
    error = refusal(directory, tmp_path, CacheCorruptError)
    assert error.code == "not_a_cache"
    assert "move it away" in str(error)


@pytest.mark.parametrize("size", [100, 4096, 5000, 8192, 16384])
def test_a_truncated_file_is_refused(used: Path, tmp_path: Path, size: int) -> None:
    os.truncate(used / DATA, size)
    error = refusal(used, tmp_path, CacheCorruptError)
    assert error.code == ("truncated" if size >= 8192 else "not_a_cache")
    assert "move it away" in str(error)


def test_an_empty_file_becomes_a_cache(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / DATA).touch(mode=0o600)
    open_vault(directory).save(new_tokens("secret"))
    assert secret_of(open_vault(directory)) == "secret"


def test_a_database_of_another_program_is_refused_and_stays_as_it_was(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    run("foreign_database.py", directory / DATA)
    before = (directory / DATA).read_bytes()
    with pytest.raises(CacheCorruptError) as caught:
        open_vault(directory)
    assert caught.value.code == "not_a_cache"
    assert "move it away" in str(caught.value)
    assert (directory / DATA).read_bytes() == before


def test_a_relative_path_and_dots_name_the_same_cache(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    vault = open_vault(directory)
    assert open_vault("cache").shared is vault.shared
    assert open_vault(tmp_path / "x" / ".." / "cache").shared is vault.shared


def test_a_relative_path_goes_on_naming_the_same_cache_when_the_program_changes_its_directory(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock = Clock()
    cache = TokenCache("cache", key=Path("key"), clock=clock)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cache.vault().shared.directory == directory
    shutil.rmtree(directory)
    clock.advance(1.1)
    assert cache.vault().shared.directory == directory
    assert (tmp_path / "key").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_path_need_not_be_utf_8(tmp_path: Path) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    open_vault(directory).save(new_tokens("kept"))
    assert (directory / DATA).exists()
    assert secret_of(open_vault(directory)) == "kept"


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheRefusedError):
        open_vault(tmp_path.joinpath(*["d" * 200] * 30))


def test_a_directory_that_cannot_be_synced_is_a_cache_error(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CacheRefusedError, match="the disk is broken"):
        open_vault(directory)


@pytest.mark.parametrize("release", ["as of 4.2", "later"])
def test_without_a_home_directory_there_is_no_own_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    def find(name: str) -> Path:
        if release == "later":
            raise RuntimeError("could not determine the home directory")
        return Path("~/.local", name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_state_path", find)
    monkeypatch.setattr(platformdirs, "user_config_path", find)
    for use in (TokenCache(key=KEY).vault, TokenCache(tmp_path / "cache").vault):
        with pytest.raises(CacheRefusedError, match="HOME") as caught:
            use()
        assert caught.value.code == "path_refused"
    assert not (tmp_path / "~").exists()


def test_a_path_of_another_type_is_refused() -> None:
    for wrong in (1, b"bytes", ["list"], OfBytes()):
        with pytest.raises(TypeError, match="expected path to be a str, a"):
            TokenCache(wrong, key=KEY)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected path to name a directory"):
        TokenCache(path, key=KEY)


class OfBytes(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"bytes"


@pytest.mark.parametrize("clock", [0, "", time, lambda: 0.0], ids=repr)
def test_a_clock_is_one_of_the_librarys(tmp_path: Path, clock: Any) -> None:
    with pytest.raises(TypeError, match="expected clock to be"):
        TokenCache(tmp_path / "cache", key=KEY, clock=clock)
