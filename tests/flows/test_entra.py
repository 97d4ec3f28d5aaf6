"""Microsoft Entra's rules, against scripted replies: tenants, aliases, client_info, which refusals kill a token."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from warmtoken import (
    AuthenticationResult,
    ClientError,
    ClientSecret,
    ConfidentialClientApplication,
    PublicClientApplication,
    ServiceError,
    TenantProfile,
    TokenCache,
    UiRequiredError,
)
from warmtoken.errors import CacheFullError
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

HOME = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
GUEST = "3a7e1d2c-0000-4c40-97bc-f7a23c703084"
COMMON = "https://login.microsoftonline.com/common"
SCOPES = ["User.Read"]


def segment(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


class Entra:
    """A transport that answers as Entra's token endpoint does."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[HttpRequest] = []
        self.refusal: dict[str, Any] | None = None
        self.uid = "oid-1"
        self.oid = ""
        self.scope = "User.Read openid profile"
        self.nonce: str | None = None
        self.omit_id_token = False

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        self.requests.append(request)
        if self.refusal is not None:
            return HttpResponse(400, {}, json.dumps(self.refusal).encode())
        return HttpResponse(200, {}, json.dumps(self._tokens(self.tenant())).encode())

    def tenant(self) -> str:
        return self.requests[-1].url.split("/")[3]

    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.requests[-1].body.decode()).items()}

    def _tokens(self, asked: str) -> dict[str, Any]:
        tenant = HOME if asked == "common" else asked
        now = int(self.clock.time())
        claims = {
            "iss": f"https://login.microsoftonline.com/{tenant}/v2.0",
            "aud": "cli",
            "sub": f"pairwise-{tenant}",
            "oid": self.oid or self.uid,
            "tid": tenant,
            "preferred_username": "alice@contoso.example",
            "iat": now,
            "exp": now + 3600,
            "nonce": self.nonce,
        }
        id_token = {} if self.omit_id_token else {"id_token": f"{segment({'alg': 'RS256'})}.{segment(claims)}.c2ln"}
        return {
            "token_type": "Bearer",
            "access_token": f"at-{len(self.requests)}-{tenant}",
            "refresh_token": f"rt-{len(self.requests)}",
            "expires_in": 3600,
            "scope": self.scope,
            **id_token,
            "client_info": segment({"uid": self.uid, "utid": HOME, "xms_tdbr": "EU"}),
            "spa_code": "spa-canary",
        }


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=bytes(32), clock=Clock()) as made:
        yield made


@pytest.fixture
def entra(cache: TokenCache) -> Entra:
    clock = cache.clock
    assert isinstance(clock, Clock)
    return Entra(clock)


@pytest.fixture
def app(cache: TokenCache, entra: Entra) -> PublicClientApplication:
    return PublicClientApplication("cli", authority=COMMON, cache=cache, transport=entra)


@pytest.fixture
def signed_in(app: PublicClientApplication) -> AuthenticationResult:
    return app.acquire_token_by_refresh_token("rt-of-another-library", SCOPES)


