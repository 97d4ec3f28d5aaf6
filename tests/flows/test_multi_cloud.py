"""Users of several Entra clouds in one application, against scripted replies: each is served by their own alone."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import pytest
from support.microsoft import AsyncMicrosoft, Microsoft
from support.world import Client

import warmtoken
import warmtoken.aio
from warmtoken import Account, ClientError, ProtocolError, TokenCache, UiRequiredError
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

HOME = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
GUEST = "3a7e1d2c-0000-4c40-97bc-f7a23c703084"
WORLDWIDE = "login.microsoftonline.com"
ALIAS = "login.windows.net"  # of the worldwide cloud
US = "login.microsoftonline.us"
CHINA = "login.partner.microsoftonline.cn"
SCOPES = ["User.Read"]
SOMEBODY = f"oid-1.{HOME}"

Make = Callable[..., Client]


class Clouds(Microsoft):
    """A transport that answers as the token endpoint of whichever cloud is asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, "", {"oid": "oid-1", "preferred_username": "alice@contoso.example"})
        self.client_info = {"uid": "oid-1", "utid": HOME}
        self._numbers = itertools.count(1)

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        parts = urlsplit(request.url)
        asked = parts.path.split("/")[1]
        tenant = HOME if asked in {"common", "organizations"} else asked
        named = WORLDWIDE if parts.hostname == ALIAS else parts.hostname
        self.issuer = f"https://{named}/{tenant}/v2.0"
        self.claims["tid"] = tenant
        return super().send(request, timeout=timeout)

    def _tokens(self) -> dict[str, Any]:
        host = urlsplit(self.requests[-1].url).hostname
        if self.requests[-1].url.endswith("/devicecode"):
            verification = {"verification_uri": f"https://{host}/device", "expires_in": 900}
            return {"device_code": "d", "user_code": "ABCD", **verification}
        number = next(self._numbers)
        return super()._tokens() | {"access_token": f"at-{number}-{host}", "refresh_token": f"rt-{number}-{host}"}


class Browser:
    """Comes back at once with a code, and with what else the provider answers."""

    thread: threading.Thread

    def __init__(self, service: Clouds, **answer: str) -> None:
        self.asked: dict[str, str] = {}
        self._service = service
        self._answer = answer

    def __call__(self, url: str) -> None:
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self._service.claims["nonce"] = self.asked["nonce"]
        answer = {"code": "the-code", "state": self.asked["state"], **self._answer}
        back = f"{self.asked['redirect_uri']}?{urlencode(answer)}"
        self.thread = threading.Thread(target=lambda: urlopen(back).close())
        self.thread.start()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=bytes(32), clock=clock) as made:
        yield made


@pytest.fixture
def service(clock: Clock) -> Clouds:
    return Clouds(clock)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, cache: TokenCache, service: Clouds) -> Iterator[Make]:
    """Makes applications of either kind on one cache."""
    module: Any = warmtoken if request.param == "sync" else warmtoken.aio
    transport = service if request.param == "sync" else AsyncMicrosoft(service)
    with asyncio.Runner() as runner:

        def run(call: Callable[[], Any]) -> Any:
            outcome = call()
            return runner.run(outcome) if asyncio.iscoroutine(outcome) else outcome

        def made(authority: str = f"https://{WORLDWIDE}/common", *, multi_cloud: bool = True) -> Client:
            application = module.PublicClientApplication(
                "cli", authority=authority, cache=cache, transport=transport, multi_cloud=multi_cloud
            )
            return Client(application, run)

        yield made


@pytest.fixture
def app(make: Make) -> Client:
    return make()


def sign_in(app: Client, service: Clouds, host: str | None, account: Account | None = None) -> Any:
    """Sign somebody in, for an account or for any; the redirect names a host, or none."""
    browser = Browser(service, **({} if host is None else {"cloud_instance_host_name": host}))
    try:
        if account is not None:
            return app.acquire_token(SCOPES, account, open_browser=browser)
        return app.acquire_token_interactive(SCOPES, open_browser=browser)
    finally:
        browser.thread.join()


# --- signing in ---


