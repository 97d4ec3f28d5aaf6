"""Azure AD B2C, Entra External ID, dSTS and AD FS, against scripted replies: whom they name, where they are asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from support.microsoft import AsyncMicrosoft, Microsoft
from support.world import Client

import warmtoken
import warmtoken.aio
from warmtoken import ClientError, ClientSecret, ProtocolError, TokenCache, UiRequiredError
from warmtoken.testing import Clock

TENANT = "0f0e0d0c-1111-4c40-97bc-f7a23c703084"
OTHER_TENANT = "3a7e1d2c-2222-4c40-97bc-f7a23c703084"
B2C = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_susi"
CIAM = "https://contoso.ciamlogin.com"
CIAM_ISSUER = f"https://{TENANT}.ciamlogin.com/{TENANT}/v2.0"
DSTS = "https://dsts.core.test/dstsv2"
ADFS = "https://fs.contoso.test/adfs"
SCOPES = ["api/read"]
IMPORTED = "rt-of-another-library"

Make = Callable[..., Client]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=bytes(32), clock=clock) as made:
        yield made


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, cache: TokenCache) -> Iterator[Make]:
    """Makes applications of either kind at an authority that a service answers for."""
    module: Any = warmtoken if request.param == "sync" else warmtoken.aio
    with asyncio.Runner() as runner:

        def run(call: Callable[[], Any]) -> Any:
            outcome = call()
            return runner.run(outcome) if asyncio.iscoroutine(outcome) else outcome

        def made(authority: str, service: Microsoft, secret: str | None = None) -> Client:
            transport = service if request.param == "sync" else AsyncMicrosoft(service)
            if secret is None:
                application = module.PublicClientApplication(
                    "cli", authority=authority, cache=cache, transport=transport
                )
            else:
                application = module.ConfidentialClientApplication(
                    "cli", credential=ClientSecret(secret), authority=authority, cache=cache, transport=transport
                )
            return Client(application, run)

        yield made


def b2c(clock: Clock, flow: str = "b2c_1_susi") -> Microsoft:
    base = f"https://contoso.b2clogin.com/contoso.onmicrosoft.com/{flow}/oauth2/v2.0"
    return Microsoft(
        clock,
        f"https://contoso.b2clogin.com/{TENANT}/v2.0/",
        {"name": "Alice", "tfp": flow},
        {"uid": f"oid-1-{flow}", "utid": TENANT},
        {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"},
    )


def ciam(clock: Clock) -> Microsoft:
    claims = {"oid": "oid-1", "tid": TENANT, "preferred_username": "alice@example.test"}
    return Microsoft(clock, CIAM_ISSUER, claims, {"uid": "oid-1", "utid": TENANT})


def adfs(clock: Clock) -> Microsoft:
    return Microsoft(
        clock,
        ADFS,
        {"upn": "alice@contoso.test"},
        metadata={"authorization_endpoint": f"{ADFS}/oauth2/authorize/", "token_endpoint": f"{ADFS}/oauth2/token/"},
    )


class Browser:
    """Comes back at once with a code, for the sign-in whose nonce the service then puts into the id token."""

    thread: threading.Thread

    def __init__(self, service: Microsoft) -> None:
        self._service = service

    def __call__(self, url: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self._service.claims["nonce"] = asked["nonce"]
        back = f"{asked['redirect_uri']}?code=c&state={asked['state']}"
        self.thread = threading.Thread(target=lambda: urlopen(back).close())
        self.thread.start()


# --- Azure AD B2C ---


def test_a_user_of_b2c_is_named_by_the_user_flow_and_the_tenant(make: Make, clock: Clock) -> None:
    """MSAL.NET: the home account id is `{oid}-{flow}.{tid}`, the realm is the tenant of the authority."""
    service = b2c(clock)
    app = make(B2C, service)
    signed_in = app.acquire_token_by_refresh_token(IMPORTED, SCOPES)
    assert signed_in.account.home_account_id == f"oid-1-b2c_1_susi.{TENANT}"
    assert (signed_in.tenant_id, signed_in.account.tenant_id) == ("contoso.onmicrosoft.com", "contoso.onmicrosoft.com")
    assert signed_in.account.environment == "contoso.b2clogin.com"
    base = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_susi"
    assert service.urls() == [f"{base}/v2.0/.well-known/openid-configuration", f"{base}/oauth2/v2.0/token"]
    assert app.get_accounts() == [signed_in.account]
    for _ in range(2):
        assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    assert service.urls() == []


def test_a_refresh_at_b2c_speaks_entras_dialect(make: Make, clock: Clock) -> None:
    service = b2c(clock)
    app = make(B2C, service)
    account = app.acquire_token_by_refresh_token(IMPORTED, SCOPES).account
    app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert (service.form()["refresh_token"], service.form()["client_info"]) == ("rt", "1")
    assert set(service.form()["scope"].split()) == {"api/read", "openid", "profile", "offline_access"}


def test_at_b2c_a_refresh_may_name_another_uid_of_the_same_tenant_alone(make: Make, clock: Clock) -> None:
    """MSAL.NET: only the utid part is compared, since the uid part changes with the user flow."""
    service = b2c(clock)
    app = make(B2C, service)
    account = app.acquire_token_by_refresh_token(IMPORTED, SCOPES).account
    service.client_info = {"uid": "oid-1-b2c_1_edit", "utid": TENANT}
    renewed = app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert renewed.account.home_account_id == account.home_account_id
    assert app.acquire_token_silent(SCOPES, account).access_token == renewed.access_token
    service.client_info = {"uid": "oid-1-b2c_1_susi", "utid": OTHER_TENANT}
    with pytest.raises(ClientError) as refused:
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert refused.value.code == "user_mismatch"
    assert app.acquire_token_silent(SCOPES, account).access_token == renewed.access_token


def test_at_b2c_a_sign_in_for_an_account_must_be_the_same_users(make: Make, clock: Clock) -> None:
    """The rule for refreshes is none for sign-ins: anybody of the tenant may sit at the browser."""
    service = b2c(clock)
    app = make(B2C, service)
    account = app.acquire_token_by_refresh_token(IMPORTED, SCOPES).account
    app.remove_account(account)
    service.client_info = {"uid": "oid-2-b2c_1_susi", "utid": TENANT}
    browser = Browser(service)
    with pytest.raises(ClientError) as refused:
        app.acquire_token(SCOPES, account, open_browser=browser)
    browser.thread.join()
    assert refused.value.code == "user_mismatch"
    assert app.get_accounts() == []


def test_user_flows_of_b2c_do_not_see_each_others_accounts(make: Make, clock: Clock) -> None:
    """MSAL.NET lists both, and leaves it to the program to tell them apart (GetAccounts(userFlow))."""
    app, other = make(B2C, b2c(clock)), make(B2C.replace("susi", "edit"), b2c(clock, "b2c_1_edit"))
    mine = app.acquire_token_by_refresh_token(IMPORTED, SCOPES).account
    theirs = other.acquire_token_by_refresh_token(IMPORTED, SCOPES).account
    assert (app.get_accounts(), other.get_accounts()) == ([mine], [theirs])
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        other.acquire_token_silent(SCOPES, mine)


def test_the_two_spellings_of_a_user_flow_share_their_tokens(make: Make, clock: Clock) -> None:
    service = b2c(clock)
    signed_in = make(B2C, service).acquire_token_by_refresh_token(IMPORTED, SCOPES)
    same = make(B2C.replace("/contoso.on", "/tfp/Contoso.on"), service)
    assert same.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


def test_b2c_has_no_other_tenants(make: Make, clock: Clock) -> None:
    """MSAL.NET ignores the tenant, and hands out the token of the one that was configured."""
    app = make(B2C, b2c(clock))
    signed_in = app.acquire_token_by_refresh_token(IMPORTED, SCOPES)
    with pytest.raises(ValueError, match=r"expected no tenant but contoso\.onmicrosoft"):
        app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=OTHER_TENANT)
    own = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id="Contoso.onmicrosoft.com")
    assert own.access_token == signed_in.access_token


@pytest.mark.parametrize(
    "issuer", [f"https://contoso.b2clogin.com/{OTHER_TENANT}/v2.0/", f"https://{TENANT}.b2clogin.com/{TENANT}/v2.0/"]
)
def test_an_id_token_of_b2c_names_the_issuer_that_the_metadata_name(make: Make, clock: Clock, issuer: str) -> None:
    """MSAL takes the id token as it comes."""
    service = b2c(clock)
    service.claims["iss"] = issuer
    with pytest.raises(ProtocolError) as refused:
        make(B2C, service).acquire_token_by_refresh_token(IMPORTED, SCOPES)
    assert refused.value.code == "id_token_issuer_mismatch"


# --- Entra External ID ---


@pytest.mark.parametrize(
    ("authority", "tenant"), [(CIAM, "contoso.onmicrosoft.com"), (f"{CIAM}/{TENANT}", TENANT)], ids=["host", "tenant"]
)
def test_external_id_is_asked_for_tokens_alone(make: Make, clock: Clock, authority: str, tenant: str) -> None:
    """MSAL.NET: a host alone stands for `{name}.onmicrosoft.com`; the endpoints follow from the URL."""
    service = ciam(clock)
    app = make(authority, service)
    signed_in = app.acquire_token_by_refresh_token(IMPORTED, SCOPES)
    assert service.urls() == [f"{CIAM}/{tenant}/oauth2/v2.0/token"]
    assert signed_in.account.home_account_id == f"oid-1.{TENANT}"
    assert signed_in.account.environment == "contoso.ciamlogin.com"
    assert signed_in.tenant_id == tenant
    (profile,) = app.get_tenant_profiles(signed_in.account)
    assert (profile.tenant_id, profile.local_account_id, profile.is_home) == (TENANT, "oid-1", True)
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


@pytest.mark.parametrize(
    "issuer",
    [
        f"https://contoso.ciamlogin.com/{TENANT}/v2.0",
        f"https://{OTHER_TENANT}.ciamlogin.com/{TENANT}/v2.0",
        f"https://{TENANT}.ciamlogin.com/{OTHER_TENANT}/v2.0",
        f"https://{TENANT}.ciamlogin.com.evil.test/{TENANT}/v2.0",
        f"https://login.microsoftonline.com/{TENANT}/v2.0",
    ],
)
def test_an_id_token_of_external_id_names_the_tenants_id_twice(make: Make, clock: Clock, issuer: str) -> None:
    service = ciam(clock)
    service.issuer = issuer
    with pytest.raises(ProtocolError) as refused:
        make(CIAM, service).acquire_token_by_refresh_token(IMPORTED, SCOPES)
    assert refused.value.code == "id_token_issuer_mismatch"


# --- dSTS ---


def test_dsts_is_asked_in_the_tenant_that_was_configured_or_asked_for(make: Make, clock: Clock) -> None:
    """MSAL.NET: dSTS has Entra's endpoints behind `/dstsv2/{tenant}`, and a tenant asked for replaces the other."""
    service = Microsoft(clock, DSTS)
    app = make(f"{DSTS}/{TENANT}", service, secret="s")
    own = app.acquire_token_for_client(SCOPES)
    other = app.acquire_token_for_client(SCOPES, tenant_id=OTHER_TENANT)
    assert service.form()["client_secret"] == "s"
    assert service.urls() == [f"{DSTS}/{TENANT}/oauth2/v2.0/token", f"{DSTS}/{OTHER_TENANT}/oauth2/v2.0/token"]
    assert (own.tenant_id, other.tenant_id) == (TENANT, OTHER_TENANT)
    assert app.acquire_token_for_client(SCOPES).access_token == own.access_token
    assert app.acquire_token_for_client(SCOPES, tenant_id=OTHER_TENANT).access_token == other.access_token
    assert service.urls() == []


