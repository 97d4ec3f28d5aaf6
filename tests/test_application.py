"""The blocking applications: their arguments, their life, and that nothing they say shows a secret."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from support.chains import all_that_is_told_by
from support.world import ALICE, KEY, SCOPES, World, new_world

import warmtoken.aio
from warmtoken import (
    Account,
    CacheError,
    ClientAssertion,
    ClientCertificate,
    ClientError,
    ClientSecret,
    ConfidentialClientApplication,
    PublicClientApplication,
    ServiceError,
    TokenCache,
    UiRequiredError,
    WarmTokenError,
)
from warmtoken.testing import UserAgent
from warmtoken.transport import HttpRequest, HttpResponse

ISSUER = "https://idp.example"
SOMEBODY = Account("somebody", "idp.example")


@pytest.fixture(autouse=True)
def results_stay_in_memory(unhurried: None) -> None:
    pass


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


# --- arguments ---


BAD_ARGUMENTS = [
    pytest.param({"client_id": 7}, TypeError, "client_id", id="client id of another type"),
    pytest.param({"client_id": ""}, ValueError, "client_id", id="empty client id"),
    pytest.param({"client_id": "  "}, ValueError, "client_id", id="blank client id"),
    pytest.param({"client_id": "cli\n"}, ValueError, "client_id", id="client id with a line break"),
    pytest.param({"client_id": "\ud800"}, ValueError, "client_id", id="client id that cannot be sent"),
    pytest.param({"on_background_refresh": 7}, TypeError, "on_background_refresh", id="told is a number"),
    pytest.param({"authority": 7}, TypeError, "authority", id="authority of another type"),
    pytest.param({"authority": "http://idp.example"}, ValueError, "authority", id="authority without TLS"),
    pytest.param({"authority": "https://u:p@idp.example"}, ValueError, "authority", id="authority with a user"),
    pytest.param({"authority": ""}, ValueError, "authority", id="empty authority"),
    pytest.param({"cache": "path"}, TypeError, "cache", id="a path for a cache"),
    pytest.param({"transport": "httpx"}, TypeError, "transport", id="a name for a transport"),
    pytest.param({"transport": object()}, TypeError, "send", id="a transport that sends nothing"),
    pytest.param({"client_capabilities": "cp1"}, TypeError, "client_capabilities", id="capabilities as a str"),
    pytest.param({"client_capabilities": 7}, TypeError, "client_capabilities", id="capabilities of another type"),
    pytest.param({"client_capabilities": [7]}, TypeError, "client_capabilities", id="a capability of another type"),
    pytest.param({"redirect_path": 7}, TypeError, "redirect_path", id="path of another type"),
    pytest.param({"redirect_path": "callback"}, ValueError, "redirect_path", id="path without a slash"),
    pytest.param({"redirect_path": "/a?b"}, ValueError, "redirect_path", id="path with a query"),
    pytest.param({"multi_cloud": "yes"}, TypeError, "multi_cloud", id="clouds as a str"),
    pytest.param({"multi_cloud": True}, ValueError, "multi_cloud", id="clouds of an issuer that has none"),
    pytest.param({"partition": None}, TypeError, "partition", id="no partition"),
    pytest.param({"partition": "\ud800"}, ValueError, "partition", id="partition that is no text"),
    pytest.param({"parameters": "audience=a"}, TypeError, "parameters", id="parameters as a str"),
    pytest.param({"parameters": {"scope": "a"}}, ValueError, "scope", id="parameter of the library's own"),
    pytest.param({"expiry_margin": "300"}, TypeError, "expiry_margin", id="margin as a str"),
    pytest.param({"expiry_margin": True}, TypeError, "expiry_margin", id="margin as a bool"),
    pytest.param({"expiry_margin": -1}, ValueError, "expiry_margin", id="negative margin"),
    pytest.param({"expiry_margin": float("nan")}, ValueError, "expiry_margin", id="margin that is no number"),
    pytest.param({"expiry_margin": float("inf")}, ValueError, "expiry_margin", id="endless margin"),
    pytest.param({"expiry_margin": 1e16}, ValueError, "expiry_margin", id="margin of millions of years"),
]


@pytest.mark.parametrize("kind", [PublicClientApplication, warmtoken.aio.PublicClientApplication])
@pytest.mark.parametrize(("arguments", "error", "name"), BAD_ARGUMENTS)
def test_an_application_refuses_arguments_that_cannot_be(
    kind: Any, arguments: dict[str, Any], error: type[Exception], name: str
) -> None:
    given = {"client_id": "cli", "authority": ISSUER} | arguments
    with pytest.raises(error, match=name):
        kind(given.pop("client_id"), **given)


@pytest.mark.parametrize("kind", [ConfidentialClientApplication, warmtoken.aio.ConfidentialClientApplication])
@pytest.mark.parametrize("credential", ["secret-canary", None, {"client_secret": "canary"}, ClientSecret], ids=repr)
def test_a_credential_is_one_of_the_kinds(kind: Any, credential: Any) -> None:
    with pytest.raises(TypeError, match="credential") as refused:
        kind("service", credential=credential, authority=ISSUER)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("credential", "error", "name"),
    [
        pytest.param(ClientSecret(None), TypeError, "secret", id="secret that is not set"),  # type: ignore[arg-type]
        pytest.param(ClientSecret(""), ValueError, "secret", id="empty secret"),
        pytest.param(ClientSecret("\udc80canary"), ValueError, "secret", id="secret that is no UTF-8"),
        pytest.param(ClientAssertion("\udc80canary"), ValueError, "assertion", id="assertion that is no UTF-8"),
        pytest.param(ClientSecret(b"canary"), TypeError, "secret", id="secret as bytes"),  # type: ignore[arg-type]
        pytest.param(ClientSecret("canary\n"), ValueError, "secret", id="secret out of a file"),
        pytest.param(ClientSecret("canary\ud800"), ValueError, "secret", id="secret that cannot be sent"),
        pytest.param(ClientAssertion("canary\n"), ValueError, "assertion", id="assertion out of a file"),
        pytest.param(ClientAssertion(None), TypeError, "assertion", id="no assertion"),  # type: ignore[arg-type]
        pytest.param(ClientAssertion(""), ValueError, "assertion", id="empty assertion"),
        pytest.param(ClientCertificate("canary"), TypeError, "pem", id="PEM as a str"),  # type: ignore[arg-type]
        pytest.param(ClientCertificate(b""), ValueError, "pem", id="empty PEM"),
        pytest.param(ClientCertificate(b"p", "canary"), TypeError, "password", id="password as a str"),  # type: ignore[arg-type]
    ],
)
def test_a_credential_has_something_in_it_of_the_right_type(credential: Any, error: type[Exception], name: str) -> None:
    with pytest.raises(error, match=name) as refused:
        ConfidentialClientApplication("service", credential=credential, authority=ISSUER)
    assert "canary" not in all_that_is_told_by(refused.value)


BAD_CALLS = [
    pytest.param({"scopes": "User.Read"}, TypeError, "scopes", id="scopes as a str"),
    pytest.param({"scopes": b"User.Read"}, TypeError, "scopes", id="scopes as bytes"),
    pytest.param({"scopes": None}, TypeError, "scopes", id="no scopes"),
    pytest.param({"scopes": [7]}, TypeError, "scope", id="a scope of another type"),
    pytest.param({"scopes": ["a b"]}, ValueError, "scope", id="two scopes in one"),
    pytest.param({"scopes": [""]}, ValueError, "scope", id="an empty scope"),
    pytest.param({"scopes": ["ä"]}, ValueError, "scope", id="a scope that is not ASCII"),
    pytest.param({"account": "alice"}, TypeError, "account", id="a name for an account"),
    pytest.param({"login_hint": 7}, TypeError, "login_hint", id="hint of another type"),
    pytest.param({"login_hint": " "}, ValueError, "login_hint", id="blank hint"),
    pytest.param({"tenant_id": 7}, TypeError, "tenant_id", id="tenant of another type"),
    pytest.param({"tenant_id": ""}, ValueError, "tenant_id", id="empty tenant"),
    pytest.param({"force_refresh": "false"}, TypeError, "force_refresh", id="a flag as a str"),
    pytest.param({"login_hint": "a\ud800"}, ValueError, "login_hint", id="hint that cannot be sent"),
    pytest.param({"claims": "\ud800"}, ValueError, "claims", id="claims that cannot be sent"),
    pytest.param({"claims": {}}, TypeError, "claims", id="claims of another type"),
    pytest.param({"claims": ""}, ValueError, "claims", id="empty claims"),
    pytest.param({"min_validity": "60"}, TypeError, "min_validity", id="validity as a str"),
    pytest.param({"min_validity": False}, TypeError, "min_validity", id="validity as a bool"),
    pytest.param({"min_validity": -0.1}, ValueError, "min_validity", id="negative validity"),
    pytest.param({"min_validity": 10**400}, ValueError, "min_validity", id="validity that no float holds"),
    pytest.param({"min_validity": 10**9 + 1}, ValueError, "min_validity", id="validity of more than thirty years"),
    pytest.param({"correlation_id": 7}, TypeError, "correlation_id", id="correlation id of another type"),
    pytest.param({"correlation_id": "a\r\nb"}, ValueError, "correlation_id", id="correlation id of two lines"),
    pytest.param({"correlation_id": "a "}, ValueError, "correlation_id", id="correlation id that ends with a blank"),
    pytest.param({"correlation_id": "ä"}, ValueError, "correlation_id", id="correlation id that is not ASCII"),
]


@pytest.mark.parametrize(("arguments", "error", "name"), BAD_CALLS)
def test_a_silent_call_refuses_arguments_that_cannot_be(
    world: World, arguments: dict[str, Any], error: type[Exception], name: str
) -> None:
    given = {"scopes": SCOPES, "account": SOMEBODY} | arguments
    with pytest.raises(error, match=name):
        world.public().acquire_token_silent(given.pop("scopes"), given.pop("account"), **given)
    assert world.idp.counters.requests == {}


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        pytest.param({"scopes": "User.Read"}, TypeError, "scopes", id="scopes as a str"),
        pytest.param({"open_browser": "firefox"}, TypeError, "open_browser", id="a name for a browser"),
        pytest.param({"timeout": "300"}, TypeError, "timeout", id="timeout as a str"),
        pytest.param({"timeout": -1}, ValueError, "timeout", id="negative timeout"),
        pytest.param({"login_hint": ""}, ValueError, "login_hint", id="empty hint"),
        pytest.param({"prompt": 7}, TypeError, "prompt", id="prompt of another type"),
    ],
)
def test_an_interactive_call_refuses_arguments_that_cannot_be(
    world: World, arguments: dict[str, Any], error: type[Exception], name: str
) -> None:
    given = {"scopes": SCOPES} | arguments
    with pytest.raises(error, match=name):
        world.public().acquire_token_interactive(given.pop("scopes"), **given)
    assert world.idp.counters.requests == {}


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        PublicClientApplication("cli", ISSUER)  # type: ignore[misc]


# --- life ---


def test_a_hit_may_be_asked_for_in_any_form(world: World) -> None:
    """Calls that ask for nothing special are looked up before Python's arguments are taken apart."""
    app = world.public().application
    signed_in = world.sign_in(world.public())
    account = signed_in.account
    forms: list[Callable[[], Any]] = [
        lambda: app.acquire_token_silent(SCOPES, account),
        lambda: app.acquire_token_silent(SCOPES, account=account),
        lambda: app.acquire_token_silent(scopes=SCOPES, account=account),
        lambda: app.acquire_token_silent(account=account, scopes=SCOPES),
        lambda: app.acquire_token_silent(SCOPES, account, tenant_id=None),
        lambda: app.acquire_token_silent(SCOPES, account, force_refresh=False, claims=None),
        lambda: app.acquire_token_silent(SCOPES, account, login_hint=None, min_validity=None, correlation_id=None),
        lambda: app.acquire_token_silent(SCOPES, account, client_claims=None, refresh_if_sha256=None),
        lambda: app.acquire_token_silent(SCOPES, **{b"account".decode(): account}),
        lambda: type(app).acquire_token_silent(app, SCOPES, account),
    ]
    forms[0]()
    results = [form() for form in forms]
    assert {result.access_token for result in results} == {signed_in.access_token}
    assert {result.metadata.cache_level for result in results} == {"L1"}