def test_a_user_is_named_by_client_info_and_the_token_lies_in_the_home_tenant(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    account = signed_in.account
    assert account is not None
    assert account.home_account_id == f"oid-1.{HOME}"
    assert (account.tenant_id, account.local_account_id) == (HOME, "oid-1")
    assert (signed_in.tenant_id, signed_in.unique_id) == (HOME, "oid-1")
    for _ in range(2):
        assert app.acquire_token_silent(SCOPES, account).access_token == signed_in.access_token
    assert len(entra.requests) == 1


def test_what_entra_says_besides_comes_with_its_reply_and_not_from_the_cache(
    app: PublicClientApplication, signed_in: AuthenticationResult
) -> None:
    assert signed_in.additional_response_parameters == {"xms_tdbr": "EU", "spa_code": "spa-canary"}
    assert "canary" not in repr(signed_in)
    for _ in range(2):
        assert app.acquire_token_silent(SCOPES, signed_in.account).additional_response_parameters == {}


def test_a_refresh_goes_to_the_home_tenant_with_entras_parameters(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    renewed = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert entra.requests[-1].url == f"https://login.microsoftonline.com/{HOME}/oauth2/v2.0/token"
    assert entra.form()["client_info"] == "1"
    assert set(entra.form()["scope"].split()) == {"User.Read", "openid", "profile", "offline_access"}
    assert renewed.metadata.token_endpoint == entra.requests[-1].url


def test_a_refresh_names_the_library_and_where_the_users_data_lie(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    assert "x-anchormailbox" not in entra.requests[-1].headers  # nobody knew whose token it was
    app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    headers = entra.requests[-1].headers
    assert headers["x-anchormailbox"] == f"oid:oid-1@{HOME}"
    assert headers["x-client-sku"] == "warmtoken"
    assert headers["x-ms-lib-capability"] == "retry-after, h429"
    assert not {name for name in headers if "telemetry" in name}


def test_a_sign_in_names_the_mailbox_of_the_hint(app: PublicClientApplication, entra: Entra) -> None:
    def browse(url: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        entra.nonce = asked["nonce"]
        answer = f"{asked['redirect_uri']}?{urlencode({'code': 'c', 'state': asked['state']})}"
        browser.append(threading.Thread(target=lambda: urllib.request.urlopen(answer, timeout=60).close()))
        browser[0].start()

    browser: list[threading.Thread] = []
    app.acquire_token_interactive(SCOPES, login_hint="alice@contoso.example", open_browser=browse)
    browser[0].join()
    assert entra.requests[-1].headers["x-anchormailbox"] == "upn:alice@contoso.example"


def test_a_web_sites_user_signs_in_at_the_tenant_asked_for_and_is_served_in_the_home_tenant(
    cache: TokenCache, entra: Entra
) -> None:
    web = ConfidentialClientApplication(
        "cli", credential=ClientSecret("its-secret"), authority=COMMON, cache=cache, transport=entra
    )
    hint = "alice@contoso.example"
    flow = web.initiate_auth_code_flow(
        SCOPES, "https://site.example/callback", login_hint=hint, domain_hint="contoso.example"
    )
    assert entra.requests == []  # the endpoints are known
    assert flow["auth_uri"].startswith(f"{COMMON}/oauth2/v2.0/authorize?")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(flow["auth_uri"]).query).items()}
    assert (asked["login_hint"], asked["domain_hint"], asked["client_info"]) == (hint, "contoso.example", "1")
    entra.nonce = asked["nonce"]
    brought = {"code": "c", "state": asked["state"], "session_state": "s"}  # no iss: Entra names none
    result = web.acquire_token_by_auth_code_flow(flow, brought)
    assert entra.requests[-1].url == f"{COMMON}/oauth2/v2.0/token"
    assert entra.requests[-1].headers["x-anchormailbox"] == f"upn:{hint}"
    form = entra.form()
    assert (form["client_id"], form["client_secret"], form["client_info"]) == ("cli", "its-secret", "1")
    assert (form["code_verifier"], form["redirect_uri"]) == (flow["code_verifier"], "https://site.example/callback")
    assert set(form["scope"].split()) == {"User.Read", "openid", "profile", "offline_access"}
    assert (result.tenant_id, result.unique_id) == (HOME, "oid-1")
    account = web.get_account(f"oid-1.{HOME}")
    assert web.acquire_token_silent(SCOPES, account).access_token == result.access_token
    assert len(entra.requests) == 1


def test_the_granted_scopes_are_kept_in_order_without_case(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    entra.scope = "profile User.Read email openid Calendars.Read"
    renewed = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    ordered = ("Calendars.Read", "email", "openid", "profile", "User.Read")
    assert (renewed.scopes, app.acquire_token_silent(SCOPES, signed_in.account).scopes) == (ordered, ordered)


def test_of_two_tokens_that_serve_the_one_that_expires_last_is_taken(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    """Where MSAL.NET raises multiple_matching_tokens_detected, as for reserved scopes alone."""
    entra.scope = "Mail.Read openid"
    entra.clock.advance(60)
    later = app.acquire_token_silent(["Mail.Read"], signed_in.account)
    for reserved in (["openid"], ["offline_access", "Profile"], []):
        assert app.acquire_token_silent(reserved, signed_in.account).access_token == later.access_token
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


def test_one_refresh_token_serves_all_tenants_and_each_has_its_own_access_token(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    guest = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=GUEST)
    assert (entra.tenant(), entra.form()["refresh_token"]) == (GUEST, "rt-1")
    assert guest.tenant_id == GUEST
    for _ in range(2):
        assert app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=GUEST).access_token == guest.access_token
        assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    (account,) = app.get_accounts()
    assert account.tenant_id == HOME


def test_a_hit_in_each_tenant_brings_the_id_token_of_that_tenant(
    app: PublicClientApplication, signed_in: AuthenticationResult
) -> None:
    guest = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=GUEST)
    for level in ("store", "L1"):
        for tenant_id, fetched in ((None, signed_in), (GUEST, guest)):
            hit = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=tenant_id)
            assert hit.metadata.cache_level == level
            assert (hit.id_token, hit.id_token_claims["tid"]) == (fetched.id_token, fetched.tenant_id)


def test_a_reply_without_an_id_token_keeps_the_account_in_its_tenant(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    """The tenants have an id each for the user, which the id token says, and client_info does not."""
    entra.omit_id_token = True
    renewed = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert (renewed.account, renewed.unique_id) == (signed_in.account, "oid-1")
    assert app.get_accounts() == [signed_in.account]
    guest = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=GUEST)
    assert (guest.tenant_id, guest.unique_id) == (GUEST, "")


@pytest.mark.parametrize("tenant_id", ["common", "organizations", "Common"])
def test_an_override_without_a_tenant_is_ignored(
    app: PublicClientApplication, signed_in: AuthenticationResult, tenant_id: str
) -> None:
    hit = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=tenant_id)
    assert hit.access_token == signed_in.access_token