def test_the_browser_is_told_that_any_cloud_will_do(make: Make, service: Clouds) -> None:
    for multi_cloud, sent in ((True, "true"), (False, None)):
        browser = Browser(service)
        make(multi_cloud=multi_cloud).acquire_token_interactive(SCOPES, open_browser=browser)
        browser.thread.join()
        assert browser.asked.get("instance_aware") == sent


@pytest.mark.parametrize("tenant", ["common", "organizations", HOME])
def test_the_code_is_redeemed_in_the_same_tenant_of_the_cloud_that_the_redirect_names(
    make: Make, service: Clouds, tenant: str
) -> None:
    result = sign_in(make(f"https://{WORLDWIDE}/{tenant}"), service, US)
    assert (service.form()["code"], service.form()["grant_type"]) == ("the-code", "authorization_code")
    assert service.urls() == [f"https://{US}/{tenant}/oauth2/v2.0/token"]
    assert result.metadata.token_endpoint == f"https://{US}/{tenant}/oauth2/v2.0/token"


def test_a_web_sites_code_is_redeemed_there_as_well(app: Client, service: Clouds) -> None:
    flow = app.initiate_auth_code_flow(SCOPES, "https://site.example/callback")
    assert "instance_aware=true" in flow["auth_uri"]
    service.claims["nonce"] = flow["nonce"]
    brought = {"code": "the-code", "state": flow["state"]}
    with pytest.raises(ProtocolError, match="invalid_instance"):
        app.acquire_token_by_auth_code_flow(flow, {**brought, "cloud_instance_host_name": "evil.test"})
    assert service.requests == []
    result = app.acquire_token_by_auth_code_flow(flow, {**brought, "cloud_instance_host_name": US})
    assert service.urls() == [f"https://{US}/common/oauth2/v2.0/token"]
    assert result.account.environment == US


def test_the_account_is_of_the_cloud_that_the_redirect_names(app: Client, service: Clouds) -> None:
    """A program finds the API of the same cloud by the account's environment (MSAL.NET's documentation)."""
    account = sign_in(app, service, US).account
    assert (account.home_account_id, account.environment) == (SOMEBODY, US)


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "login.microsoftonline.us.evil.test",
        "evil-login.microsoftonline.us",
        "login.microsoftonline.us@evil.test",
        "login.microsoftonline.us/evil",
        "login.microsoftonline.us:8443",
        "https://login.microsoftonline.us",
        "login.microsoftonline.us\n",
        "contoso.b2clogin.com",
        "contoso.ciamlogin.com",
        "127.0.0.1",
    ],
)
def test_a_host_that_is_no_known_cloud_gets_no_code(app: Client, service: Clouds, host: str) -> None:
    """MSAL.NET asks the cloud that it knows whether the host is one (instance discovery)."""
    with pytest.raises(ProtocolError) as refused:
        sign_in(app, service, host)
    assert refused.value.code == "invalid_instance"
    assert "the-code" not in str(refused.value)
    assert service.requests == []
    assert app.get_accounts() == []


@pytest.mark.parametrize("own", [WORLDWIDE, ALIAS])
@pytest.mark.parametrize("named", [None, "", WORLDWIDE, ALIAS])
def test_who_is_of_the_applications_own_cloud_is_served_at_the_host_that_it_was_given(
    make: Make, service: Clouds, own: str, named: str | None
) -> None:
    app = make(f"https://{own}/common")
    account = sign_in(app, service, named).account
    assert account.environment == own
    app.acquire_token_silent(SCOPES, replace(account, environment=WORLDWIDE), force_refresh=True)
    assert {urlsplit(url).hostname for url in service.urls()} == {own}
    assert app.get_accounts() == [account]


@pytest.mark.parametrize("host", ["login.usgovcloudapi.net", "Login.MicrosoftOnline.US"])
def test_a_cloud_is_asked_at_its_first_name_whichever_the_redirect_says(
    app: Client, service: Clouds, host: str
) -> None:
    """MSAL.NET: the name that instance discovery prefers for the network."""
    assert sign_in(app, service, host).account.environment == US
    assert service.urls() == [f"https://{US}/common/oauth2/v2.0/token"]


