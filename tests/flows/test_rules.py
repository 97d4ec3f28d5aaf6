"""Rules of silent acquisition (docs/compatibility.md) that belong to no other page of tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from support.chains import all_that_is_told_by
from support.web_site import landing
from support.world import ALICE, KEY, SCOPES, Client, World

from warmtoken import ClientError, ClientSecret, ConfidentialClientApplication, DeviceCode, TokenCache
from warmtoken.testing import Clock, UserAgent
from warmtoken.transport import HttpRequest, HttpResponse

HOST = "https://login.microsoftonline.com"


NO_UTF8 = "\udc80CANARY"  # as os.environ has bytes that are no UTF-8


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda app: app.initiate_long_running_on_behalf_of("a", ["g"], session_key=NO_UTF8), id="begun"),
        pytest.param(lambda app: app.acquire_token_in_long_running_on_behalf_of(NO_UTF8, ["g"]), id="session key"),
        pytest.param(lambda app: app.stop_long_running_on_behalf_of(NO_UTF8), id="stopped"),
        pytest.param(lambda app: app.acquire_token_by_refresh_token(NO_UTF8, ["g"]), id="refresh token"),
        pytest.param(lambda app: app.acquire_token_for_client(["g"], claims=NO_UTF8), id="claims"),
        pytest.param(lambda app: app.initiate_auth_code_flow(["g"], "https://x/", login_hint=NO_UTF8), id="hint"),
    ],
)
def test_a_text_that_cannot_be_sent_is_refused_and_no_error_holds_it(
    world: World, call: Callable[[Client], object]
) -> None:
    with pytest.raises(ValueError, match="UTF-8") as refused:
        call(world.confidential())
    assert "CANARY" not in all_that_is_told_by(refused.value)
    assert world.idp.counters.requests == {}


def test_capabilities_are_no_part_of_the_key(world: World) -> None:
    signed_in = world.sign_in(world.public(client_capabilities=["cp1"]))
    for capabilities in ([], ["cp1", "cp2"]):
        app = world.public(client_capabilities=capabilities)
        assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    assert world.token_requests() == 0


class Grants:
    """Entra's token endpoint, as far as a service needs it: each tenant gets a token that names it."""

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        tenant = request.url.removeprefix(HOST).split("/")[1]
        body = f'{{"access_token":"at-{tenant}","token_type":"Bearer","expires_in":3600}}'
        return HttpResponse(200, {}, body.encode())


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=KEY, clock=Clock()) as made:
        yield made


def test_a_token_lies_in_the_tenant_that_was_asked_for(cache: TokenCache) -> None:
    def app(tenant: str) -> ConfidentialClientApplication:
        return ConfidentialClientApplication(
            "service", credential=ClientSecret("s"), authority=f"{HOST}/{tenant}", cache=cache, transport=Grants()
        )

    scope = ["https://graph.microsoft.com/.default"]
    for tenant in ("one", "two"):
        assert app(tenant).acquire_token_for_client(scope).tenant_id == tenant
    for asked, tenant in (("one", "two"), ("two", "one")):
        result = app(asked).acquire_token_for_client(scope, tenant_id=tenant)
        assert (result.access_token, result.metadata.token_source) == (f"at-{tenant}", "cache")


@pytest.mark.parametrize("scopes", [[], ["openid"], ["offline_access", "Profile"]])
def test_without_a_scope_no_cached_token_is_a_services(cache: TokenCache, scopes: list[str]) -> None:
    app = ConfidentialClientApplication(
        "service", credential=ClientSecret("s"), authority=f"{HOST}/one", cache=cache, transport=Grants()
    )
    app.acquire_token_for_client(["https://graph.microsoft.com/.default"])
    with pytest.raises(ClientError, match="expected a scope") as refused:
        app.acquire_token_for_client(scopes)
    assert refused.value.code == "scopes_required_client_credentials"


def interactively(app: Client, _: str) -> Any:
    return app.acquire_token_interactive(SCOPES, open_browser=UserAgent(ALICE))


def at_a_web_site(app: Client, _: str) -> Any:
    with landing() as site:
        flow = app.initiate_auth_code_flow(SCOPES, site.redirect_uri)
        return app.acquire_token_by_auth_code_flow(flow, site.visit(flow["auth_uri"], UserAgent(ALICE)))


def on_another_device(app: Client, _: str) -> Any:
    def enter(code: DeviceCode) -> None:
        UserAgent(ALICE, background=False)(code.verification_uri_complete or "")

    return app.acquire_token_by_device_code(SCOPES, on_user_code=enter)


def by_another_librarys_refresh_token(app: Client, refresh_token: str) -> Any:
    return app.acquire_token_by_refresh_token(refresh_token, SCOPES)


def refresh_token_elsewhere(world: World) -> str:
    """A refresh token of the same user and client that this cache does not have."""
    sent: list[bytes] = []
    other = World("sync", world.directory.with_name("other"), world.idp, world.clock)
    client = other.public(before=lambda request: sent.append(request.body))
    account = other.sign_in(client).account
    world.idp.rotation = "never"
    client.acquire_token_silent(SCOPES, account, force_refresh=True)
    return parse_qs(sent[-1].decode())["refresh_token"][0]


@pytest.mark.parametrize(
    "sign_in", [interactively, at_a_web_site, on_another_device, by_another_librarys_refresh_token]
)
def test_a_sign_in_never_reads_the_cache_and_always_writes_it(
    world: World, sign_in: Callable[[Client, str], Any]
) -> None:
    """The same user, client and scopes, of whom the cache has a token that is good."""
    refresh_token = refresh_token_elsewhere(world)
    app = world.public()
    before = world.sign_in(app)
    assert app.acquire_token_silent(SCOPES, before.account).metadata.token_source == "cache"
    result = sign_in(app, refresh_token)
    assert (result.account.username, result.account.environment) == (ALICE, before.account.environment)
    assert result.access_token != before.access_token
    assert (result.metadata.token_source, result.metadata.cache_refresh_reason) == (
        "identity_provider",
        "not_applicable",
    )
    for worker in (app, world.public(cache=world.new_cache())):
        assert worker.acquire_token_silent(SCOPES, result.account).access_token == result.access_token
    assert world.token_requests() == 1
