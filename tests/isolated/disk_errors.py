"""One case of a failing disk, by name, on a cache in a directory, with faults.c preloaded: prints "ok" at its end."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from support import KEY, UnhurriedHits, error_of, find, new_tokens, open_vault, run, secret_of

from warmtoken import ClientSecret, ConfidentialClientApplication, PublicClientApplication, _engine
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheError, CacheRefusedError
from warmtoken.testing import Clock, IdentityProvider, UserAgent

FAULTS = ctypes.CDLL(None)


def set_fault(name: str, value: int) -> None:
    ctypes.c_int.in_dll(FAULTS, f"fault_{name}").value = value


def fault(name: str) -> int:
    return ctypes.c_int.in_dll(FAULTS, f"fault_{name}").value


def code_of(vault: Vault, name: str) -> str | None:
    """Save tokens of a user and return the code of the error, if there was one."""
    try:
        vault.save(new_tokens(name, user=name))
    except CacheError as error:
        return error.code
    return None


def a_write_after_one_that_failed(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("first", user="first"))
    set_fault("meta_writes", 1)
    assert code_of(vault, "second") == "cache_io_error"
    assert fault("meta_writes") == 0
    assert vault.shared.store.recoveries == 0
    assert code_of(vault, "third") is None
    assert vault.shared.store.recoveries == 1
    assert [secret_of(vault, user=name) for name in ("first", "second", "third")] == ["first", None, "third"]
    assert run("open_and_list.py", directory, "first", "second", "third").split() == ["first", "None", "third"]


def a_read_after_a_write_that_failed(directory: Path) -> None:
    _engine.Hits = UnhurriedHits  # type: ignore[misc]
    cache = TokenCache(directory, key=KEY)
    vault = cache.vault()
    vault.save(new_tokens("first"))
    view = cache.view()
    found = find(vault)
    assert found is not None
    view.remember(("a",), None, None, "kept", 4_000_000_000_000, found.txnid, found.witnesses, 100)
    assert view.lookup(("a",)) == "kept"
    set_fault("meta_writes", 1)
    assert code_of(vault, "second") == "cache_io_error"
    assert secret_of(vault) == "first"
    assert vault.shared.store.recoveries == 1
    assert view.lookup(("a",)) is None  # what was read from the environment before is not served from this one
    assert not view.is_live
    assert secret_of(cache.vault()) == "first"
    assert code_of(cache.vault(), "third") is None


def a_sweep_after_a_write_that_failed(directory: Path) -> None:
    clock = Clock()
    cache = TokenCache(directory, key=KEY, clock=clock)
    cache.vault().save(new_tokens("old", expires_on=int(clock.time()) + 10))
    clock.advance(1000)
    set_fault("meta_writes", 1)
    assert code_of(cache.vault(), "second") == "cache_io_error"
    assert cache.sweep() == 1
    assert (cache.stats().access_tokens, cache.stats().recoveries) == (0, 1)


def both_writes_fail(directory: Path) -> None:
    """Not even the old meta page can be written back: whatever is seen afterwards, it is one of the two states."""
    vault = open_vault(directory)
    vault.save(new_tokens("first", user="first"))
    set_fault("meta_writes", 2)
    assert code_of(vault, "second") == "cache_io_error"
    assert secret_of(vault, user="first") == "first"
    assert code_of(vault, "third") is None
    assert secret_of(vault, user="third") == "third"
    assert vault.refused_records == 0


def a_disk_that_goes_on_failing(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("first", user="first"))
    set_fault("meta_writes", 1000)
    codes = {code_of(vault, f"user {n}") for n in range(10)}
    assert codes == {"cache_io_error"}, codes
    assert secret_of(vault, user="first") == "first"
    set_fault("meta_writes", 0)
    assert code_of(vault, "after") is None
    assert secret_of(vault, user="after") == "after"


class Busy(threading.Thread):
    """A thread that keeps what its work raises."""

    error: BaseException | None = None

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self._work = work

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 (looked at when it has ended)
            self.error = error


def beside_busy_threads(directory: Path) -> None:
    """Four threads read and two write while one write in a few fails: nothing is lost, and nothing else is raised."""
    vault = open_vault(directory)
    vault.save(new_tokens("first", user="first"))
    saved: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            assert secret_of(vault, user="first") == "first"

    def write() -> None:
        for n in range(60):
            name = f"{threading.get_ident()} {n}"
            code = code_of(vault, name)
            assert code in {None, "cache_io_error"}, code
            saved.extend([name] if code is None else [])
            set_fault("meta_writes", n % 7 == 0)

    readers, writers = [Busy(read) for _ in range(4)], [Busy(write) for _ in range(2)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert [thread.error for thread in readers + writers] == [None] * 6
    assert vault.shared.store.recoveries > 0
    assert len(saved) > 40
    assert all(secret_of(vault, user=name) == name for name in saved)
    assert run("open_and_list.py", directory, saved[-1]) == f"{saved[-1]}\n"


def a_refresh_whose_reply_cannot_be_written(directory: Path) -> None:
    """The caller gets its token, the rotated refresh token is not lost, and silent calls go on from there."""
    scopes = ["orders.read"]
    with IdentityProvider() as idp:
        app = PublicClientApplication("cli", authority=idp.issuer, cache=TokenCache(directory, key=KEY))
        agent = UserAgent(username="alice@example.test")
        account = app.acquire_token_interactive(scopes, open_browser=agent).account
        agent.join()
        first = app.acquire_token_silent(scopes, account)
        set_fault("meta_writes", 1)
        second = app.acquire_token_silent(scopes, account, force_refresh=True)
        assert second.metadata.token_source == "identity_provider"
        assert app.cache.stats().unsaved == 1
        assert app.acquire_token_silent(scopes, account).access_token == first.access_token
        third = app.acquire_token_silent(scopes, account, force_refresh=True)
        assert third.access_token not in {first.access_token, second.access_token}
        assert app.cache.stats().unsaved == 0
        assert app.cache.stats().recoveries == 1


def no_way_back(directory: Path) -> None:
    """LMDB refuses everything, also after the file was opened anew."""
    scopes = ["orders.read"]
    with IdentityProvider() as idp:
        cache = TokenCache(directory, key=KEY)
        service = ConfidentialClientApplication(
            "service", credential=ClientSecret("service-secret"), authority=idp.issuer, cache=cache
        )
        app = PublicClientApplication("cli", authority=idp.issuer, cache=cache)
        agent = UserAgent(username="alice@example.test")
        account = app.acquire_token_interactive(scopes, open_browser=agent).account
        agent.join()
        service.acquire_token_for_client(scopes)
        vault = cache.vault()  # opened before
        set_fault("panic", 1)
        assert code_of(vault, "x") == "cache_panic"
        assert error_of(lambda: secret_of(vault)).code == "cache_panic"
        assert error_of(lambda: app.acquire_token_silent(scopes, account, force_refresh=True)).code == "cache_panic"
        set_fault("panic", 0)
        assert app.acquire_token_silent(scopes, account).metadata.token_source == "cache"
        assert service.acquire_token_for_client(scopes).metadata.token_source == "cache"


def a_mapping_that_does_not_follow_the_file(directory: Path) -> None:
    open_vault(directory).save(new_tokens("first"))
    set_fault("freeze_mapping", 1)
    vault = open_vault(directory)
    before = vault.newest
    vault.save(new_tokens("second"))
    assert vault.newest > before  # by way of LMDB's own mapping
    assert secret_of(vault) == "second"


def no_mapping_that_follows_the_file(directory: Path) -> None:
    open_vault(directory).save(new_tokens("first"))
    vault = open_vault(directory)
    set_fault("freeze_mapping", 1)
    set_fault("freeze_info", 1)
    vault.shared.store.reopen()
    for use in (lambda: vault.save(new_tokens("second")), lambda: vault.save(new_tokens("x")), lambda: find(vault)):
        error = error_of(use)
        assert isinstance(error, CacheRefusedError)
        assert error.code == "file_system_refused"
        assert "tmpfs" in str(error)
    assert vault.newest == 0


def a_network_file_system(directory: Path) -> None:
    """By the magic numbers of statfs(2), made up for the file system that is here."""
    for magic in (0x6969, 0xFF534D42, 0xFE534D42, 0x65735546, 0x01021997, 0x00C36400):
        ctypes.c_uint.in_dll(FAULTS, "fault_file_system").value = magic
        for place in (directory, directory / "below"):
            error = error_of(TokenCache(place, key=KEY).vault)
            assert isinstance(error, CacheRefusedError)
            assert error.code == "file_system_refused"
            assert "local disk" in str(error)
        assert not directory.exists()
    for magic in (0xEF53, 0x01021994, 0x794C7630, 0x58465342, 0x9123683E):  # ext4, tmpfs, overlay, xfs, btrfs
        ctypes.c_uint.in_dll(FAULTS, "fault_file_system").value = magic
        place = directory.with_name(f"{magic:x}")
        TokenCache(place, key=KEY).vault().save(new_tokens("token"))
        assert _engine.file_system(place) == magic


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
    print("ok")
