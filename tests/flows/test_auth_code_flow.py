"""Signing in at a web site: what is sent, what must come back, what is believed, and who is served afterwards."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support.web_site import Landing, landing
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import (
    AuthCodeFlow,
    AuthenticationResult,
    ClientAssertion,
    ClientError,
    ProtocolError,
    ServiceError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)
from warmtoken.flows.auth_code_flow import CLOCK_LEEWAY, MAX_AGE
from warmtoken.protocol.pkce import challenge
from warmtoken.testing import IdentityProvider, UserAgent

SECRETS = ("state", "nonce", "code_verifier")


@pytest.fixture
def site() -> Iterator[Landing]:
    with landing() as made:
        yield made


@pytest.fixture
def web(world: World) -> Client:
    """The web site's application, a confidential client."""
    return world.confidential()


def begin(app: Client, site: Landing, **options: Any) -> AuthCodeFlow:
    """Initiate a sign-in, and hand its flow on as a web session does: as JSON."""
    flow: AuthCodeFlow = json.loads(json.dumps(app.initiate_auth_code_flow(SCOPES, site.redirect_uri, **options)))
    return flow


def sign_in(app: Client, site: Landing, username: str = ALICE, **options: Any) -> AuthenticationResult:
    flow = begin(app, site, **options)
    brought = site.visit(flow["auth_uri"], UserAgent(username))
    result: AuthenticationResult = app.acquire_token_by_auth_code_flow(flow, brought)
    return result


def asked_of(flow: AuthCodeFlow) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(flow["auth_uri"]).query).items()}


def refused(kind: type[WarmTokenError], code: str, call: Callable[[], object]) -> WarmTokenError:
    with pytest.raises(WarmTokenError) as caught:
        call()
    assert (type(caught.value), caught.value.code) == (kind, code)
    return caught.value


def assert_nothing_happened(world: World, app: Client) -> None:
    assert world.token_requests() == 0
    assert app.get_accounts() == []


# --- what a sign-in brings ---


@pytest.mark.parametrize("kind", ["confidential", "public"])
@pytest.mark.parametrize(("mode", "method"), [(None, "GET"), ("query", "GET"), ("form_post", "POST")])
def test_a_sign_in_brings_token_account_and_id_token(
    world: World, site: Landing, kind: str, mode: str | None, method: str
) -> None:
    app = world.confidential() if kind == "confidential" else world.public()
    result = sign_in(app, site, response_mode=mode)
    assert [brought[0] for brought in site.brought] == [method]
    assert set(SCOPES) <= set(result.scopes)
    assert (result.account.username, result.account.account_source) == (ALICE, "authorization_code")
    assert result.account.home_account_id == result.id_token_claims["sub"]
    assert (result.metadata.token_source, result.metadata.cache_level) == ("identity_provider", "none")
    assert result.metadata.cache_refresh_reason == "not_applicable"
    assert 0 < result.metadata.duration_http_ms < result.metadata.duration_total_ms
    assert world.idp.counters.grants == {"authorization_code": 1}


def test_afterwards_any_worker_serves_the_user_silently(world: World, web: Client, site: Landing) -> None:
    signed_in = sign_in(web, site)
    worker = world.confidential(cache=world.new_cache())
    account = worker.get_account(signed_in.account.home_account_id)
    assert worker.acquire_token_silent(SCOPES, account).access_token == signed_in.access_token
    assert world.token_requests() == 1
    world.clock.advance(3600)
    assert worker.acquire_token_silent(SCOPES, account).access_token != signed_in.access_token
    assert world.idp.counters.refreshes_granted == 1


def test_one_worker_sends_the_user_away_and_another_takes_what_comes_back(world: World, site: Landing) -> None:
    flow = begin(world.confidential(), site)
    brought = site.visit(flow["auth_uri"])
    other = world.confidential(cache=world.new_cache())
    assert other.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE


def test_users_who_sign_in_at_the_same_time_do_not_meet(web: Client, site: Landing) -> None:
    flows = {name: begin(web, site) for name in (ALICE, BOB)}
    brought = {name: site.visit(flow["auth_uri"], UserAgent(name)) for name, flow in flows.items()}
    for name in (BOB, ALICE):
        assert web.acquire_token_by_auth_code_flow(flows[name], brought[name]).account.username == name
    assert [account.username for account in web.get_accounts()] == [ALICE, BOB]


