"""Where the key comes from, and which files are not trusted with it."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from isolated.support import KEY, OTHER_KEY, finish, open_vault, start

from warmtoken.cache import key_sources, os_keyring
from warmtoken.cache.key_sources import resolve_key
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import CacheRefusedError


def key_file(path: Path, text: str = KEY.hex() + "\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_bytes_and_callables_give_the_key() -> None:
    assert resolve_key(KEY) == KEY
    assert resolve_key(lambda: KEY) == KEY


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex() + "\n", KEY.hex().upper(), f"  {KEY.hex()}\n\n"])
def test_a_file_gives_the_key(tmp_path: Path, text: str) -> None:
    assert resolve_key(key_file(tmp_path / "key", text)) == KEY


@pytest.mark.parametrize("wrong", ["text", 1, 1.5, [], bytearray(32), memoryview(KEY)])
def test_a_key_of_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected key"):
        TokenCache("unused", key=wrong)
    with pytest.raises(TypeError, match="expected key"):
        resolve_key(lambda: wrong)


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64])
def test_a_key_of_another_size_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"expected a key of 32 bytes, got {size}"):
        TokenCache("unused", key=bytes(size))
    with pytest.raises(ValueError, match=f"expected a key of 32 bytes, got {size}"):
        TokenCache(tmp_path / "cache", key=lambda: bytes(size)).vault()


def test_an_error_of_the_callable_comes_through(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise LookupError("the key service is away")

    with pytest.raises(LookupError, match="away"):
        TokenCache(tmp_path / "cache", key=fail).vault()


def refusal(path: Path) -> CacheRefusedError:
    with pytest.raises(CacheRefusedError) as caught:
        resolve_key(path)
    assert caught.value.code == "key_file_refused"
    assert str(path) in str(caught.value)
    assert KEY.hex() not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o777])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path / "key", mode=mode)
    assert "chmod 600" in str(refusal(path))
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_only_its_owner_may_touch_is_read(tmp_path: Path, mode: int) -> None:
    assert resolve_key(key_file(tmp_path / "key", mode=mode)) == KEY


@pytest.mark.parametrize("text", ["", "ab", KEY.hex()[:-1], KEY.hex() + "0", "g" * 64, KEY.hex() * 100, "é" * 64])
def test_a_file_with_something_else_in_it_is_refused(tmp_path: Path, text: str) -> None:
    path = key_file(tmp_path / "key", text)
    assert "64 hexadecimal digits" in str(refusal(path))
    assert path.read_text() == text


def test_links_and_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    key_file(tmp_path / "target")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "directory").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("link", "dangling", "directory", "fifo"):
        refusal(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path / "key")
    os.chown(path, 12345, -1)
    assert "12345" in str(refusal(path))


def test_a_missing_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "key"
    old = os.umask(0)
    try:
        key = resolve_key(path)
    finally:
        os.umask(old)
    assert resolve_key(path) == key
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(parent.stat().st_mode) for parent in path.parents[:2]] == [0o700, 0o700]
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_where_no_file_can_be_made_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheRefusedError, match="file"):
        resolve_key(tmp_path / "file" / "key")


def race(*arguments: object) -> set[str]:
    processes = [start("resolve_key.py", *arguments) for _ in range(8)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return {finish(process) for process in processes}


def test_processes_that_make_the_file_at_once_read_the_same_key(tmp_path: Path) -> None:
    assert len(race(tmp_path / "config" / "key")) == 1
    assert [file.name for file in (tmp_path / "config").iterdir()] == ["key"]


def test_the_users_own_key_file_lies_in_the_configuration_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    [key] = race()
    assert (tmp_path / "config" / "warmtoken" / "key").read_text() == key
    vault = TokenCache().vault()
    assert vault.shared.directory == tmp_path / "state" / "warmtoken"
    assert open_vault(tmp_path / "state" / "warmtoken", bytes.fromhex(key)).newest == vault.newest


def test_a_link_to_the_configuration_directory_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "link"))
    assert resolve_key(None).hex() + "\n" == (tmp_path / "real" / "warmtoken" / "key").read_text()


# --- the user's own key: credential, key file, OS keyring, variable ---


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the user's key file, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("WARMTOKEN_KEY", raising=False)
    monkeypatch.setattr(key_sources, "_from_environment", [])
    monkeypatch.setitem(sys.modules, "keyring", None)
    return tmp_path / "config" / "warmtoken" / "key"


def own_key_file(own: Path) -> None:
    own.parent.mkdir(mode=0o700, parents=True)
    key_file(own, OTHER_KEY.hex())


@pytest.fixture
def credentials(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of systemd credentials."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return directory


@pytest.mark.parametrize("content", [KEY, KEY.hex().encode(), KEY.hex().encode() + b"\n"])
def test_a_credential_is_the_key_before_all_else(own: Path, credentials: Path, content: bytes) -> None:
    own_key_file(own)
    (credentials / "warmtoken.key").write_bytes(content)
    (credentials / "warmtoken.key").chmod(0o440)
    assert resolve_key(None) == KEY


@pytest.mark.parametrize("content", [b"", KEY[:-1], KEY + b"\n", b"\xff" * 64, KEY.hex().encode()[:-1]])
def test_a_credential_that_is_no_key_is_refused(own: Path, credentials: Path, content: bytes) -> None:
    (credentials / "warmtoken.key").write_bytes(content)
    (credentials / "warmtoken.key").chmod(0o400)
    with pytest.raises(CacheRefusedError) as caught:
        resolve_key(None)
    assert caught.value.code == "key_file_refused"
    assert not own.exists()


def test_a_credential_needs_no_home_directory(own: Path, credentials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_config_path", find)
    (credentials / "warmtoken.key").write_bytes(KEY)
    (credentials / "warmtoken.key").chmod(0o400)
    assert resolve_key(None) == KEY


def test_a_credential_that_everybody_may_read_is_refused(own: Path, credentials: Path) -> None:
    (credentials / "warmtoken.key").write_bytes(KEY)
    (credentials / "warmtoken.key").chmod(0o444)
    with pytest.raises(CacheRefusedError, match="open to all"):
        resolve_key(None)
    assert not own.exists()


def test_without_a_credential_the_key_file_is_used(own: Path, credentials: Path) -> None:
    own_key_file(own)
    assert resolve_key(None) == OTHER_KEY


def test_a_given_key_comes_before_all_else(own: Path, credentials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (credentials / "warmtoken.key").write_bytes(OTHER_KEY)
    monkeypatch.setenv("WARMTOKEN_KEY", OTHER_KEY.hex())
    assert resolve_key(KEY) == resolve_key(lambda: KEY) == resolve_key(key_file(own.parents[1].parent / "given")) == KEY
    assert os.environ["WARMTOKEN_KEY"] == OTHER_KEY.hex()


def test_the_variable_is_read_once_removed_and_remembered(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMTOKEN_KEY", KEY.hex())
    with pytest.warns(RuntimeWarning, match="/proc/PID/environ") as caught:
        assert resolve_key(None) == KEY
    assert len(caught) == 1
    assert KEY.hex() not in str(caught[0].message)
    assert "WARMTOKEN_KEY" not in os.environ
    assert resolve_key(None) == resolve_key(None, make=False) == KEY
    assert not own.exists()


def test_an_existing_key_file_comes_before_the_variable(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_key_file(own)
    monkeypatch.setenv("WARMTOKEN_KEY", KEY.hex())
    assert resolve_key(None) == OTHER_KEY


@pytest.mark.parametrize("text", ["", "ab", KEY.hex()[:-1], "g" * 64])
def test_a_variable_that_is_no_key_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WARMTOKEN_KEY", text)
    for _ in range(2):
        with pytest.raises(CacheRefusedError) as caught:
            resolve_key(None)
        assert caught.value.code == "key_variable_refused"
    assert not own.exists()


def test_while_the_variable_is_removed_the_key_is_remembered_already(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bytes] = []

    class Environment(dict[str, str]):
        def pop(self, *_: Any) -> Any:
            super().pop("WARMTOKEN_KEY")
            found.append(resolve_key(None))  # as another thread might at this moment

    monkeypatch.setattr(os, "environ", Environment(os.environ, WARMTOKEN_KEY=KEY.hex()))
    with pytest.warns(RuntimeWarning, match="WARMTOKEN_KEY"):
        assert [resolve_key(None), *found] == [KEY, KEY]
    assert not own.exists()


def test_no_key_is_made_where_one_is_only_looked_for(own: Path) -> None:
    with pytest.raises(CacheRefusedError):
        resolve_key(None, make=False)
    assert not own.parent.exists()


class Backend:
    """A backend of `keyring` in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], str] = {}
        self.broken = self.forgetful = False
        self.delay = 0.0  # seconds

    def get_password(self, service: str, username: str) -> str | None:
        if self.broken:
            raise OSError("the keyring is locked")
        return self.stored.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.broken:
            raise OSError("the keyring is locked")
        time.sleep(self.delay)
        if not self.forgetful:
            self.stored[service, username] = password


