"""Parameters of an application's own go along with each request, and no token for some serves a request with others."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flows.test_auth_code_flow import begin, refused
from flows.test_throttling import failed
from joserfc import jws
from support.on_behalf_of import API, caller
from support.web_site import Landing, landing
from support.world import ALICE, SCOPES, Client, World, new_world

import warmtoken
from warmtoken import AuthenticationResult, ClientError, PublicClientApplication, UiRequiredError
from warmtoken.protocol.token_exchange import TOKEN_EXCHANGE_GRANT
from warmtoken.testing import UserAgent

ORDERS, BILLING = "https://orders.example", "https://billing.example"
SCOPE = ["read"]
MORE: dict[str, str | Sequence[str]] = {"audience": ORDERS, "acr_values": "urn:gold"}
GRANTS = {
    "device_code": "urn:ietf:params:oauth:grant-type:device_code",
    "on_behalf_of": "urn:ietf:params:oauth:grant-type:jwt-bearer",
}


@pytest.fixture
def site() -> Iterator[Landing]:
    with landing() as made:
        yield made


def audience_of(result: AuthenticationResult) -> str:
    payload: dict[str, str] = json.loads(jws.extract_compact(result.access_token.encode()).payload)
    return payload["aud"]


def asked(world: World) -> tuple[str, dict[str, str]]:
    """The grant and the parameters of the last token request."""
    request = world.idp.token_requests[-1]
    return request.grant_type, request.parameters


# --- what is sent ---


def test_a_sign_in_with_the_browser_and_a_refresh(world: World) -> None:
    app = world.public(parameters=MORE)
    urls: list[str] = []
    agent = UserAgent(ALICE)

    def browse(url: str) -> None:
        urls.append(url)
        agent(url)

    account = app.acquire_token_interactive(SCOPES, open_browser=browse).account
    agent.join()
    query = parse_qsl(urlsplit(urls[0]).query)
    assert set(MORE.items()) <= set(query)
    assert len(dict(query)) == len(query)
    assert asked(world) == ("authorization_code", MORE)
    world.clock.advance(3600)
    app.acquire_token_silent(SCOPES, account)
    assert asked(world) == ("refresh_token", MORE)


def test_a_sign_in_at_a_web_site(world: World, site: Landing) -> None:
    web = world.confidential(parameters=MORE)
    flow = begin(web, site)
    assert set(MORE.items()) <= set(parse_qsl(urlsplit(flow["auth_uri"]).query))
    web.acquire_token_by_auth_code_flow(flow, site.visit(flow["auth_uri"]))
    assert asked(world) == ("authorization_code", MORE)


def test_a_sign_in_on_another_device(world: World) -> None:
    world.idp.access_token_format = "jwt"
    app = world.public(parameters=MORE)
    result = app.acquire_token_by_device_code(
        SCOPES, on_user_code=lambda code: world.idp.approve_device(code.user_code, ALICE)
    )
    assert asked(world) == (GRANTS["device_code"], MORE)
    assert audience_of(result) == ORDERS  # which this provider goes by what the first request said


def test_tokens_of_a_service_and_on_behalf_of_its_callers(world: World) -> None:
    service = world.confidential(parameters=MORE)
    assertion = caller(world)
    service.acquire_token_for_client(SCOPE)
    assert asked(world) == ("client_credentials", MORE)
    service.acquire_token_on_behalf_of(assertion, API)
    assert asked(world) == (GRANTS["on_behalf_of"], MORE)
    session = service.initiate_long_running_on_behalf_of(assertion, API)
    assert asked(world) == (GRANTS["on_behalf_of"], MORE)
    world.clock.advance(3600)
    service.acquire_token_in_long_running_on_behalf_of(session.session_key, API)
    assert asked(world) == ("refresh_token", MORE)


def test_a_token_exchange_says_for_which_api(world: World) -> None:
    """RFC 8693, section 2.1."""
    world.idp.on_behalf_of, world.idp.access_token_format = "token-exchange", "jwt"
    assertion = caller(world)
    for audience in (ORDERS, BILLING):
        service = world.confidential(parameters={"audience": audience})
        for _ in range(3):
            assert audience_of(service.acquire_token_on_behalf_of(assertion, API)) == audience
        assert asked(world) == (TOKEN_EXCHANGE_GRANT, {"audience": audience})
    assert world.token_requests() == 2


def test_a_refresh_token_of_another_library_and_a_refresh_in_the_background(world: World) -> None:
    world.idp.refresh_in = 600
    signed_in = world.sign_in(world.public())
    owner = world.public().application._context.owner(signed_in.account.home_account_id)
    found = world.cache.vault().find_refresh_token(owner)
    assert found is not None
    app = world.public(parameters=MORE)
    account = app.acquire_token_by_refresh_token(found.record.secret, SCOPES).account
    assert asked(world) == ("refresh_token", MORE)
    world.idp.reset_counters()
    world.clock.advance(1200)
    assert app.acquire_token_silent(SCOPES, account).metadata.token_source == "cache"
    world.settle(app)
    assert asked(world) == ("refresh_token", MORE)


def test_one_name_may_be_sent_several_times(world: World) -> None:
    """RFC 8707, section 2."""
    service = world.confidential(parameters={"resource": [ORDERS, BILLING]})
    service.acquire_token_for_client(SCOPE)
    assert asked(world) == ("client_credentials", {"resource": f"{ORDERS} {BILLING}"})


def test_without_any_nothing_more_is_sent(world: World) -> None:
    for parameters in (None, {}):
        world.confidential(parameters=parameters).acquire_token_for_client(SCOPE, force_refresh=True)
        assert asked(world) == ("client_credentials", {})


# --- whom a token serves ---


@pytest.mark.parametrize(
    ("one", "other"),
    list(
        permutations(
            [
                None,
                {"audience": ORDERS},
                {"audience": BILLING},
                {"resource": ORDERS},
                {"resource": [ORDERS, BILLING]},
                {"audience": ORDERS, "dc": "x"},
            ],
            2,
        )
    ),
)
def test_a_token_serves_those_alone_who_ask_with_the_same(world: World, one: Any, other: Any) -> None:
    here, there = (world.confidential(parameters=parameters) for parameters in (one, other))
    for _ in range(3):
        tokens = {service.acquire_token_for_client(SCOPE).access_token for service in (here, there)}
        assert len(tokens) == 2
    again = world.confidential(parameters=one, cache=world.new_cache())
    assert again.acquire_token_for_client(SCOPE).access_token == here.acquire_token_for_client(SCOPE).access_token
    assert world.token_requests() == 2


def test_each_audience_gets_its_own_tokens_where_a_refresh_does_not_name_it(world: World) -> None:
    """As at Auth0: the audience is the sign-in's, whatever the refresh asks for."""
    world.idp.access_token_format = "jwt"
    apps = {audience: world.public(parameters={"audience": audience}) for audience in (ORDERS, BILLING)}
    [account] = {world.sign_in(app).account for app in apps.values()}
    for _ in range(2):
        for audience, app in apps.items():
            assert {audience_of(app.acquire_token_silent(SCOPES, account)) for _ in range(3)} == {audience}
        world.clock.advance(3600)
    assert world.idp.counters.replays_detected == 0