def test_the_code_is_redeemed_with_the_secret_and_the_verifier(world: World, site: Landing) -> None:
    sent: list[Any] = []
    app = world.confidential(before=sent.append)
    flow = begin(app, site, correlation_id="mine")
    brought = site.visit(flow["auth_uri"])
    result = app.acquire_token_by_auth_code_flow(flow, brought)
    [request] = sent
    form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert form == {
        "grant_type": "authorization_code",
        "code": brought["code"],
        "redirect_uri": site.redirect_uri,
        "code_verifier": flow["code_verifier"],
    }
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"service:service-secret").decode()
    assert (request.headers["client-request-id"], result.correlation_id) == ("mine", "mine")


def test_the_code_is_redeemed_with_a_client_assertion(world: World, site: Landing) -> None:
    """The provider here takes secrets alone; integration/test_web_site.py has one that takes assertions."""
    sent: list[Any] = []
    app = world.confidential(secret=ClientAssertion("a.b.c"), before=sent.append)
    flow = begin(app, site)
    refused(
        ServiceError,
        "invalid_client",
        lambda: app.acquire_token_by_auth_code_flow(flow, site.visit(flow["auth_uri"])),
    )
    form = parse_qs(sent[0].body.decode())
    assert (form["client_assertion"], form["grant_type"]) == (["a.b.c"], ["authorization_code"])


# --- what is sent with the browser ---


def test_the_url_says_what_was_asked_for(world: World, site: Landing) -> None:
    app = world.public(client_capabilities=["cp1"])
    flow = begin(
        app,
        site,
        login_hint=BOB,
        domain_hint="example.test",
        prompt="select_account",
        claims='{"id_token":{"auth_time":{"essential":true}}}',
        max_age=0,
        response_mode="form_post",
    )
    asked = asked_of(flow)
    assert flow["auth_uri"].startswith(f"{world.idp.issuer}/authorize?")
    assert (asked["response_type"], asked["client_id"]) == ("code", "cli")
    assert asked["redirect_uri"] == flow["redirect_uri"] == site.redirect_uri
    assert set(asked["scope"].split()) == {"openid", "profile", "offline_access", *SCOPES}
    assert (asked["login_hint"], asked["domain_hint"], asked["prompt"]) == (BOB, "example.test", "select_account")
    assert (asked["max_age"], asked["response_mode"]) == ("0", "form_post")
    assert (asked["state"], asked["nonce"]) == (flow["state"], flow["nonce"])
    assert (asked["code_challenge_method"], asked["code_challenge"]) == ("S256", challenge(flow["code_verifier"]))
    assert json.loads(asked["claims"]) == {
        "id_token": {"auth_time": {"essential": True}},
        "access_token": {"xms_cc": {"values": ["cp1"]}},
    }


def test_what_was_not_asked_for_is_not_sent(web: Client, site: Landing) -> None:
    assert not {"login_hint", "domain_hint", "claims", "max_age", "response_mode"} & asked_of(begin(web, site)).keys()


def test_a_flow_has_the_names_of_msals_and_goes_through_json(world: World, web: Client, site: Landing) -> None:
    since = int(world.clock.time())
    flow = web.initiate_auth_code_flow(SCOPES, site.redirect_uri, claims="{}")
    assert type(flow) is dict
    assert flow == json.loads(json.dumps(flow))
    assert (flow["scope"], flow["claims_challenge"], flow["redirect_uri"]) == (SCOPES, "{}", site.redirect_uri)
    assert flow.keys() == AuthCodeFlow.__annotations__.keys()
    assert since <= flow["created_at"] <= world.clock.time()


def test_state_nonce_and_verifier_are_new_each_time(web: Client, site: Landing) -> None:
    flows = [begin(web, site) for _ in range(3)]
    values = {flow[name] for flow in flows for name in SECRETS}  # type: ignore[literal-required]
    assert len(values) == 9
    assert all(len(value) == 43 for value in values)  # 256 bits in base64url


def test_a_provider_without_s256_is_not_used(world: World, web: Client, site: Landing) -> None:
    metadata = dict.fromkeys(("authorization_endpoint", "token_endpoint"), f"{world.idp.issuer}/x")
    body = {"issuer": world.idp.issuer, "code_challenge_methods_supported": ["plain"], **metadata}
    world.idp.fail_next("discovery", status=200, body=body)
    refused(ProtocolError, "pkce_not_supported", lambda: begin(web, site))


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://site.example/callback",
        "ftp://site.example/callback",
        "com.example.app:/callback",
        "/callback",
        "https://site.example/callback#part",
        "https://user@site.example/callback",
        "https://site.example/call back",
        "",
    ],
)
def test_the_user_comes_back_by_https_or_on_loopback_alone(web: Client, redirect_uri: str) -> None:
    with pytest.raises(ValueError, match="redirect_uri"):
        web.initiate_auth_code_flow(SCOPES, redirect_uri)


