"""A program's own way to the client's tokens in the place of the authority (MSAL.NET's WithAppTokenProvider)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.token_provider import AUTHORITY, Vault, service
from support.waiters import Waiters
from support.world import SCOPES, Client, World, new_world

from warmtoken import (
    AppTokenProvider,
    AppTokenProviderParameters,
    AppTokenProviderResult,
    BackgroundRefresh,
    ClientError,
    ConfidentialClientApplication,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)

SCOPE = ["api/.default"]
TEN_YEARS = 3650 * 86_400
MARGIN_BEGUN = 3600 - 100  # seconds after a token of an hour came


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def app(world: World, vault: Vault) -> Client:
    return service(world, vault)


@pytest.fixture
def awaiting(tmp_path: Path) -> Iterator[World]:
    with new_world("async", tmp_path) as world:
        yield world


def failed(call: Callable[[], object], kind: type[WarmTokenError] = WarmTokenError) -> Any:
    with pytest.raises(kind) as raised:
        call()
    return raised.value


def at_once(world: World, app: Client, count: int = 16) -> list[Any]:
    """What as many callers got who asked at the same moment, in threads or tasks."""

    async def all_at_once() -> list[Any]:
        asking = (app.application.acquire_token_for_client(SCOPE) for _ in range(count))
        return await asyncio.gather(*asking, return_exceptions=True)

    def one(barrier: threading.Barrier) -> Any:
        barrier.wait()
        try:
            return app.application.acquire_token_for_client(SCOPE)
        except Exception as error:  # noqa: BLE001
            return error

    if world.mode == "async":
        return list(world.run(all_at_once))
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, [threading.Barrier(count)] * count))


# --- when the function is called, and with what ---


def test_the_function_is_called_once_and_the_token_then_cached(world: World, app: Client, vault: Vault) -> None:
    results = [app.acquire_token_for_client(SCOPE) for _ in range(4)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1", "L1"]
    assert [result.metadata.token_source for result in results[:2]] == ["identity_provider", "cache"]
    assert {(result.access_token, result.token_type, result.scopes) for result in results} == {
        ("token-1", "Bearer", ("api/.default",))
    }
    until = world.clock.time() + 3600
    assert all(until - 5 < result.expires_on <= until for result in results)
    assert len(vault.asked) == 1
    assert world.idp.counters.requests == {}


def test_metadata_say_that_no_endpoint_was_asked_and_how_long_the_function_took(app: Client, vault: Vault) -> None:
    vault.delay = 0.02
    metadata = app.acquire_token_for_client(SCOPE).metadata
    assert (metadata.cache_refresh_reason, metadata.token_endpoint) == ("no_cached_access_token", None)
    assert 20 <= metadata.duration_http_ms <= metadata.duration_total_ms < 10_000


def test_the_function_is_told_what_is_wanted(world: World, vault: Vault) -> None:
    app = service(world, vault, client_capabilities=["cp1"])
    challenge = '{"access_token":{"nbf":{"essential":true}}}'
    app.acquire_token_for_client(["API/One", "api/two"], correlation_id="mine", tenant_id="fabrikam.example")
    app.acquire_token_for_client(SCOPE, claims=challenge, client_claims='{"access_token":{"own":null}}')
    first, second = vault.asked
    assert (first.scopes, first.tenant_id, first.correlation_id) == (("API/One", "api/two"), "fabrikam.example", "mine")
    assert (second.scopes, second.tenant_id) == (("api/.default",), "contoso.example")
    assert json.loads(first.claims or "") == {"access_token": {"xms_cc": {"values": ["cp1"]}}}
    assert set(json.loads(second.claims or "")["access_token"]) == {"nbf", "own", "xms_cc"}
    assert second.correlation_id


def test_without_claims_and_tenants_the_function_is_told_none(world: World, vault: Vault) -> None:
    app = service(world, vault, authority="https://issuer.example")
    assert app.acquire_token_for_client(SCOPE).tenant_id == ""
    (asked,) = vault.asked
    assert (asked.claims, asked.tenant_id) == (None, None)


def test_an_expired_a_forced_and_a_challenged_token_are_asked_for_again(world: World, app: Client) -> None:
    app.acquire_token_for_client(SCOPE)
    world.clock.advance(3600)
    results = [
        app.acquire_token_for_client(SCOPE),
        app.acquire_token_for_client(SCOPE, force_refresh=True),
        app.acquire_token_for_client(SCOPE, claims="{}"),
    ]
    assert [result.access_token for result in results] == ["token-2", "token-3", "token-4"]
    reasons = [result.metadata.cache_refresh_reason for result in results]
    assert reasons == ["expired", "force_refresh_or_claims", "force_refresh_or_claims"]
    assert app.acquire_token_for_client(SCOPE).access_token == "token-4"


def test_a_token_that_an_api_refused_is_asked_for_again_once(app: Client, vault: Vault) -> None:
    named = hashlib.sha256(app.acquire_token_for_client(SCOPE).access_token.encode()).hexdigest()
    tokens = [app.acquire_token_for_client(SCOPE, refresh_if_sha256=named).access_token for _ in range(3)]
    assert tokens == ["token-2"] * 3
    assert len(vault.asked) == 2


def test_tenants_scopes_and_client_claims_tell_tokens_apart(app: Client, vault: Vault) -> None:
    calls = [
        lambda: app.acquire_token_for_client(SCOPE),
        lambda: app.acquire_token_for_client(SCOPE, tenant_id="fabrikam.example"),
        lambda: app.acquire_token_for_client(["other/.default"]),
        lambda: app.acquire_token_for_client(SCOPE, client_claims='{"access_token":{"own":null}}'),
    ]
    for _ in range(2):
        assert [call().access_token for call in calls] == ["token-1", "token-2", "token-3", "token-4"]
    assert len(vault.asked) == 4


def test_the_function_is_called_once_for_all_who_ask_at_the_same_moment(
    world: World, app: Client, vault: Vault
) -> None:
    vault.delay = 0.1
    assert {result.access_token for result in at_once(world, app)} == {"token-1"}
    assert len(vault.asked) == 1


def test_no_tenant_and_no_scope_are_refused_before_the_function_is_called(world: World, vault: Vault) -> None:
    everywhere = service(world, vault, authority="https://login.microsoftonline.com/common")
    assert failed(lambda: everywhere.acquire_token_for_client(SCOPE), ClientError).code == "tenant_required"
    refused = failed(lambda: service(world, vault).acquire_token_for_client([]), ClientError)
    assert refused.code == "scopes_required_client_credentials"
    assert vault.asked == []


# --- refresh ahead of time ---


def test_a_token_that_is_to_be_refreshed_is_in_the_background(world: World, vault: Vault) -> None:
    told: list[BackgroundRefresh] = []
    app = service(world, vault, on_background_refresh=told.append)
    vault.refresh_in = 1800
    assert app.acquire_token_for_client(SCOPE).metadata.refresh_on == int(world.clock.time()) + 1800
    world.clock.advance(1980)
    served = app.acquire_token_for_client(SCOPE)
    assert (served.access_token, served.metadata.token_source) == ("token-1", "cache")
    world.settle(app)
    assert app.acquire_token_for_client(SCOPE).access_token == "token-2"
    (outcome,) = told
    assert outcome.metadata is not None
    assert outcome.metadata.cache_refresh_reason == "proactively_refreshed"
    assert world.cache.stats().background_refreshes == 1


def test_a_refresh_in_the_background_that_fails_is_told_and_the_cached_token_served(world: World, vault: Vault) -> None:
    told: list[BackgroundRefresh] = []
    app = service(world, vault, on_background_refresh=told.append)
    vault.refresh_in = 1800
    app.acquire_token_for_client(SCOPE)
    vault.error = OSError("the sidecar is gone")
    world.clock.advance(1980)
    assert [app.acquire_token_for_client(SCOPE).access_token for _ in range(2)] == ["token-1"] * 2
    world.settle(app)
    (outcome,) = told
    assert isinstance(outcome.error, TransportError)
    assert outcome.error.__cause__ is vault.error


@pytest.mark.parametrize(
    ("expires_in", "refresh_in"), [(7199, None), (7200, 3600), (86_400, 43_200)], ids=["below", "at", "above"]
)
def test_half_of_a_long_life_is_inferred(
    world: World, app: Client, vault: Vault, expires_in: int, refresh_in: int | None
) -> None:
    """MSAL.NET: from two hours on."""
    vault.expires_in = expires_in
    refresh_on = app.acquire_token_for_client(SCOPE).metadata.refresh_on
    assert refresh_on == (None if refresh_in is None else int(world.clock.time()) + refresh_in)


# --- what the function returns ---


def test_fractions_of_seconds_are_cut_off_and_ten_years_are_taken(world: World, app: Client, vault: Vault) -> None:
    vault.expires_in, vault.refresh_in = 3600.9, 1800.9
    first = app.acquire_token_for_client(SCOPE)
    now = int(world.clock.time())
    assert (first.expires_on, first.metadata.refresh_on) == (now + 3600, now + 1800)
    vault.expires_in = TEN_YEARS
    app.acquire_token_for_client(["other/.default"])
    assert app.acquire_token_for_client(["other/.default"]).metadata.token_source == "cache"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("CANARY", id="text"),
        pytest.param({"access_token": "CANARY", "expires_in": 3600}, id="dict"),
        pytest.param(AppTokenProviderResult("", 3600), id="no token"),
        pytest.param(AppTokenProviderResult(b"CANARY", 3600), id="bytes"),  # type: ignore[arg-type]
        pytest.param(AppTokenProviderResult("CANARY\r\nX-Injected: 1", 3600), id="another header"),
        pytest.param(AppTokenProviderResult("CANARY\n", 3600), id="end of line"),
        pytest.param(AppTokenProviderResult("CANARÝ", 3600), id="no ASCII"),
        *(
            pytest.param(AppTokenProviderResult("CANARY", *times), id=f"{times}")
            for wrong in (0, 0.5, -1, math.nan, math.inf, 10**400, TEN_YEARS + 1, True, "60", None)
            for times in ([wrong], [3600, wrong])
            if times != [3600, None]
        ),
    ],
)
def test_what_is_no_token_is_refused_without_being_shown(
    world: World, app: Client, vault: Vault, answer: object
) -> None:
    vault.answer = answer
    error = failed(lambda: app.acquire_token_for_client(SCOPE, correlation_id="mine"), ClientError)
    assert (error.code, error.correlation_id) == ("invalid_token_provider_response_value", "mine")
    assert "CANAR" not in f"{error}{error!r}"
    assert world.cache.stats().access_tokens == 0
    vault.answer = None
    assert app.acquire_token_for_client(SCOPE).access_token == "token-2"


# --- what the function raises ---


@pytest.mark.parametrize("kind", [OSError, KeyError, StopIteration, TimeoutError])
def test_what_the_function_raises_is_the_cause_of_an_error_that_does_not_repeat_it(
    app: Client, vault: Vault, kind: type[Exception]
) -> None:
    vault.error = kind("CANARY")
    error = failed(lambda: app.acquire_token_for_client(SCOPE, correlation_id="mine"), TransportError)
    assert (error.code, error.correlation_id) == ("token_provider_failed", "mine")
    assert error.__cause__ is vault.error
    assert kind.__name__ in str(error)
    assert "CANARY" not in f"{error}{error!r}"
    vault.error = None
    assert app.acquire_token_for_client(SCOPE).access_token == "token-2"


def test_all_who_waited_get_the_failure_and_its_cause(
    world: World, app: Client, vault: Vault, waiters: Waiters
) -> None:
    vault.error = OSError("gone")
    vault.hold = lambda: waiters.expect(15)
    errors = at_once(world, app)
    assert {(type(error), error.code) for error in errors} == {(TransportError, "token_provider_failed")}
    assert {error.__cause__ for error in errors} == {vault.error}
    assert len({id(error) for error in errors}) == len(errors)
    assert len(vault.asked) == 1


def test_a_token_within_its_margin_serves_while_the_function_fails(world: World, app: Client, vault: Vault) -> None:
    app.acquire_token_for_client(SCOPE)
    world.clock.advance(MARGIN_BEGUN)
    vault.error = OSError("gone")
    served = app.acquire_token_for_client(SCOPE)
    assert (served.access_token, served.metadata.cache_refresh_reason) == ("token-1", "expired")
    failed(lambda: app.acquire_token_for_client(SCOPE, force_refresh=True), TransportError)
    world.clock.advance(100)
    failed(lambda: app.acquire_token_for_client(SCOPE), TransportError)


def test_an_error_of_this_library_is_raised_as_it_is(app: Client, vault: Vault) -> None:
    vault.error = UiRequiredError("interaction_required", "an administrator must approve this service")
    assert failed(lambda: app.acquire_token_for_client(SCOPE)) is vault.error


def test_a_function_that_wants_to_be_left_alone_is_by_all_processes(world: World, app: Client, vault: Vault) -> None:
    vault.error = ThrottledError("request_throttled", "the vault is busy", status=429, is_retryable=True)
    vault.error.retry_after = 40
    failed(lambda: app.acquire_token_for_client(SCOPE), ThrottledError)
    vault.error = None
    for client in (app, service(world.sibling(), vault)):
        again = failed(lambda: client.acquire_token_for_client(SCOPE, force_refresh=True), ThrottledError)  # noqa: B023
        assert (again.code, again.message) == ("request_throttled", "the vault is busy")
        assert 0 < again.retry_after <= 40
    assert len(vault.asked) == 1
    world.clock.advance(41)
    assert app.acquire_token_for_client(SCOPE).access_token == "token-2"


@pytest.mark.parametrize(("said", "held"), [(math.inf, 3600), (math.nan, 0), (-5, 0)])
def test_a_function_is_left_alone_for_an_hour_at_most(
    world: World, app: Client, vault: Vault, said: float, held: float
) -> None:
    vault.error = ThrottledError("request_throttled", "the vault is busy", status=429)
    vault.error.retry_after = said
    failed(lambda: app.acquire_token_for_client(SCOPE), ThrottledError)
    vault.error = None
    if held:
        world.clock.advance(held - 5)
        failed(lambda: app.acquire_token_for_client(SCOPE), ThrottledError)
        world.clock.advance(6)
    assert app.acquire_token_for_client(SCOPE).access_token == "token-2"


def test_after_a_fault_of_its_service_the_function_is_left_alone_for_five_seconds(
    world: World, app: Client, vault: Vault
) -> None:
    vault.error = ServiceError("service_not_available", "the vault has a fault", status=503, is_retryable=True)
    failed(lambda: app.acquire_token_for_client(SCOPE), ServiceError)
    failed(lambda: app.acquire_token_for_client(SCOPE), ThrottledError)
    assert len(vault.asked) == 1
    world.clock.advance(6)
    failed(lambda: app.acquire_token_for_client(SCOPE), ServiceError)
    assert len(vault.asked) == 2


class Halt(BaseException):
    """What a program uses to end itself."""


def test_what_is_no_exception_passes_and_the_next_caller_asks(app: Client, vault: Vault) -> None:
    vault.error = Halt()
    with pytest.raises(Halt):
        app.acquire_token_for_client(SCOPE)
    vault.error = None
    assert app.acquire_token_for_client(SCOPE).access_token == "token-2"


# --- coroutine functions ---


async def granted(parameters: AppTokenProviderParameters) -> AppTokenProviderResult:
    await asyncio.sleep(0)
    return AppTokenProviderResult(f"token-for-{parameters.correlation_id}", 3600)


class Granting:
    """An object that is called like a coroutine function, and is none."""

    async def __call__(self, parameters: AppTokenProviderParameters) -> AppTokenProviderResult:
        return await granted(parameters)


async def broken(_: AppTokenProviderParameters) -> AppTokenProviderResult:
    raise OSError("CANARY")


@pytest.mark.parametrize("function", [granted, partial(granted), Granting()], ids=["function", "partial", "object"])
def test_under_asyncio_the_function_may_be_a_coroutine_function(awaiting: World, function: Any) -> None:
    app = service(awaiting, function)
    results = [app.acquire_token_for_client(SCOPE, correlation_id="mine") for _ in range(2)]
    assert [(result.access_token, result.metadata.token_source) for result in results] == [
        ("token-for-mine", "identity_provider"),
        ("token-for-mine", "cache"),
    ]


def test_what_a_coroutine_function_raises_is_the_cause_of_an_error_that_does_not_repeat_it(awaiting: World) -> None:
    error = failed(lambda: service(awaiting, broken).acquire_token_for_client(SCOPE), TransportError)
    assert (error.code, type(error.__cause__)) == ("token_provider_failed", OSError)
    assert "CANARY" not in str(error)


@pytest.mark.parametrize("function", [granted, Granting()], ids=["function", "object"])
def test_without_an_event_loop_a_coroutine_function_is_refused(tmp_path: Path, function: Any) -> None:
    with new_world("sync", tmp_path) as world:
        error = failed(lambda: service(world, function).acquire_token_for_client(SCOPE), ClientError)
    assert error.code == "event_loop_required"


def test_what_a_coroutine_function_got_is_kept_though_its_caller_was_cancelled(awaiting: World) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()
    calls: list[str] = []

    async def slow(parameters: AppTokenProviderParameters) -> AppTokenProviderResult:
        calls.append(parameters.correlation_id)
        reached.set()
        await go_on.wait()
        return AppTokenProviderResult("kept", 3600)

    app = service(awaiting, slow)

    async def cancel_and_ask_again() -> str:
        task = asyncio.ensure_future(app.application.acquire_token_for_client(SCOPE))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        token: str = (await app.application.acquire_token_for_client(SCOPE)).access_token
        return token

    assert awaiting.run(cancel_and_ask_again) == "kept"
    assert len(calls) == 1


# --- what there is without it alone ---

CALLS: dict[str, Callable[[Client, Any], object]] = {
    "silent": lambda app, account: app.acquire_token_silent(["other"], account),
    "silent without an account": lambda app, _: app.acquire_token_silent(SCOPES),
    "refresh token": lambda app, _: app.acquire_token_by_refresh_token("rt", SCOPES),
    "web sign-in": lambda app, _: app.initiate_auth_code_flow(SCOPES, "https://site.example/back"),
    "on behalf of": lambda app, _: app.acquire_token_on_behalf_of("assertion", SCOPES),
    "long-running": lambda app, _: app.initiate_long_running_on_behalf_of("assertion", SCOPES),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_needs_a_credential_at_the_authority_is_refused_before_anything_is_sent(
    world: World, vault: Vault, call: Callable[[Client, Any], object]
) -> None:
    account = world.sign_in(world.public()).account
    app = service(world, vault, authority=world.idp.issuer)
    assert failed(lambda: call(app, account), ClientError).code == "client_credential_required"
    assert vault.asked == []
    assert world.idp.counters.requests == {}


# --- its type ---


def test_a_provider_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="callable"):
        ConfidentialClientApplication("service", credential=AppTokenProvider("CANARY"), authority=AUTHORITY)  # type: ignore[arg-type]


def test_neither_the_function_nor_a_token_is_shown() -> None:
    def function(_: AppTokenProviderParameters, secret: str) -> AppTokenProviderResult:
        return AppTokenProviderResult(secret, 60)

    shown = [AppTokenProvider(partial(function, secret="CANARY")), AppTokenProviderResult("CANARY", 60)]
    assert "CANARY" not in repr(shown)