def test_a_clients_hit_may_be_asked_for_in_any_form(world: World) -> None:
    app = world.confidential().application
    first = app.acquire_token_for_client(SCOPES)
    forms: list[Callable[[], Any]] = [
        lambda: app.acquire_token_for_client(SCOPES),
        lambda: app.acquire_token_for_client(scopes=SCOPES),
        lambda: app.acquire_token_for_client(SCOPES, tenant_id=None, force_refresh=False, claims=None),
        lambda: app.acquire_token_for_client(SCOPES, min_validity=None, correlation_id=None),
    ]
    forms[0]()
    assert {form().metadata.cache_level for form in forms} == {"L1"}
    assert {form().access_token for form in forms} == {first.access_token}


@pytest.mark.parametrize("first", [False, True], ids=["with nothing kept", "after a hit"])
def test_arguments_that_no_method_has_are_a_type_error(world: World, first: bool) -> None:
    signed_in = world.sign_in(world.public())
    app, service = world.public().application, world.confidential().application
    for _ in range(2 if first else 0):
        app.acquire_token_silent(SCOPES, signed_in.account)
        service.acquire_token_for_client(SCOPES)
    calls: list[Callable[[], Any]] = [
        app.acquire_token_silent,
        lambda: app.acquire_token_silent(account=signed_in.account),
        lambda: app.acquire_token_silent(SCOPES, signed_in.account, None),
        lambda: app.acquire_token_silent(SCOPES, signed_in.account, account=signed_in.account),
        lambda: app.acquire_token_silent(SCOPES, scopes=SCOPES, account=signed_in.account),
        lambda: app.acquire_token_silent(SCOPES, signed_in.account, forse_refresh=None),
        lambda: type(app).acquire_token_silent(object(), SCOPES, signed_in.account),
        service.acquire_token_for_client,
        lambda: service.acquire_token_for_client(SCOPES, None),
        lambda: service.acquire_token_for_client(SCOPES, scopes=SCOPES),
        lambda: service.acquire_token_for_client(SCOPES, account=None),
        lambda: service.acquire_token_for_client(SCOPES, account=signed_in.account),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("named", [{"force_refresh": True}, {"force_refresh": 1}, {"claims": "{}"}])
def test_what_bypasses_the_cache_does_so_after_a_hit(world: World, named: dict[str, Any]) -> None:
    signed_in = world.sign_in(world.public())
    app, service = world.public().application, world.confidential().application
    own = [service.acquire_token_for_client(SCOPES) for _ in range(3)][-1]
    for _ in range(2):
        app.acquire_token_silent(SCOPES, signed_in.account)
    assert app.acquire_token_silent(SCOPES, signed_in.account, **named).access_token != signed_in.access_token
    assert service.acquire_token_for_client(SCOPES, **named).access_token != own.access_token


def test_making_an_application_opens_and_sends_nothing(tmp_path: Path) -> None:
    cache = TokenCache(tmp_path / "cache", key=bytes(32))
    with PublicClientApplication("cli", authority="https://idp.invalid", cache=cache) as app:
        assert app.cache is cache
    assert not (tmp_path / "cache").exists()


def test_a_repr_says_which_client_and_where() -> None:
    app = ConfidentialClientApplication("service", credential=ClientSecret("canary"), authority=ISSUER)
    assert repr(app) == "ConfidentialClientApplication('service', authority='https://idp.example')"


@pytest.mark.parametrize(
    "call",
    [
        lambda app, account: app.acquire_token_silent(SCOPES, account),
        lambda app, account: app.acquire_token(SCOPES, account),
        lambda app, _: app.get_accounts(),
        lambda app, account: app.get_account(account.home_account_id),
        lambda app, account: app.remove_account(account),
    ],
    ids=["silent", "acquire_token", "get_accounts", "get_account", "remove_account"],
)
@pytest.mark.parametrize("used", [True, False], ids=["after use", "never used"])
def test_a_closed_cache_is_a_client_error(world: World, call: Callable[[Any, Account], object], used: bool) -> None:
    app = world.public()
    account = Account("somebody", urlsplit(world.idp.issuer).netloc)
    if used:
        account = world.sign_in(app).account
        for _ in range(2):
            app.acquire_token_silent(SCOPES, account)
    world.cache.close()
    with pytest.raises(ClientError) as refused:
        call(app, account)
    assert refused.value.code == "cache_closed"


def test_a_closed_application_sends_nothing_and_still_reads(world: World) -> None:
    account = world.sign_in(world.public()).account
    with PublicClientApplication("cli", authority=world.idp.issuer, cache=world.cache) as app:
        app.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert app.acquire_token_silent(SCOPES, account).metadata.token_source == "cache"
    with pytest.raises(ClientError, match="transport_closed"):
        app.acquire_token_silent(SCOPES, account, force_refresh=True)


def test_a_cache_that_cannot_be_opened_is_a_cache_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    cache = TokenCache(tmp_path / "cache", key=bytes(32))
    app = PublicClientApplication("cli", authority=ISSUER, cache=cache)
    with pytest.raises(CacheError):
        app.acquire_token_silent(SCOPES, SOMEBODY)
    assert (tmp_path / "cache").read_text() == "a file where the directory should be"


def test_a_transport_of_ones_own_is_used(world: World) -> None:
    sent: list[str] = []
    app = world.public(before=lambda request: sent.append(request.url))
    world.sign_in(app)
    assert sent == [f"{world.idp.issuer}/token"]


class Answering:
    """A transport whose answers are whatever it is given."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, request: HttpRequest, *, timeout: float) -> Any:
        return self.answer


class Awaited(Answering):
    async def send(self, request: HttpRequest, *, timeout: float) -> Any:
        return self.answer


REPLY = HttpResponse(400, {}, b"{}")


@pytest.mark.parametrize(
    "answer", [None, {"access_token": "canary"}, (200, {}, b"canary")], ids=["none", "dict", "tuple"]
)
def test_a_transport_brings_an_http_response(tmp_path: Path, answer: object) -> None:
    cache = TokenCache(tmp_path / "cache", key=KEY)
    blocking = PublicClientApplication("cli", authority=ISSUER, cache=cache, transport=Answering(answer))
    with pytest.raises(TypeError, match="HttpResponse") as refused:
        blocking.acquire_token_by_refresh_token("refresh", SCOPES)
    assert "canary" not in str(refused.value)
    awaiting = warmtoken.aio.PublicClientApplication("cli", authority=ISSUER, cache=cache, transport=Awaited(answer))
    with pytest.raises(TypeError, match="HttpResponse"):
        asyncio.run(awaiting.acquire_token_by_refresh_token("refresh", SCOPES))


def test_a_transport_for_asyncio_is_for_applications_for_asyncio_alone(tmp_path: Path) -> None:
    cache, awaited, blocked = TokenCache(tmp_path / "cache", key=KEY), cast("Any", Awaited(REPLY)), Answering(REPLY)
    blocking = PublicClientApplication("cli", authority=ISSUER, cache=cache, transport=awaited)
    with pytest.raises(TypeError, match=r"warmtoken\.aio"):  # and no warning of a coroutine that nobody awaited
        blocking.acquire_token_by_refresh_token("refresh", SCOPES)
    awaiting = warmtoken.aio.PublicClientApplication("cli", authority=ISSUER, cache=cache, transport=blocked)
    with pytest.raises(TypeError, match=r"warmtoken\.aio"):
        asyncio.run(awaiting.acquire_token_by_refresh_token("refresh", SCOPES))


def test_what_cannot_be_pickled_or_copied_says_what_to_do(tmp_path: Path) -> None:
    cache, secret = TokenCache(tmp_path / "cache", key=KEY), ClientSecret("canary")
    made: list[Any] = [cache]
    for module in (warmtoken, warmtoken.aio):
        made.append(module.PublicClientApplication("cli", authority=ISSUER, cache=cache))
        made.append(module.ConfidentialClientApplication("cli", credential=secret, authority=ISSUER, cache=cache))
        made.append(module.ManagedIdentityApplication(cache=cache))
    for one in made:
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=f"expected no {type(one).__name__} to pickle or copy, .* make one"):
                duplicate(one)


class Recording(list[HttpRequest]):
    """A transport that is falsy as long as nothing was sent."""

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        self.append(request)
        return HttpResponse(400, {}, b"{}")


def test_a_transport_that_is_falsy_is_used_too(tmp_path: Path) -> None:
    transport = Recording()
    app = PublicClientApplication(
        "cli", authority=ISSUER, cache=TokenCache(tmp_path / "cache", key=KEY), transport=transport
    )
    with pytest.raises(ServiceError):
        app.acquire_token_by_refresh_token("refresh", SCOPES)
    app.close()
    assert [request.url for request in transport] == [f"{ISSUER}/.well-known/openid-configuration"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, warmtoken; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"ssl", "asyncio", "httpx2", "joserfc", "cryptography.x509", "http.server"}
    assert heavy.isdisjoint(loaded)
    assert "warmtoken.core" in loaded


# --- secrets ---


class Collector:
    """Notes all that an application sends and gets that nobody else may see."""

    def __init__(self) -> None:
        self.secrets: set[str] = {"service-secret", "wrong-canary"}

    def __call__(self, request: HttpRequest) -> None:
        form = parse_qs(request.body.decode())
        for name in ("code", "code_verifier", "refresh_token", "client_secret", "assertion"):
            self.secrets.update(form.get(name, []))
        self.secrets.add(request.headers.get("authorization", "service-secret"))

    def take(self, result: warmtoken.AuthenticationResult) -> warmtoken.AuthenticationResult:
        self.secrets |= {result.access_token, result.id_token or result.access_token}
        return result

    def found_in(self, text: str) -> list[str]:
        return [secret for secret in self.secrets if secret in text]


def test_no_log_no_exception_and_no_repr_shows_a_secret(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    collector = Collector()
    app, service = world.public(before=collector), world.confidential(before=collector)
    wrong = world.confidential(secret="wrong-canary", before=collector)
    said: list[str] = []

    def failing(call: Callable[[], object]) -> None:
        with pytest.raises(WarmTokenError) as failed:
            call()
        said.extend(traceback.format_exception(failed.value))
        said.extend((str(failed.value), repr(failed.value), str(vars(failed.value))))

    signed_in = collector.take(world.sign_in(app))
    account = signed_in.account
    results = [signed_in, collector.take(app.acquire_token_silent(SCOPES, account, force_refresh=True))]
    results.append(collector.take(service.acquire_token_for_client(["api/.default"])))

    def forced() -> object:
        return app.acquire_token_silent(SCOPES, account, force_refresh=True)

    failing(lambda: wrong.acquire_token_for_client(["api/.default"], force_refresh=True))
    stored = world.cache.vault().find_refresh_token(app.application._context.owner(account.home_account_id))
    assert stored is not None
    echo = {"error": "invalid_request", "error_description": f"got {stored.record.secret}, which is malformed"}
    for fault in ({"status": 200, "body": "<html>"}, {"status": 400, "body": echo}, {"status": 429, "body": echo}):
        world.idp.fail_next("token", **fault)
        failing(forced)
    failing(forced)  # from the note of the last answer
    world.clock.advance(60)
    world.idp.id_token_claims = {"sub": "mallory"}
    failing(forced)
    world.idp.revoke_user(ALICE)
    failing(forced)
    failing(lambda: app.acquire_token_interactive(SCOPES, open_browser=UserAgent(behaviour="close"), timeout=0.1))
    failing(lambda: service.acquire_token_on_behalf_of(signed_in.access_token, SCOPES))
    said += [f"{thing!r} {thing}" for thing in (*results, app.application, service.application, world.cache)]
    assert "which is malformed" in "".join(said)
    assert len(collector.secrets) > 10
    assert collector.found_in("".join(said)) == []
    assert collector.found_in(caplog.text) == []
    assert repr(bytes(range(32))) not in "".join(said)


def test_nothing_that_is_said_on_behalf_of_a_user_shows_a_secret(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    collector = Collector()
    assertion = collector.take(world.sign_in(world.public())).access_token
    api = world.confidential(before=collector)
    results = [collector.take(api.acquire_token_on_behalf_of(assertion, SCOPES)) for _ in range(3)]
    session = api.initiate_long_running_on_behalf_of(assertion, SCOPES)
    collector.secrets.add(session.session_key)
    results += [collector.take(session.result)]
    results += [collector.take(api.acquire_token_in_long_running_on_behalf_of(session.session_key, SCOPES))]
    said = [f"{thing!r} {thing}" for thing in (*results, session, api.application)]
    echo = {"error": "invalid_grant", "error_description": f"got {assertion}, which is malformed"}
    calls: list[Callable[[], object]] = [
        lambda: api.acquire_token_on_behalf_of(assertion, SCOPES, force_refresh=True),
        lambda: api.initiate_long_running_on_behalf_of(assertion, SCOPES),
    ]
    for call in calls:
        world.idp.fail_next("token", status=400, body=echo)
        with pytest.raises(WarmTokenError) as failed:
            call()
        said += [*traceback.format_exception(failed.value), repr(failed.value), str(vars(failed.value))]
    api.stop_long_running_on_behalf_of(session.session_key)
    with pytest.raises(WarmTokenError) as failed:
        api.acquire_token_in_long_running_on_behalf_of(session.session_key, SCOPES)
    said += [*traceback.format_exception(failed.value), repr(failed.value)]
    assert "which is malformed" in "".join(said)
    assert len(collector.secrets) > 6
    assert collector.found_in("".join(said)) == []
    assert collector.found_in(caplog.text) == []


def test_no_object_of_a_flow_shows_a_secret(world: World) -> None:
    collector = Collector()
    app = world.public(before=collector)
    collector.take(world.sign_in(app))
    context = app.application._context
    vault = world.cache.vault()
    owner = context.owner(app.get_accounts()[0].home_account_id)
    found = vault.find_refresh_token(owner)
    assert found is not None
    collector.secrets.add(found.record.secret)
    cached = vault.find_access_token(context.slot(owner.home_account_id, context.authority), (), 0)
    assert cached is not None
    assert collector.found_in(f"{context!r} {vault!r} {found!r} {cached!r} {found.record!r}") == []


def test_users_of_the_errors_can_tell_them_apart(world: World) -> None:
    with pytest.raises(UiRequiredError) as refused:
        world.public().acquire_token_silent(SCOPES)
    assert refused.value.code == "user_null"