@pytest.mark.parametrize(
    "redirect_uri", ["https://site.example/callback?a=b", "http://localhost:5000/callback", "http://[::1]:5000"]
)
def test_a_redirect_uri_is_sent_as_it_was_given(web: Client, redirect_uri: str) -> None:
    flow = web.initiate_auth_code_flow(SCOPES, redirect_uri)
    assert asked_of(flow)["redirect_uri"] == flow["redirect_uri"] == redirect_uri


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"response_mode": "fragment"}, ValueError),
        ({"max_age": -1}, ValueError),
        ({"max_age": 1.5}, TypeError),
        ({"max_age": True}, TypeError),
        ({"prompt": ""}, ValueError),
        ({"login_hint": 1}, TypeError),
        ({"domain_hint": " "}, ValueError),
        ({"claims": b"{}"}, TypeError),
        ({"correlation_id": "a\n"}, ValueError),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    web: Client, site: Landing, options: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=next(iter(options))):
        web.initiate_auth_code_flow(SCOPES, site.redirect_uri, **options)


def test_claims_that_are_no_json_are_refused_before_the_user_is_sent_away(web: Client, site: Landing) -> None:
    refused(ClientError, "invalid_json_claims_format", lambda: begin(web, site, claims="{"))


# --- what must come back ---


class Frameworks(dict[str, str]):
    """The parameters as Django, Flask and Starlette hold them: one value in the open, all of them by getlist."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def getlist(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


class Multidict(Mapping[str, str]):
    """The same as aiohttp and WebOb hold them: a name for each value, all of its values by getall."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def __getitem__(self, name: str) -> str:
        return self.getall(name)[0]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


KINDS: list[Callable[[list[tuple[str, str]]], Any]] = [dict, list, iter, Frameworks, Multidict]


@pytest.mark.parametrize("kind", KINDS, ids=["dict", "pairs", "an iterator", "getlist", "getall"])
def test_parameters_are_taken_in_any_form_that_shows_each_once(
    web: Client, site: Landing, kind: Callable[[list[tuple[str, str]]], Any]
) -> None:
    flow = begin(web, site)
    brought = kind(list(site.visit(flow["auth_uri"]).items()))
    assert web.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE


def test_a_parameter_without_a_value_is_none(web: Client, site: Landing) -> None:
    """Whichever parser the web site has: RFC 6749, section 3.1."""
    flow = begin(web, site)
    brought = {**site.visit(flow["auth_uri"]), "error": "", "error_description": ""}
    assert web.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE


def altered(brought: dict[str, str], **changes: object) -> dict[str, object]:
    return {name: value for name, value in {**brought, **changes}.items() if value is not None}