@pytest.fixture
def backend(own: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The OS keyring of a user without a key file."""
    backend = Backend()
    module = types.ModuleType("keyring")
    module.get_keyring = lambda: backend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    return backend


def test_the_keyring_keeps_the_key(own: Path, backend: Backend) -> None:
    key = resolve_key(None)
    assert backend.stored == {("warmtoken", "cache key"): key.hex()}
    assert resolve_key(None) == resolve_key(None, make=False) == key
    assert [file.name for file in own.parent.iterdir()] == ["key-in-keyring"]


def test_a_key_that_is_in_the_keyring_already_is_marked_as_there(own: Path, backend: Backend) -> None:
    """Another process put it there and was killed, or it came with the user's profile."""
    backend.stored["warmtoken", "cache key"] = KEY.hex()
    assert resolve_key(None, make=False) == resolve_key(None) == KEY
    assert [file.name for file in own.parent.iterdir()] == ["key-in-keyring"]
    backend.broken = True
    with pytest.raises(CacheRefusedError, match="keyring_unavailable"):
        resolve_key(None)
    assert not own.exists()


def test_where_the_keyring_cannot_be_marked_is_a_cache_error(
    own: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, mode: int = 0) -> None:
        raise OSError(errno.EROFS, "read-only", str(path))

    monkeypatch.setattr(Path, "touch", fail)
    with pytest.raises(CacheRefusedError, match="key-in-keyring"):
        resolve_key(None)


def test_the_keyring_is_not_even_loaded_where_there_is_a_key_file(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_key_file(own)
    loaded: list[str] = []
    monkeypatch.setattr(os_keyring.importlib, "import_module", loaded.append)
    assert resolve_key(None) == OTHER_KEY
    assert loaded == []


@pytest.mark.parametrize("module", ["keyring.backends.fail", "keyring.backends.null"])
def test_backends_that_keep_nothing_are_passed_over(
    own: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setattr(Backend, "__module__", module)
    assert resolve_key(None).hex() in own.read_text()
    assert backend.stored == {}


@pytest.mark.parametrize("fault", ["broken", "forgetful"])
def test_a_backend_that_does_not_work_is_passed_over(own: Path, backend: Backend, fault: str) -> None:
    setattr(backend, fault, True)
    assert resolve_key(None).hex() in own.read_text()
    assert [file.name for file in own.parent.iterdir()] == ["key"]
    setattr(backend, fault, False)
    assert resolve_key(None).hex() in own.read_text()


@pytest.mark.parametrize("fault", ["locked", "emptied", "uninstalled", "spoilt"])
def test_a_cache_begun_with_the_keyring_stays_with_it(
    own: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Another key would open nothing, and a key file would hide the right one for ever."""
    resolve_key(None)
    match fault:
        case "locked":
            backend.broken = True
        case "emptied":
            backend.stored.clear()
        case "uninstalled":
            monkeypatch.setitem(sys.modules, "keyring", None)
        case _:
            backend.stored["warmtoken", "cache key"] = "no key"
    monkeypatch.setenv("WARMTOKEN_KEY", KEY.hex())
    with pytest.raises(CacheRefusedError) as caught:
        resolve_key(None)
    assert caught.value.code == "keyring_unavailable"
    assert not own.exists()


def test_threads_that_begin_at_once_make_one_key_in_the_keyring(own: Path, backend: Backend) -> None:
    start_line = threading.Barrier(8)
    backend.delay = 0.02  # all find no key before the first has written one

    def begin(_: int) -> bytes:
        start_line.wait()
        return resolve_key(None)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(begin, range(8)))) == 1
    assert len(backend.stored) == 1