def test_dsts_without_a_tenant_is_refreshed_in_the_users_home_tenant(make: Make, clock: Clock) -> None:
    service = Microsoft(clock, f"{DSTS}/common", {"tid": TENANT}, {"uid": "oid-1", "utid": TENANT})
    app = make(f"{DSTS}/common", service)
    signed_in = app.acquire_token_by_refresh_token(IMPORTED, SCOPES)
    service.issuer = f"{DSTS}/{TENANT}"
    app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert service.urls() == [f"{DSTS}/common/oauth2/v2.0/token", f"{DSTS}/{TENANT}/oauth2/v2.0/token"]


# --- AD FS ---


def test_a_user_of_ad_fs_is_named_by_sub_in_no_tenant(make: Make, clock: Clock) -> None:
    service = adfs(clock)
    app = make(ADFS, service)
    signed_in = app.acquire_token_by_refresh_token(IMPORTED, SCOPES)
    account = signed_in.account
    assert service.urls() == [f"{ADFS}/.well-known/openid-configuration", f"{ADFS}/oauth2/token/"]
    assert (account.home_account_id, account.username, account.tenant_id) == ("sub-1", "alice@contoso.test", "")
    assert signed_in.tenant_id == ""
    assert app.acquire_token_silent(SCOPES, account).access_token == signed_in.access_token
    with pytest.raises(ValueError, match="expected no tenant"):
        app.acquire_token_silent(SCOPES, account, tenant_id=TENANT)


def test_a_refresh_token_that_ad_fs_refuses_is_forgotten(make: Make, clock: Clock) -> None:
    """Entra says invalid_grant for other reasons too; AD FS means the token."""
    service = adfs(clock)
    app = make(ADFS, service)
    account = app.acquire_token_by_refresh_token(IMPORTED, SCOPES).account
    service.refusal = {"error": "invalid_grant", "error_description": "MSIS9615"}
    for code in ("invalid_grant", "no_tokens_found"):
        with pytest.raises(UiRequiredError) as refused:
            app.acquire_token_silent(["api/other"], account)
        assert refused.value.code == code
