"""Refresh tokens of a family of clients (Microsoft Entra's FOCI): one sign-in for all, never one token twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.family import AUTHORITY, HOME, IMPORTED, AsyncFamilyProvider, FamilyProvider
from support.workers import ask_as_members
from support.world import KEY, Client

import warmtoken
import warmtoken.aio
from warmtoken import (
    Account,
    AuthenticationResult,
    ClientSecret,
    ConfidentialClientApplication,
    ServiceError,
    TokenCache,
    UiRequiredError,
)
from warmtoken.errors import CacheFullError
from warmtoken.testing import Clock

SCOPES = ["User.Read"]
EVERYTHING = ("cli", "editor", "stranger")


class Household:
    """One provider, one cache, and applications of either kind."""

    def __init__(self, mode: str, directory: Path) -> None:
        self.mode = mode
        self.clock = Clock()
        self.cache = TokenCache(directory / "cache", key=KEY, clock=self.clock)
        self.provider = (FamilyProvider if mode == "sync" else AsyncFamilyProvider)(directory / "idp", self.clock)
        self._run = _awaited if mode == "async" else _called

    def app(self, client_id: str, **more: Any) -> Client:
        module = warmtoken if self.mode == "sync" else warmtoken.aio
        arguments = {"authority": AUTHORITY, "cache": self.cache, "transport": self.provider} | more
        return Client(module.PublicClientApplication(client_id, **arguments), self._run)

    def sign_in(self, client_id: str) -> Account:
        """Bring an account into the cache, by a refresh token of another library."""
        result: AuthenticationResult = self.app(client_id).acquire_token_by_refresh_token(IMPORTED, SCOPES)
        assert result.account is not None
        return result.account

    def requests(self) -> list[tuple[str, str, str]]:
        """The refresh requests after the sign-ins: client, kind of refresh token, outcome."""
        sent = [one for one in self.provider.sent() if one[1] != IMPORTED]
        return [(client, token.rpartition("-")[0], outcome) for client, token, outcome in sent]


def _called(call: Callable[[], Any]) -> Any:
    return call()


def _awaited(call: Callable[[], Any]) -> Any:
    import asyncio

    async def run() -> Any:
        return await call()

    return asyncio.run(run())


@pytest.fixture(params=["sync", "async"])
def household(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Household]:
    made = Household(request.param, tmp_path)
    with made.cache:
        yield made


@pytest.fixture
def blocking(tmp_path: Path) -> Iterator[Household]:
    made = Household("sync", tmp_path)
    with made.cache:
        yield made


# --- who may use it ---


def test_a_sign_in_of_one_client_serves_another_of_the_family(household: Household) -> None:
    account = household.sign_in("cli")
    editor = household.app("editor")
    result = editor.acquire_token_silent(SCOPES, account)
    assert household.requests() == [("editor", "family", "granted")]
    assert result.account == account
    assert result.id_token_claims["aud"] == "editor"
    assert editor.acquire_token_silent(SCOPES, account).access_token == result.access_token
    household.clock.advance(3600)
    assert household.app("cli").acquire_token_silent(SCOPES, account).account == account
    assert household.requests()[1:] == [("cli", "family", "granted")]


def test_a_client_of_the_family_finds_its_accounts(household: Household) -> None:
    account = household.sign_in("cli")
    editor = household.app("editor")
    assert editor.get_accounts() == [account]
    assert editor.get_account(account.home_account_id) == account
    assert editor.acquire_token(SCOPES).access_token.startswith("at-editor")
    assert editor.acquire_token_silent(SCOPES, login_hint=account.username).account == account


def test_a_client_that_is_not_of_the_family_uses_its_own_token_and_tries_the_familys_once(
    household: Household,
) -> None:
    household.sign_in("cli")
    stranger = household.app("stranger")
    account = household.sign_in("cli")
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        stranger.acquire_token_silent(SCOPES, account)
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        household.app("Stranger").acquire_token_silent(SCOPES, account, force_refresh=True)
    assert household.requests() == [("stranger", "family", "client_mismatch")]
    assert stranger.get_accounts() == []


def test_a_client_that_signed_in_without_the_family_never_tries_its_token(household: Household) -> None:
    household.sign_in("cli")
    account = household.sign_in("stranger")
    household.app("stranger").acquire_token_silent(SCOPES, account, force_refresh=True)
    assert household.requests() == [("stranger", "stranger", "granted")]


def test_a_client_that_was_not_known_goes_on_to_its_own_token(household: Household) -> None:
    """Its own sign-in was before this library noted who belongs to a family."""
    account = household.sign_in("cli")
    household.sign_in("stranger")
    forget_what_is_known_of(household, "stranger")
    stranger = household.app("stranger")
    for _ in range(2):
        result = stranger.acquire_token_silent(SCOPES, account, force_refresh=True)
        assert result.access_token.startswith("at-stranger")
    assert household.requests() == [
        ("stranger", "family", "client_mismatch"),
        ("stranger", "stranger", "granted"),
        ("stranger", "stranger", "granted"),
    ]


def forget_what_is_known_of(household: Household, client_id: str) -> None:
    from warmtoken import _engine

    vault = household.cache.vault()
    owner = household.app(client_id).application._context.owner(None)
    vault.shared.commit([(_engine.DELETE, _engine.APP, vault.keys.app(owner))])


def test_other_refusals_of_the_familys_token_are_raised(household: Household) -> None:
    account = household.sign_in("stranger")
    household.provider.members = EVERYTHING
    household.sign_in("stranger")  # it has a token of its own, and by now belongs to the family
    (live,) = [token for token in live_tokens(household) if token.startswith("family")]
    household.provider.revoke(live)
    app = household.app("stranger")
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert (refused.value.code, refused.value.suberror) == ("invalid_grant", "bad_token")
    assert app.acquire_token_silent(SCOPES, account, force_refresh=True).account == account  # the dead one is gone
    assert [one[1:] for one in household.requests()] == [("family", "bad_token"), ("stranger", "granted")]


def live_tokens(household: Household) -> list[str]:
    with household.provider._state() as state:
        return list(state["live"])


def test_a_refusal_for_another_reason_does_not_lead_to_the_own_token(household: Household) -> None:
    account = household.sign_in("stranger")
    household.provider.members = EVERYTHING
    household.sign_in("stranger")
    household.provider._refusal = lambda *_: "protection_policy_required"  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(ServiceError) as refused:
            household.app("stranger").acquire_token_silent(SCOPES, account, force_refresh=True)
        assert refused.value.suberror == "protection_policy_required"
    assert [one[1] for one in household.requests()] == ["family", "family"]


@pytest.mark.parametrize("foci", ["2", "family"])
def test_a_family_that_nobody_knows_is_none(household: Household, foci: str) -> None:
    provider, issued = household.provider, household.provider._issued
    provider._issued = lambda *arguments: issued(*arguments) | {"foci": foci}  # type: ignore[method-assign]
    account = household.sign_in("stranger")
    assert household.app("stranger").acquire_token_silent(SCOPES, account, force_refresh=True).account == account
    assert household.requests() == [("stranger", "stranger", "granted")]


def test_a_refresh_without_a_new_refresh_token_keeps_the_familys(household: Household) -> None:
    account = household.sign_in("cli")
    household.provider.rotates = False
    editor = household.app("editor")
    first = editor.acquire_token_silent(SCOPES, account)
    assert editor.acquire_token_silent(SCOPES, account).access_token == first.access_token
    assert editor.acquire_token_silent(SCOPES, account, force_refresh=True).access_token != first.access_token
    assert household.requests() == [("editor", "family", "granted")] * 2


def test_client_mismatch_of_an_own_token_is_raised(household: Household) -> None:
    account = household.sign_in("stranger")
    household.provider._refusal = lambda *_: "client_mismatch"  # type: ignore[method-assign]
    with pytest.raises(ServiceError) as refused:
        household.app("stranger").acquire_token_silent(SCOPES, account, force_refresh=True)
    assert (refused.value.code, refused.value.suberror) == ("invalid_grant", "client_mismatch")


def test_a_client_that_joins_the_family_keeps_no_token_of_its_own(household: Household) -> None:
    account = household.sign_in("stranger")
    household.provider.members = EVERYTHING
    app = household.app("stranger")
    for _ in range(2):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert household.requests() == [("stranger", "stranger", "granted"), ("stranger", "family", "granted")]
    owner = app.application._context.owner(account.home_account_id)
    assert household.cache.vault().find_refresh_token(owner) is None


def test_a_client_that_left_the_family_goes_on_with_its_own_token(household: Household) -> None:
    account = household.sign_in("cli")
    provider, app = household.provider, household.app("cli")
    issued = provider._issued

    def leaving(state: dict[str, Any], client: str) -> dict[str, Any]:
        provider.members = ()
        return issued(state, client)

    provider._issued = leaving  # type: ignore[method-assign]
    for _ in range(2):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert household.requests() == [("cli", "family", "granted"), ("cli", "cli", "granted")]
    owner = app.application._context.owner(account.home_account_id)
    assert household.cache.vault().find_refresh_token(owner, "1")  # for those who are still in it


def test_a_confidential_client_has_nothing_of_the_family(blocking: Household) -> None:
    account = blocking.sign_in("cli")
    service = ConfidentialClientApplication(
        "editor",
        credential=ClientSecret("s"),
        authority=AUTHORITY,
        cache=blocking.cache,
        transport=blocking.provider,
    )
    assert service.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        service.acquire_token_silent(SCOPES, account)
    assert service.acquire_token_by_refresh_token(IMPORTED, SCOPES).account == account
    service.remove_account(account)
    assert blocking.requests() == []
    assert blocking.app("cli").acquire_token_silent(SCOPES, account, force_refresh=True).account == account


def test_another_cloud_has_another_family(household: Household) -> None:
    account = household.sign_in("cli")
    china = household.app("editor", authority="https://login.partner.microsoftonline.cn/common")
    assert china.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        china.acquire_token_silent(SCOPES, account)


def test_an_alias_of_the_cloud_has_the_same_family(household: Household) -> None:
    account = household.sign_in("cli")
    alias = household.app("editor", authority="https://login.windows.net/common")
    assert alias.acquire_token_silent(SCOPES, account).account.home_account_id == f"oid-1.{HOME}"


def test_a_client_whose_id_looks_like_the_family_does_not_get_its_token(household: Household) -> None:
    account = household.sign_in("cli")
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        household.app("1").acquire_token_silent(SCOPES, account)
    assert household.requests() == [("1", "family", "client_mismatch")]


# --- signing out ---


def test_a_sign_out_of_one_client_takes_the_familys_token_along(household: Household) -> None:
    account = household.sign_in("cli")
    editor = household.app("editor")
    editor.acquire_token_silent(SCOPES, account)
    household.app("cli").remove_account(account)
    assert household.app("cli").get_accounts() == []
    assert editor.acquire_token_silent(SCOPES, account).account == account  # while its access token lasts
    household.clock.advance(3600)
    for client in EVERYTHING:
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            household.app(client).acquire_token_silent(SCOPES, account)
    assert len(household.requests()) == 1


def test_a_sign_out_of_a_stranger_leaves_the_family_alone(household: Household) -> None:
    household.sign_in("cli")
    account = household.sign_in("stranger")
    household.app("stranger").remove_account(account)
    assert household.app("editor").acquire_token_silent(SCOPES, account).account == account


@pytest.mark.parametrize("rotates", [True, False])
def test_a_sign_out_during_a_refresh_is_not_undone(blocking: Household, rotates: bool) -> None:
    account = blocking.sign_in("cli")
    blocking.provider.rotates = rotates
    sibling = blocking.app("cli")
    blocking.provider.on_request = lambda _: sibling.remove_account(account)
    editor = blocking.app("editor")
    editor.acquire_token_silent(SCOPES, account)  # whoever asked before the sign-out gets the token
    assert editor.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        editor.acquire_token_silent(SCOPES, account)


# --- one at a time ---


def test_two_clients_never_spend_one_token_twice(blocking: Household) -> None:
    account = blocking.sign_in("cli")
    blocking.clock.advance(3600)
    barrier = threading.Barrier(16)

    def ask(number: int) -> str:
        app = blocking.app(("cli", "editor")[number % 2])
        barrier.wait(60)
        return str(app.acquire_token_silent(SCOPES, account).access_token)

    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(ask, range(16)))
    assert len(set(tokens)) == 2
    assert sorted(blocking.requests()) == [("cli", "family", "granted"), ("editor", "family", "granted")]


def test_two_processes_of_two_clients_never_spend_one_token_twice(tmp_path: Path) -> None:
    household = Household("sync", tmp_path)
    account = household.sign_in("cli")
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(4), spawn.Queue()
    clients = ("cli", "editor", "cli", "editor")
    workers = [
        spawn.Process(target=ask_as_members, args=(tmp_path, client, account, barrier, answers)) for client in clients
    ]
    with contextlib.ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(worker.kill)
        tokens = [answers.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join(60)
    assert len({token for token in tokens if token.startswith("at-")}) == 2, tokens
    assert sorted(household.requests()) == [("cli", "family", "granted"), ("editor", "family", "granted")]


def test_all_who_wait_for_a_stranger_go_on_after_one_refusal(blocking: Household) -> None:
    account = blocking.sign_in("cli")
    blocking.sign_in("stranger")
    forget_what_is_known_of(blocking, "stranger")
    blocking.clock.advance(3600)
    barrier = threading.Barrier(8)

    def ask(_: int) -> str:
        app = blocking.app("stranger")
        barrier.wait(60)
        return str(app.acquire_token_silent(SCOPES, account).access_token)

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(ask, range(8)))
    assert len(set(tokens)) == 1
    assert blocking.requests() == [("stranger", "family", "client_mismatch"), ("stranger", "stranger", "granted")]


def test_what_was_learnt_of_a_stranger_need_not_be_stored(
    blocking: Household, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    account = blocking.sign_in("cli")

    def full(*_: object) -> None:
        raise CacheFullError("disk_full", "the disk is full; free some space and try again")

    monkeypatch.setattr(blocking.cache.vault(), "save_app", full)
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        blocking.app("stranger").acquire_token_silent(SCOPES, account)
    assert "could not be stored" in caplog.text


# --- certain misses ---


def test_a_familys_token_that_comes_ends_a_certain_miss(household: Household) -> None:
    account = household.sign_in("stranger")
    editor = household.app("editor")
    for _ in range(3):
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            editor.acquire_token_silent(SCOPES, account)
    hits = household.cache.stats().l1_hits
    assert hits >= 2
    household.sign_in("cli")
    assert editor.acquire_token_silent(SCOPES, account).account == account


def test_a_certain_miss_of_a_stranger_is_remembered_beside_the_familys_token(household: Household) -> None:
    account = household.sign_in("cli")
    stranger = household.app("stranger")
    for _ in range(3):
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            stranger.acquire_token_silent(SCOPES, account)
    assert household.cache.stats().l1_hits >= 1
    assert household.requests() == [("stranger", "family", "client_mismatch")]