@pytest.mark.parametrize("host", [US, "evil.test"])
def test_without_multi_cloud_the_redirect_names_no_host(make: Make, service: Clouds, host: str) -> None:
    result = sign_in(make(multi_cloud=False), service, host)
    assert result.account.environment == WORLDWIDE
    assert service.urls() == [f"https://{WORLDWIDE}/common/oauth2/v2.0/token"]


def test_a_sign_in_for_an_account_must_not_end_in_another_cloud(app: Client, service: Clouds) -> None:
    """Two clouds may know one id: that of the other is another user."""
    expected = Account(SOMEBODY, US, "alice@contoso.example")
    with pytest.raises(ClientError) as refused:
        sign_in(app, service, WORLDWIDE, expected)
    assert refused.value.code == "user_mismatch"
    assert app.get_accounts() == []
    assert sign_in(app, service, US, expected).account.environment == US


def test_who_is_asked_again_on_another_device_is_asked_by_their_own_cloud(app: Client, service: Clouds) -> None:
    """The answer to a device code names no cloud, in MSAL.NET either."""
    account = Account(SOMEBODY, US, "alice@contoso.example")
    shown: list[Any] = []
    result = app.acquire_token(SCOPES, account, fallback="device_code", on_user_code=shown.append)
    assert [code.verification_uri for code in shown] == [f"https://{US}/device"]
    assert {urlsplit(url).hostname for url in service.urls()} == {US}
    assert app.get_accounts() == [result.account]


# --- where the tokens lie ---


def test_tokens_lie_under_the_name_of_the_users_cloud(make: Make, app: Client, service: Clouds) -> None:
    result = sign_in(app, service, CHINA)
    service.requests.clear()
    there = make("https://login.chinacloudapi.cn/common", multi_cloud=False)
    (account,) = there.get_accounts()
    assert there.acquire_token_silent(SCOPES, account).access_token == result.access_token
    here = make(multi_cloud=False)
    assert here.get_accounts() == []
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        here.acquire_token_silent(SCOPES, result.account)
    assert service.requests == []


def test_a_user_of_another_cloud_is_served_from_the_file_and_then_from_memory(
    make: Make, app: Client, service: Clouds
) -> None:
    signed_in = sign_in(app, service, US)
    service.requests.clear()
    for level in ("store", "L1", "L1"):
        hit = app.acquire_token_silent(SCOPES, signed_in.account)
        assert (hit.access_token, hit.metadata.cache_level) == (signed_in.access_token, level)
        assert hit.account == signed_in.account
    assert service.requests == []


def test_a_refresh_goes_to_the_users_own_cloud_and_tenant(app: Client, service: Clouds) -> None:
    account = sign_in(app, service, US).account
    service.requests.clear()
    renewed = app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert service.form()["refresh_token"] == f"rt-1-{US}"
    assert service.urls() == [f"https://{US}/{HOME}/oauth2/v2.0/token"]
    assert renewed.account.environment == US
    assert app.acquire_token_silent(SCOPES, account).access_token == renewed.access_token


def test_users_of_one_tenant_in_two_clouds_are_refreshed_each_by_their_own(app: Client, service: Clouds) -> None:
    for account in (sign_in(app, service, None).account, sign_in(app, service, US).account):
        service.requests.clear()
        renewed = app.acquire_token_silent(SCOPES, account, force_refresh=True)
        assert service.urls() == [f"https://{account.environment}/{HOME}/oauth2/v2.0/token"]
        assert renewed.account == account


def test_another_tenant_is_one_of_the_users_own_cloud(app: Client, service: Clouds) -> None:
    account = sign_in(app, service, US).account
    service.requests.clear()
    app.acquire_token_silent(SCOPES, account, tenant_id=GUEST)
    assert service.urls() == [f"https://{US}/{GUEST}/oauth2/v2.0/token"]
    profiles = app.get_tenant_profiles(account)
    assert [(profile.tenant_id, profile.is_home) for profile in profiles] == [(HOME, True), (GUEST, False)]


def test_an_account_may_name_its_cloud_by_any_alias(app: Client, service: Clouds) -> None:
    signed_in = sign_in(app, service, US)
    alias = replace(signed_in.account, environment="login.usgovcloudapi.net")
    assert app.acquire_token_silent(SCOPES, alias).access_token == signed_in.access_token
    app.remove_account(alias)
    assert app.get_accounts() == []