def test_aliases_of_a_cloud_share_tokens_and_other_clouds_do_not(
    cache: TokenCache, entra: Entra, signed_in: AuthenticationResult
) -> None:
    alias = PublicClientApplication("cli", authority="https://login.windows.net/common", cache=cache, transport=entra)
    assert alias.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    china = PublicClientApplication(
        "cli", authority="https://login.partner.microsoftonline.cn/common", cache=cache, transport=entra
    )
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        china.acquire_token_silent(SCOPES, signed_in.account)


def test_accounts_are_served_and_removed_under_any_alias_of_the_cloud(
    app: PublicClientApplication, cache: TokenCache, entra: Entra, signed_in: AuthenticationResult
) -> None:
    """MSAL.NET: accounts come with the host that the program configured; no host is looked up to know the aliases."""
    alias = PublicClientApplication("cli", authority="https://sts.windows.net/common", cache=cache, transport=entra)
    assert signed_in.account is not None
    (account,) = alias.get_accounts()
    assert account == replace(signed_in.account, environment="sts.windows.net")
    assert alias.get_account(account.home_account_id.upper()) == account
    assert alias.get_tenant_profiles(signed_in.account) == app.get_tenant_profiles(account)
    assert app.acquire_token_silent(SCOPES, account).access_token == signed_in.access_token
    assert app.get_accounts() == [signed_in.account]
    app.remove_account(account)
    assert app.get_accounts() == alias.get_accounts() == []
    assert len(entra.requests) == 1


def test_a_sign_out_is_one_of_all_tenants(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    """MSAL.NET: all environments and realms."""
    app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=GUEST)
    (account,) = app.get_accounts()
    app.remove_account(account)
    for tenant_id in (None, HOME, GUEST):
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            app.acquire_token_silent(SCOPES, account, tenant_id=tenant_id)
    assert app.get_accounts() == app.get_tenant_profiles(account) == []
    assert len(entra.requests) == 2


def test_each_tenant_that_a_user_signed_in_to_has_a_profile_of_the_user(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    """MSAL.NET: one for each id token; the one of the tenant that the home account id names is at home."""
    entra.oid = "oid-as-guest"
    guest = app.acquire_token_silent(SCOPES, signed_in.account, tenant_id=GUEST)
    (account,) = app.get_accounts()
    home_profile, guest_profile = app.get_tenant_profiles(account)
    assert home_profile == TenantProfile(HOME, "oid-1", True, signed_in.id_token or "")
    assert guest_profile == TenantProfile(GUEST, "oid-as-guest", False, guest.id_token or "")
    assert guest_profile.id_token_claims["sub"] == f"pairwise-{GUEST}"


def test_another_user_in_client_info_is_refused(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    entra.uid = "oid-2"
    with pytest.raises(ClientError, match="user_mismatch"):
        app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


@pytest.mark.parametrize(
    ("suberror", "is_kept"),
    [(None, True), ("basic_action", True), ("consent_required", True), ("bad_token", False), ("token_expired", False)],
)
def test_only_a_dead_refresh_token_is_forgotten(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult, suberror: str | None, is_kept: bool
) -> None:
    """Entra says invalid_grant also where this request alone needs the user, for a second factor say."""
    entra.refusal = {"error": "invalid_grant", "error_description": "AADSTS70000", "suberror": suberror}
    codes = []
    for _ in range(2):
        with pytest.raises(UiRequiredError) as refused:
            app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
        codes.append(refused.value.code)
    assert codes == ["invalid_grant", "invalid_grant" if is_kept else "no_tokens_found"]
    assert len(entra.requests) == 2  # the token that is kept is not sent again at once either


@pytest.mark.parametrize("error", [CacheFullError("disk_full", "no room"), ClientError("cache_closed", "closed")])
def test_where_a_dead_refresh_token_cannot_be_deleted_the_providers_word_counts(
    app: PublicClientApplication,
    entra: Entra,
    signed_in: AuthenticationResult,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("warmtoken.flows.refresh.replace_dead", fail)
    entra.refusal = {"error": "invalid_grant", "suberror": "bad_token"}
    with pytest.raises(UiRequiredError, match="invalid_grant"):
        app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert f"a dead refresh token could not be deleted: {error}" in caplog.text


def test_invalid_scope_is_no_matter_for_the_user_at_entra(
    app: PublicClientApplication, entra: Entra, signed_in: AuthenticationResult
) -> None:
    entra.refusal = {"error": "invalid_scope", "error_codes": [70011]}
    with pytest.raises(ServiceError) as refused:
        app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert (refused.value.code, refused.value.error_codes) == ("invalid_scope", (70011,))