FORGED: dict[str, tuple[Callable[[dict[str, str]], Any], str]] = {
    "another state": (lambda brought: altered(brought, state="x" * 43), "state_mismatch"),
    "a state that begins alike": (lambda brought: altered(brought, state=brought["state"][:-1]), "state_mismatch"),
    "a state in another script": (lambda brought: altered(brought, state="\u00e9" * 43), "state_mismatch"),
    "no state": (lambda brought: altered(brought, state=None), "state_mismatch"),
    "an error without the state": (lambda _: {"error": "access_denied"}, "state_mismatch"),
    "nothing": (lambda _: {}, "state_mismatch"),
    "a state twice": (lambda brought: [*brought.items(), ("state", brought["state"])], "redirect_parameters_invalid"),
    "a code twice": (lambda brought: Frameworks([*brought.items(), ("code", "c")]), "redirect_parameters_invalid"),
    "two codes": (lambda brought: Multidict([*brought.items(), ("code", "c")]), "redirect_parameters_invalid"),
    "a code as a list": (lambda brought: altered(brought, code=[brought["code"]]), "redirect_parameters_invalid"),
    "all as lists": (lambda brought: {name: [value] for name, value in brought.items()}, "redirect_parameters_invalid"),
    "half a character": (lambda brought: altered(brought, code="\ud800"), "redirect_parameters_invalid"),
    "a number": (lambda brought: altered(brought, code=1), "redirect_parameters_invalid"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_is_not_the_answer_to_this_sign_in_is_dropped_before_anything_is_sent(
    world: World, web: Client, site: Landing, forged: str
) -> None:
    flow = begin(web, site)
    make, code = FORGED[forged]
    brought = make(site.visit(flow["auth_uri"]))
    refused(ClientError, code, lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert_nothing_happened(world, web)


@pytest.mark.parametrize("params", ["code=a&state=b", b"code=a", None, 1, ["code"], ["ab"], [()], {"code"}, [None]])
def test_what_are_no_parameters_is_a_mistake_in_the_program(web: Client, site: Landing, params: Any) -> None:
    flow = begin(web, site)
    with pytest.raises(TypeError, match="params"):
        web.acquire_token_by_auth_code_flow(flow, params)


def test_a_user_cannot_be_signed_in_as_somebody_else(world: World, web: Client, site: Landing) -> None:
    """Login CSRF: the attacker's redirect, opened in the victim's browser."""
    victims, attackers = begin(web, site), begin(web, site)
    brought = site.visit(attackers["auth_uri"], UserAgent("mallory@example.test"))
    refused(ClientError, "state_mismatch", lambda: web.acquire_token_by_auth_code_flow(victims, brought))
    assert_nothing_happened(world, web)


def test_a_code_of_another_sign_in_is_refused_by_the_provider(web: Client, site: Landing) -> None:
    """Code injection: the attacker's code under the victim's state; the verifier does not fit (RFC 9700, 4.5)."""
    victims, attackers = begin(web, site), begin(web, site)
    code = site.visit(attackers["auth_uri"])["code"]
    brought = {**site.visit(victims["auth_uri"]), "code": code}
    error = refused(UiRequiredError, "invalid_grant", lambda: web.acquire_token_by_auth_code_flow(victims, brought))
    assert code not in str(error)
    assert web.get_accounts() == []


@pytest.mark.parametrize("flow", [None, {}])
def test_a_session_without_a_sign_in_takes_no_redirect(world: World, web: Client, site: Landing, flow: Any) -> None:
    brought = site.visit(begin(web, site)["auth_uri"])
    refused(ClientError, "state_mismatch", lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert_nothing_happened(world, web)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        pytest.param({"iss": "https://attacker.example"}, "issuer_mismatch", id="another issuer"),
        pytest.param({"iss": None}, "issuer_mismatch", id="no issuer, though the provider says it names it"),
        pytest.param({"iss": ""}, "issuer_mismatch", id="an issuer without a value"),
        pytest.param({"code": None}, "code_missing", id="neither code nor error"),
        pytest.param({"code": ""}, "code_missing", id="a code without a value"),
    ],
)
def test_an_answer_that_is_not_right_is_dropped_before_anything_is_sent(
    world: World, web: Client, site: Landing, response: dict[str, str | None], code: str
) -> None:
    world.idp.authorization_response = response
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    error = refused(ProtocolError, code, lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert error.correlation_id == flow["correlation_id"]
    assert_nothing_happened(world, web)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        pytest.param({"nonce": "of another sign-in"}, "id_token_nonce_mismatch", id="replayed"),
        pytest.param({"nonce": None}, "id_token_nonce_mismatch", id="without nonce"),
        pytest.param({"iss": "https://attacker.example"}, "id_token_issuer_mismatch", id="another issuer"),
        pytest.param({"aud": "another"}, "id_token_audience_mismatch", id="another client"),
    ],
)
def test_an_id_token_of_another_sign_in_is_refused_and_nothing_is_stored(
    world: World, web: Client, site: Landing, claims: dict[str, str | None], code: str
) -> None:
    world.idp.id_token_claims = claims
    refused(ProtocolError, code, lambda: sign_in(web, site))
    assert web.get_accounts() == []


def test_a_redirect_serves_once(world: World, web: Client, site: Landing) -> None:
    """Also where the program forgot to take the flow out of the session: the provider takes a code once."""
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    web.acquire_token_by_auth_code_flow(flow, brought)
    refused(UiRequiredError, "invalid_grant", lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert world.token_requests() == 2


# --- time ---


@pytest.mark.parametrize("seconds", [0, MAX_AGE - 5, -CLOCK_LEEWAY])
def test_the_user_may_take_an_hour(world: World, web: Client, site: Landing, seconds: int) -> None:
    world.idp.code_lifetime = world.idp.id_token_lifetime = 2 * MAX_AGE
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    flow["created_at"] -= seconds
    assert web.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE


@pytest.mark.parametrize("seconds", [MAX_AGE + 1, -CLOCK_LEEWAY - 5])
def test_a_flow_that_is_too_old_or_of_the_future_is_refused(
    world: World, web: Client, site: Landing, seconds: int
) -> None:
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    flow["created_at"] = int(world.clock.time()) - seconds
    refused(ClientError, "auth_code_flow_expired", lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert_nothing_happened(world, web)


def test_a_sign_in_as_recent_as_max_age_says_is_taken(web: Client, site: Landing) -> None:
    assert sign_in(web, site, max_age=0).account.username == ALICE


@pytest.mark.parametrize(
    ("age", "code"),
    [
        pytest.param(60 + CLOCK_LEEWAY, None, id="as old as it may be"),
        pytest.param(60 + CLOCK_LEEWAY + 1, "id_token_auth_time_too_old", id="older"),
        pytest.param(None, "id_token_auth_time_invalid", id="of no time"),
    ],
)
def test_a_sign_in_older_than_max_age_says_is_refused(
    world: World, web: Client, site: Landing, age: int | None, code: str | None
) -> None:
    flow = begin(web, site, max_age=60)
    world.idp.id_token_claims = {"auth_time": None if age is None else flow["created_at"] - age}
    brought = site.visit(flow["auth_uri"])
    if code is None:
        assert web.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE
        return
    refused(ProtocolError, code, lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert web.get_accounts() == []


def test_max_age_needs_an_id_token(world: World, web: Client, site: Landing) -> None:
    world.idp.omit_id_token = True
    refused(ProtocolError, "id_token_missing", lambda: sign_in(web, site, max_age=60))
    assert web.get_accounts() == []


# --- flows from elsewhere ---


def test_a_flow_of_another_client_is_refused(world: World, web: Client, site: Landing) -> None:
    flow = begin(world.public("other"), site)
    brought = site.visit(flow["auth_uri"])
    refused(ClientError, "auth_code_flow_mismatch", lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert_nothing_happened(world, web)


@pytest.mark.parametrize(("one", "other"), [("contoso", "fabrikam"), ("contoso", ""), ("", "contoso")])
def test_a_flow_of_another_partition_is_refused(world: World, site: Landing, one: str, other: str) -> None:
    """Else the user of one customer would be signed in to another's."""
    flow = begin(world.confidential(partition=one), site)
    assert "contoso" not in json.dumps(flow)
    brought = site.visit(flow["auth_uri"])
    there = world.confidential(partition=other)
    refused(ClientError, "auth_code_flow_mismatch", lambda: there.acquire_token_by_auth_code_flow(flow, brought))
    assert_nothing_happened(world, there)
    here = world.confidential(partition=one, cache=world.new_cache())
    assert here.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE


def test_a_code_of_one_provider_does_not_reach_another(world: World, site: Landing) -> None:
    """Mix-up (RFC 9700, section 4.4), also where neither provider names itself in the redirect."""
    flow = begin(world.public(), site)
    world.idp.authorization_response = {"iss": None}
    brought = site.visit(flow["auth_uri"])
    with IdentityProvider(clock=world.clock) as other:
        app = world.public(authority=other.issuer)
        refused(ClientError, "auth_code_flow_mismatch", lambda: app.acquire_token_by_auth_code_flow(flow, brought))
        assert other.counters.requests == {}


@pytest.mark.parametrize("name", sorted(AuthCodeFlow.__annotations__.keys() - {"auth_uri"}))
def test_a_flow_that_lacks_something_is_a_mistake_in_the_program(
    world: World, web: Client, site: Landing, name: str
) -> None:
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    broken: dict[str, Any] = {**flow}
    del broken[name]
    with pytest.raises(ValueError, match=name) as caught:
        web.acquire_token_by_auth_code_flow(broken, brought)
    assert not any(secret in str(caught.value) for secret in (flow["state"], flow["code_verifier"], flow["nonce"]))
    assert_nothing_happened(world, web)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"state": ""}, ValueError),
        ({"state": None}, ValueError),
        ({"nonce": ""}, ValueError),
        ({"code_verifier": 1}, ValueError),
        ({"created_at": "1"}, ValueError),
        ({"created_at": True}, ValueError),
        ({"redirect_uri": "http://attacker.example"}, ValueError),
        ({"scope": "orders.read"}, TypeError),
    ],
)
def test_a_flow_with_something_else_in_it_is_a_mistake_in_the_program(
    world: World, web: Client, site: Landing, change: dict[str, Any], kind: type[Exception]
) -> None:
    flow = begin(web, site)
    brought = {**site.visit(flow["auth_uri"]), **({"state": ""} if change.get("state") == "" else {})}
    with pytest.raises(kind):
        web.acquire_token_by_auth_code_flow({**flow, **change}, brought)
    assert_nothing_happened(world, web)


def test_a_flow_that_is_no_dict_is_a_mistake_in_the_program(web: Client) -> None:
    with pytest.raises(TypeError, match="flow"):
        web.acquire_token_by_auth_code_flow("flow", {})


def test_the_url_need_not_be_kept(web: Client, site: Landing) -> None:
    flow: dict[str, Any] = {**begin(web, site)}
    brought = site.visit(flow.pop("auth_uri"))
    assert web.acquire_token_by_auth_code_flow(flow, brought).account.username == ALICE


# --- the provider or the user says no ---


def test_a_user_who_cancels_is_access_denied(world: World, web: Client, site: Landing) -> None:
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"], UserAgent(behaviour="cancel"))
    refused(ClientError, "access_denied", lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert_nothing_happened(world, web)


def test_a_user_who_must_not_be_asked_and_is_not_signed_in(web: Client, site: Landing) -> None:
    flow = begin(web, site, prompt="none")
    brought = site.visit(flow["auth_uri"])
    error = refused(UiRequiredError, "login_required", lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert isinstance(error, UiRequiredError)
    assert error.classification == "prompt_never_failed"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("server_error", ServiceError),
        ("temporarily_unavailable", ServiceError),
        ("invalid_scope", ServiceError),
        ("interaction_required", UiRequiredError),
        ("consent_required", UiRequiredError),
    ],
)
def test_an_error_that_the_redirect_brings_is_typed(
    world: World, web: Client, site: Landing, error: str, kind: type[WarmTokenError]
) -> None:
    world.idp.authorization_response = {"code": None, "error": error, "error_description": "words\x1b[31m of theirs"}
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    raised = refused(kind, error, lambda: web.acquire_token_by_auth_code_flow(flow, brought))
    assert "words[31m of theirs" in str(raised)
    assert getattr(raised, "is_retryable", False) == (error == "temporarily_unavailable")
    assert raised.correlation_id == flow["correlation_id"]


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"status": 503}, ServiceError, "service_not_available"),
        ({"status": 401, "body": {"error": "invalid_client"}}, ServiceError, "invalid_client"),
        ({"status": 400, "body": {"error": "interaction_required"}}, UiRequiredError, "interaction_required"),
        ({"status": 200, "body": "<p>"}, ProtocolError, "non_parsable_oauth_error"),
        ({"disconnect": "before"}, TransportError, "connection_failed"),
    ],
)
def test_an_error_of_the_token_endpoint_is_typed_and_nothing_is_stored(
    world: World, web: Client, site: Landing, fault: dict[str, Any], kind: type[WarmTokenError], code: str
) -> None:
    world.idp.fail_next("token", times=2, **fault)
    refused(kind, code, lambda: sign_in(web, site))
    assert web.get_accounts() == []


# --- secrets ---


def test_no_error_and_no_log_shows_a_secret_of_the_sign_in(
    world: World, web: Client, site: Landing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    flow = begin(web, site)
    brought = site.visit(flow["auth_uri"])
    echo = {"error": "invalid_grant", "error_description": f"{brought['code']} {flow['code_verifier']} service-secret"}
    world.idp.fail_next("token", status=400, body=echo)
    errors: list[BaseException] = []
    for tried in ({**flow, "state": "other"}, {**flow, "created_at": 0}, {**flow, "client_id": "other"}, flow):
        with pytest.raises(WarmTokenError) as caught:
            web.acquire_token_by_auth_code_flow(tried, brought)
        errors.append(caught.value)
    shown = " ".join([*(f"{error} {error!r} {vars(error)}" for error in errors), caplog.text])
    secrets = (flow["state"], flow["nonce"], flow["code_verifier"], brought["code"], "service-secret")
    assert len(errors) == 4
    assert [secret for secret in secrets if secret in shown] == []
