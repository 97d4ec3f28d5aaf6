"""Applications of MSAL and ours on one cache: each is served what the other has brought, and sees it leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.msal_apps import (
    COMMON,
    HOME,
    SCOPES,
    TENANT,
    Entra,
    confidential_msal,
    confidential_own,
    public_msal,
    public_own,
    sign_in,
    silent,
)

from warmtoken import PublicClientApplication, TokenCache, UiRequiredError

USER = f"oid-of-alice.{HOME}"
BOTH = pytest.mark.parametrize("authority", [COMMON, TENANT, f"{COMMON[:-6]}organizations"])


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=bytes(32)) as made:
        yield made


@pytest.fixture
def entra() -> Entra:
    return Entra(time.time())


@BOTH
def test_who_signed_in_to_msal_is_served_by_us(cache: TokenCache, entra: Entra, authority: str) -> None:
    token = sign_in(public_msal(cache, entra, authority))
    own = public_own(cache, entra, authority)
    [account] = own.get_accounts()
    assert (account.home_account_id, account.username, account.tenant_id) == (USER, "alice@contoso.example", HOME)
    assert account.account_source == "urn:ietf:params:oauth:grant-type:device_code"
    for scopes in (SCOPES, ["user.read"], ["Mail.Read", "User.Read"]):
        found = own.acquire_token_silent(scopes, account)
        assert (found.access_token, found.tenant_id, found.unique_id) == (token, HOME, "oid-of-alice")
        assert found.id_token_claims["oid"] == "oid-of-alice"
    assert len(entra.forms) == 1


@BOTH
def test_who_signed_in_to_us_is_served_by_msal(cache: TokenCache, entra: Entra, authority: str) -> None:
    token = public_own(cache, entra, authority).acquire_token_by_refresh_token("of another library", SCOPES)
    app = public_msal(cache, entra, authority)
    [account] = app.get_accounts(username="Alice@contoso.example")
    assert (account["home_account_id"], account["local_account_id"]) == (USER, "oid-of-alice")
    for scopes in (SCOPES, ["Mail.Read"], ["Mail.Read", "User.Read"], ["openid", "Mail.Read"]):
        for _ in range(2):
            found = app.acquire_token_silent(scopes, account)
            assert (found["access_token"], found["token_source"]) == (token.access_token, "cache")
    assert len(entra.forms) == 1


@BOTH
def test_the_newest_refresh_token_is_used_by_both(cache: TokenCache, entra: Entra, authority: str) -> None:
    theirs, ours = public_msal(cache, entra, authority), public_own(cache, entra, authority)
    sign_in(theirs)
    [account] = ours.get_accounts()
    for number in range(1, 5):
        renew: Callable[[], Any] = (
            (lambda: silent(theirs, force_refresh=True)["access_token"])
            if number % 2
            else (lambda: ours.acquire_token_silent(SCOPES, account, force_refresh=True).access_token)
        )
        token = renew()
        assert entra.last["refresh_token"] == f"rt-{number}"
        assert silent(theirs)["access_token"] == token
        assert ours.acquire_token_silent(SCOPES, account).access_token == token


def test_a_sign_out_in_msal_is_one_for_us(cache: TokenCache, entra: Entra) -> None:
    theirs, ours = public_msal(cache, entra), public_own(cache, entra)
    sign_in(theirs)
    [account] = ours.get_accounts()
    ours.acquire_token_silent(SCOPES, account)
    theirs.remove_account(theirs.get_accounts()[0])
    assert_signed_out(ours, theirs, account)


def test_a_sign_out_in_ours_is_one_for_msal(cache: TokenCache, entra: Entra) -> None:
    theirs, ours = public_msal(cache, entra), public_own(cache, entra)
    sign_in(theirs)
    silent(theirs)
    [account] = ours.get_accounts()
    ours.remove_account(account)
    assert_signed_out(ours, theirs, account)


def assert_signed_out(ours: PublicClientApplication, theirs: Any, account: Any) -> None:
    assert ours.get_accounts() == []
    assert theirs.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        ours.acquire_token_silent(SCOPES, account)
    for scopes in (SCOPES, ["Mail.Read"], ["Other.Read"]):
        assert theirs.acquire_token_silent(scopes, {"home_account_id": account.home_account_id}) is None
    assert ours.cache.stats().refresh_tokens == 0
    assert ours.cache.stats().id_tokens == 0


def test_hosts_of_one_cloud_share_tokens(cache: TokenCache, entra: Entra) -> None:
    token = public_own(cache, entra).acquire_token_by_refresh_token("of another library", SCOPES).access_token
    app = public_msal(cache, entra, COMMON.replace("microsoftonline.com", "windows.net"))
    assert silent(app)["access_token"] == token
    china = public_msal(cache, entra, "https://login.partner.microsoftonline.cn/common")
    assert china.get_accounts() == []
    assert china.acquire_token_silent(SCOPES, {"home_account_id": USER}) is None


def test_tokens_of_a_service_are_shared(cache: TokenCache, entra: Entra) -> None:
    theirs, ours = confidential_msal(cache, entra), confidential_own(cache, entra)
    first, second = ["https://graph.example/.default"], ["https://vault.example/.default"]
    token = theirs.acquire_token_for_client(first)["access_token"]
    assert ours.acquire_token_for_client(first).access_token == token
    token = ours.acquire_token_for_client(second).access_token
    assert theirs.acquire_token_for_client(second)["access_token"] == token
    assert len(entra.forms) == 2
    theirs.remove_tokens_for_client()
    assert ours.acquire_token_for_client(first).access_token not in (token, "at-1")
    assert len(entra.forms) == 3


def test_users_of_another_client_are_listed_as_msal_does_but_their_tokens_are_not_served(
    cache: TokenCache, entra: Entra
) -> None:
    sign_in(public_msal(cache, entra))
    other = public_msal(cache, entra, client_id="another")
    [account] = other.get_accounts()
    assert other.acquire_token_silent(SCOPES, account) is None
    assert public_own(cache, entra, client_id="another").get_accounts() == []


def test_two_users_are_told_apart(cache: TokenCache, entra: Entra) -> None:
    app = public_msal(cache, entra)
    tokens = {}
    for uid in ("alice", "bob"):
        entra.uid = uid
        tokens[f"{uid}.{HOME}"] = sign_in(app)
    assert {account["home_account_id"] for account in app.get_accounts()} == set(tokens)
    for account in app.get_accounts():
        token = tokens[account["home_account_id"]]
        assert app.acquire_token_silent(SCOPES, account)["access_token"] == token
        app.remove_account(account)
    assert cache.stats().access_tokens == 0


def test_a_token_near_its_end_is_refreshed_by_msals_rule(cache: TokenCache, entra: Entra) -> None:
    app = public_msal(cache, entra)
    entra.expires_in = 299
    sign_in(app)
    entra.expires_in = 3600
    found = silent(app)
    assert (found["access_token"], found["token_source"]) == ("at-2", "identity_provider")
    assert silent(app)["token_source"] == "cache"