def test_order_does_not_matter(world: World) -> None:
    signed_in = world.sign_in(world.public(parameters=MORE))
    again = world.public(parameters=dict(reversed(MORE.items())), cache=world.new_cache())
    assert again.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


def test_they_divide_a_partition_further(world: World) -> None:
    services = [
        world.confidential(partition=partition, parameters=parameters)
        for partition in ("", "contoso")
        for parameters in (None, MORE)
    ]
    assert len({service.acquire_token_for_client(SCOPE).access_token for service in services}) == 4


def test_who_signed_in_for_one_audience_is_asked_for_another(world: World) -> None:
    here, there = world.public(parameters={"audience": ORDERS}), world.public(parameters={"audience": BILLING})
    account = world.sign_in(here).account
    assert there.get_accounts() == []
    assert failed(lambda: there.acquire_token_silent(SCOPES, account), UiRequiredError).code == "no_tokens_found"


def test_a_sign_in_for_one_audience_is_not_finished_for_another(world: World, site: Landing) -> None:
    flow = begin(world.confidential(parameters={"audience": ORDERS}), site)
    brought = site.visit(flow["auth_uri"])
    there = world.confidential(parameters={"audience": BILLING})
    refused(ClientError, "auth_code_flow_mismatch", lambda: there.acquire_token_by_auth_code_flow(flow, brought))
    assert world.token_requests() == 0


def test_changing_the_dict_afterwards_changes_nothing(world: World) -> None:
    mine = {"audience": ORDERS}
    service = world.confidential(parameters=mine)
    mine["audience"] = BILLING
    mine["scope"] = "all"
    service.acquire_token_for_client(SCOPE)
    assert asked(world) == ("client_credentials", {"audience": ORDERS})


# --- what is shown of them ---


def test_the_repr_shows_names_alone() -> None:
    app = PublicClientApplication("cli", authority="https://idp.example", partition="p", parameters=MORE)
    shown = "'cli', authority='https://idp.example', partition='p', parameters={'acr_values': …, 'audience': …}"
    assert repr(app) == f"PublicClientApplication({shown})"
    assert ORDERS not in repr(app._context)


def test_no_log_line_and_no_exception_shows_a_value(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = world.public(partition="customer-canary", parameters={"audience": "value-canary"})
    account = world.sign_in(app).account
    world.idp.fail_next("token", status=400, body={"error": "invalid_grant"})
    error = failed(lambda: app.acquire_token_silent(SCOPES, account, force_refresh=True))
    assert "canary" not in f"{error!r} {error} {caplog.text}"


def test_making_an_application_sends_nothing_and_opens_nothing(tmp_path: Path) -> None:
    with new_world("sync", tmp_path) as world:
        for _ in range(3):
            made: Client = world.public(partition="contoso", parameters=MORE)
            assert isinstance(made.application, warmtoken.PublicClientApplication)
        assert world.idp.counters.requests == {}
        assert not world.directory.exists()