@pytest.mark.parametrize("environment", ["evil.test", "contoso.b2clogin.com"])
def test_an_account_of_no_known_cloud_is_not_served(app: Client, service: Clouds, environment: str) -> None:
    account = replace(sign_in(app, service, US).account, environment=environment)
    service.requests.clear()
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        app.acquire_token_silent(SCOPES, account)
    assert app.get_tenant_profiles(account) == []
    app.remove_account(account)
    assert (len(app.get_accounts()), service.requests) == (1, [])


# --- accounts of all clouds ---


def test_accounts_of_all_clouds_are_listed_found_and_removed(make: Make, app: Client, service: Clouds) -> None:
    signed_in: list[Account] = []
    for number, host in enumerate((WORLDWIDE, US, CHINA)):
        service.client_info = {"uid": f"oid-{number}", "utid": HOME}
        service.claims["preferred_username"] = f"user-{number}@contoso.example"
        signed_in.append(sign_in(app, service, host).account)
    other = make()
    assert other.get_accounts() == signed_in
    for account in signed_in:
        assert other.get_accounts(account.username.upper()) == [account]
        assert other.get_account(account.home_account_id.upper()) == account
        assert len(other.get_tenant_profiles(account)) == 1
        assert other.acquire_token_silent(SCOPES, login_hint=account.username).account == account
    app.remove_account(signed_in[1])
    assert other.get_accounts() == [signed_in[0], signed_in[2]]
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        other.acquire_token_silent(SCOPES, signed_in[1])


def test_who_is_signed_in_to_another_cloud_alone_is_served_without_being_named(app: Client, service: Clouds) -> None:
    signed_in = sign_in(app, service, US)
    assert app.acquire_token(SCOPES).access_token == signed_in.access_token


def test_one_id_in_two_clouds_is_two_users(make: Make, app: Client, service: Clouds) -> None:
    here, there = sign_in(app, service, None), sign_in(app, service, US)
    service.requests.clear()
    assert here.account.home_account_id == there.account.home_account_id
    for level in ("store", "L1"):
        for signed_in in (here, there):
            hit = app.acquire_token_silent(SCOPES, signed_in.account)
            assert (hit.access_token, hit.metadata.cache_level) == (signed_in.access_token, level)
    assert app.get_accounts() == [here.account, there.account]
    assert app.get_account(SOMEBODY) == here.account
    with pytest.raises(UiRequiredError) as refused:
        app.acquire_token_silent(SCOPES, login_hint=here.account.username)
    assert refused.value.code == "multiple_accounts_for_login_hint"
    assert make(f"https://{US}/common").get_account(SOMEBODY) == there.account
    assert service.requests == []


@pytest.mark.parametrize("leaver", [0, 1])
def test_a_sign_out_in_one_cloud_leaves_the_same_id_in_another_alone(app: Client, service: Clouds, leaver: int) -> None:
    both = [sign_in(app, service, None), sign_in(app, service, US)]
    for signed_in in both:
        app.acquire_token_silent(SCOPES, signed_in.account)
    app.remove_account(both[leaver].account)
    stays = both[1 - leaver]
    for _ in range(2):  # the second answer comes from memory
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            app.acquire_token_silent(SCOPES, both[leaver].account)
        assert app.acquire_token_silent(SCOPES, stays.account).access_token == stays.access_token
    assert app.get_account(SOMEBODY) == stays.account


# --- arguments ---


@pytest.mark.parametrize("kind", [warmtoken.PublicClientApplication, warmtoken.aio.PublicClientApplication])
@pytest.mark.parametrize(
    "authority",
    [
        "https://idp.example",
        "https://contoso.b2clogin.com/contoso.onmicrosoft.com/b2c_1_susi",
        "https://contoso.ciamlogin.com",
        "https://fs.contoso.test/adfs",
        "https://dsts.core.test/dstsv2/common",
    ],
)
def test_only_entra_has_several_clouds(kind: Any, authority: str) -> None:
    with pytest.raises(ValueError, match=r"expected a Microsoft Entra authority with multi_cloud=True"):
        kind("cli", authority=authority, multi_cloud=True)
    kind("cli", authority=authority, multi_cloud=False)
