"""Managed identities of Azure: one token for all processes of the host (MSAL.NET's rules)."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import inspect
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.managed_identity import CLAIMS, GUID, RESOURCE_ID, VAULT, Place, failed
from support.managed_identity_endpoint import SOURCES
from support.waiters import Waiters
from support.world import Client, World

import warmtoken
import warmtoken.aio
from warmtoken import (
    BackgroundRefresh,
    ClientError,
    ServiceError,
    SystemAssignedManagedIdentity,
    UserAssignedManagedIdentity,
)
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.flows import async_driver, driver, single_flight
from warmtoken.flows.context import HTTP_TIMEOUT
from warmtoken.flows.managed_identity import PATIENCE
from warmtoken.protocol.managed_identity import pause_before_retry


def settle(place: Place, app: Client) -> None:
    """Wait until the refreshes in the background have ended."""
    if place.world.mode == "sync":
        driver.finish(app.application._own_transport)
    else:
        place.world.run(lambda: async_driver.finish(app.application._transport))


# --- from the endpoint, from the cache, from memory ---


@pytest.mark.parametrize("source", SOURCES)
def test_a_token_is_asked_for_once_and_then_cached(enter: Callable[[str], Place], source: str) -> None:
    place = enter(source)
    app = place.app()
    assert app.application.source == source
    results = [app.acquire_token_for_managed_identity(VAULT) for _ in range(4)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1", "L1"]
    assert [result.metadata.token_source for result in results[:2]] == ["identity_provider", "cache"]
    assert results[0].metadata.cache_refresh_reason == "no_cached_access_token"
    assert {result.access_token for result in results} == set(place.endpoint.granted)
    assert len(place.endpoint.granted) == 1
    assert {(result.token_type, result.scopes, result.account) for result in results} == {("Bearer", (VAULT,), None)}
    until = place.world.clock.time() + place.endpoint.lifetime
    assert all(until - 5 < result.expires_on <= until for result in results)


def test_all_ways_to_write_a_plain_call_come_from_memory(place: Place) -> None:
    app = place.app()
    for _ in range(2):
        app.acquire_token_for_managed_identity(VAULT)
    calls = [
        lambda: app.acquire_token_for_managed_identity(VAULT),
        lambda: app.acquire_token_for_managed_identity(resource=VAULT),
        lambda: app.acquire_token_for_managed_identity("".join(list(VAULT)), force_refresh=False, claims=None),
        lambda: app.acquire_token_for_managed_identity(VAULT, min_validity=None, correlation_id=None),
    ]
    assert [call().metadata.cache_level for call in calls] == ["L1"] * 4
    assert len(place.endpoint.seen) == 1


def test_a_hit_is_one_compiled_call(place: Place) -> None:
    app = place.app()
    for _ in range(2):
        app.acquire_token_for_managed_identity(VAULT)
    frames: list[str] = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            frames.append(frame.f_code.co_name)

    gc.disable()  # what it finalizes would be noted too
    sys.setprofile(note)
    try:
        hit = app.application.acquire_token_for_managed_identity(VAULT)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert frames == []
    if place.world.mode == "async":
        with pytest.raises(StopIteration) as stop:
            hit.send(None)  # it never suspends
        hit = stop.value.value
    assert hit.metadata.cache_level == "L1"


def test_another_process_finds_the_token_in_the_store(place: Place) -> None:
    first = place.app().acquire_token_for_managed_identity(VAULT)
    again = place.app(cache=place.world.new_cache()).acquire_token_for_managed_identity(VAULT)
    assert (again.access_token, again.metadata.cache_level) == (first.access_token, "store")


def test_one_scope_is_a_resource_without_default(place: Place) -> None:
    app = place.app()
    named = app.acquire_token_for_managed_identity(f"{VAULT}/.default")
    assert place.asked[0]["resource"] == VAULT
    for resource in (VAULT, f"{VAULT}/.default"):
        for _ in range(3):
            result = app.acquire_token_for_managed_identity(resource)
            assert (result.access_token, result.scopes) == (named.access_token, (VAULT,))
    app.acquire_token_for_managed_identity(f"{VAULT}//.default")  # with a slash it is another resource
    assert [asked["resource"] for asked in place.asked] == [VAULT, f"{VAULT}/"]


@pytest.mark.parametrize(
    ("resource", "error"),
    [([VAULT], TypeError), (None, TypeError), (b"x", TypeError), ("", ValueError), ("a b", ValueError),
     ("openid", ValueError), ("Profile", ValueError), ("openid/.default", ValueError), ("/.default", ValueError)],
)  # fmt: skip
def test_a_resource_is_one_text(place: Place, resource: Any, error: type[Exception]) -> None:
    app = place.app()
    app.acquire_token_for_managed_identity(VAULT)
    for _ in range(2):
        with pytest.raises(error):
            app.acquire_token_for_managed_identity(resource)
    assert len(place.endpoint.seen) == 1


@pytest.mark.parametrize(
    ("identity", "client_id"),
    [
        (SystemAssignedManagedIdentity(), "system_assigned_managed_identity"),
        (UserAssignedManagedIdentity(client_id=GUID), GUID),
        (UserAssignedManagedIdentity(object_id=GUID), GUID),
        (UserAssignedManagedIdentity(resource_id=RESOURCE_ID), RESOURCE_ID),
    ],
)
def test_tokens_are_cached_under_msals_names(place: Place, identity: Any, client_id: str) -> None:
    """MSAL.NET: client system_assigned_managed_identity or the user-assigned id, tenant managed_identity."""
    result = place.app(identity).acquire_token_for_managed_identity(VAULT)
    slot = Slot(Owner("login.windows.net", client_id), "managed_identity")
    found = place.world.cache.vault().find_access_token(slot, (VAULT,), 0.0)
    assert found is not None
    assert (found.secret, result.tenant_id) == (result.access_token, "managed_identity")


def test_each_identity_and_each_resource_has_a_token_of_its_own(place: Place) -> None:
    apps = [place.app(), place.app(UserAssignedManagedIdentity(client_id=GUID))]
    tokens = {
        app.acquire_token_for_managed_identity(resource).access_token
        for _ in range(3)
        for app in apps
        for resource in (VAULT, "https://storage.azure.com/")
    }
    assert tokens == set(place.endpoint.granted)
    assert len(tokens) == 4


@pytest.mark.parametrize("source", ["app_service", "machine_learning"])
def test_applications_of_one_host_do_not_see_each_others_tokens(
    enter: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    place = enter(source)
    first = place.app().acquire_token_for_managed_identity(VAULT)
    same = place.app(cache=place.world.new_cache()).acquire_token_for_managed_identity(VAULT)
    assert same.access_token == first.access_token
    secret = "IDENTITY_HEADER" if source == "app_service" else "MSI_SECRET"
    monkeypatch.setenv(secret, "of-another-application")
    other = place.app()
    assert failed(lambda: other.acquire_token_for_managed_identity(VAULT), ServiceError).status == 400
    assert len(place.endpoint.granted) == 1


def test_processes_whose_environments_name_another_identity_do_not_share_tokens(
    enter: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = enter("machine_learning")
    first = place.app().acquire_token_for_managed_identity(VAULT)
    monkeypatch.setenv("DEFAULT_IDENTITY_CLIENT_ID", GUID)
    other = place.app()
    tokens = [other.acquire_token_for_managed_identity(VAULT).access_token for _ in range(2)]
    assert first.access_token not in tokens
    assert [asked["clientid"] for asked in place.asked][1:] == [GUID]
    assert tokens == place.endpoint.granted[1:] * 2


def test_an_application_has_no_users(place: Place) -> None:
    app = place.app().application
    for name in ("acquire_token_silent", "get_accounts", "acquire_token_for_client", "acquire_token_interactive"):
        assert not hasattr(app, name)


def test_force_refresh_and_min_validity(place: Place) -> None:
    app = place.app()
    first = app.acquire_token_for_managed_identity(VAULT)
    forced = app.acquire_token_for_managed_identity(VAULT, force_refresh=True)
    assert forced.metadata.cache_refresh_reason == "force_refresh_or_claims"
    assert app.acquire_token_for_managed_identity(VAULT, min_validity=60).access_token == forced.access_token
    longer = app.acquire_token_for_managed_identity(VAULT, min_validity=3601, correlation_id="mine")
    assert len({first.access_token, forced.access_token, longer.access_token}) == 3
    assert longer.correlation_id == "mine"
    assert place.endpoint.seen[-1].headers["x-ms-client-request-id"] == "mine"


def test_an_expired_token_is_replaced(place: Place) -> None:
    app = place.app()
    first = app.acquire_token_for_managed_identity(VAULT)
    place.world.clock.advance(3600)
    second = app.acquire_token_for_managed_identity(VAULT)
    assert second.access_token != first.access_token
    assert second.metadata.cache_refresh_reason == "expired"


# --- when to refresh ---


@pytest.mark.parametrize(
    ("lifetime", "said", "refresh_in"),
    [(7200, ..., 3600), (86_400, ..., 43_200), (7199, ..., None), (86_400, 600, 600), (3600, "600", 600)],
)
def test_a_long_lived_token_is_to_be_refreshed_at_half_its_life(
    place: Place, lifetime: int, said: Any, refresh_in: int | None
) -> None:
    place.endpoint.lifetime = lifetime
    place.endpoint.fields["refresh_in"] = said
    result = place.app().acquire_token_for_managed_identity(VAULT)
    refresh_on = result.metadata.refresh_on
    assert (None if refresh_on is None else result.expires_on - refresh_on) == (
        None if refresh_in is None else lifetime - refresh_in
    )


def test_then_it_is_refreshed_in_the_background(place: Place) -> None:
    told: list[BackgroundRefresh] = []
    place.endpoint.lifetime = 86_400
    app = place.app(on_background_refresh=told.append)
    first = app.acquire_token_for_managed_identity(VAULT)
    place.world.clock.advance(50_000)
    assert app.acquire_token_for_managed_identity(VAULT).access_token == first.access_token
    settle(place, app)
    assert app.acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[-1]
    assert len(place.endpoint.granted) == 2
    assert [(outcome.scopes, outcome.error) for outcome in told] == [((VAULT,), None)]


# --- claims ---


def test_a_challenge_names_the_token_in_the_cache_by_its_hash_and_brings_another(
    enter: Callable[[str], Place],
) -> None:
    """MSAL.NET: with claims, the cached token's SHA-256 is sent as that of the revoked one."""
    place = enter("service_fabric")
    app = place.app(client_capabilities=["cp1", "cp2"])
    revoked = app.acquire_token_for_managed_identity(VAULT)
    renewed = app.acquire_token_for_managed_identity(VAULT, claims=CLAIMS)
    assert renewed.access_token != revoked.access_token
    assert renewed.metadata.cache_refresh_reason == "force_refresh_or_claims"
    first, second = place.asked
    assert "token_sha256_to_refresh" not in first
    assert second["token_sha256_to_refresh"] == hashlib.sha256(revoked.access_token.encode()).hexdigest()
    assert first["xms_cc"] == second["xms_cc"] == "cp1,cp2"
    assert app.acquire_token_for_managed_identity(VAULT).access_token == renewed.access_token
    app.acquire_token_for_managed_identity(VAULT, claims=CLAIMS, force_refresh=True)
    assert place.asked[2]["token_sha256_to_refresh"] == hashlib.sha256(renewed.access_token.encode()).hexdigest()


def test_a_challenge_without_a_token_in_the_cache_that_lasts_names_none(enter: Callable[[str], Place]) -> None:
    place = enter("service_fabric")
    for _ in range(2):
        place.app().acquire_token_for_managed_identity(VAULT, claims=CLAIMS)
        place.world.clock.advance(3600)
    assert [asked.keys() for asked in place.asked] == [{"api-version", "resource"}] * 2


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "service_fabric"])
def test_where_the_endpoint_knows_no_revocation_a_challenge_just_brings_another(
    enter: Callable[[str], Place], source: str
) -> None:
    place = enter(source)
    app = place.app(client_capabilities=["cp1"])
    first = app.acquire_token_for_managed_identity(VAULT)
    second = app.acquire_token_for_managed_identity(VAULT, claims=CLAIMS)
    assert [first.access_token, second.access_token] == place.endpoint.granted
    assert all(not {"xms_cc", "token_sha256_to_refresh", "claims"} & asked.keys() for asked in place.asked)


def test_all_who_got_the_challenge_share_one_new_token(place: Place, waiters: Waiters) -> None:
    app = place.app()
    first = app.acquire_token_for_managed_identity(VAULT)
    place.endpoint.hold = lambda: waiters.expect(7)
    sibling = Place(place.world.sibling(), place.endpoint, place.stack)
    apps = [sibling.app(cache=place.world.new_cache()) for _ in range(8)]
    barrier = threading.Barrier(len(apps))

    def ask(one: Client) -> str:
        barrier.wait(60)
        token: str = one.acquire_token_for_managed_identity(VAULT, claims=CLAIMS).access_token
        return token

    with ThreadPoolExecutor(len(apps)) as pool:
        tokens = set(pool.map(ask, apps))
    assert tokens == {place.endpoint.granted[-1]}
    assert place.endpoint.granted[0] == first.access_token
    assert len(place.endpoint.granted) == 2


def test_claims_that_are_no_json_object_are_refused_without_being_shown(place: Place) -> None:
    error = failed(lambda: place.app().acquire_token_for_managed_identity(VAULT, claims="canary"), ClientError)
    assert error.code == "invalid_json_claims_format"
    assert "canary" not in str(error)
    assert place.endpoint.seen == []


# --- the application ---


def test_the_environment_is_read_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    app = place.app()
    monkeypatch.setenv("MSI_ENDPOINT", "https://elsewhere.example")
    assert app.application.source == "imds"
    assert app.acquire_token_for_managed_identity(VAULT).access_token == place.endpoint.granted[0]


def test_an_application_takes_an_identity_and_a_cache(world: World) -> None:
    module = warmtoken if world.mode == "sync" else warmtoken.aio
    for wrong in ("client-id", None, {"client_id": GUID}):
        with pytest.raises(TypeError, match="identity"):
            module.ManagedIdentityApplication(wrong)
    with pytest.raises(TypeError, match="cache"):
        module.ManagedIdentityApplication(cache="path")
    with pytest.raises(TypeError, match="capabilities"):
        module.ManagedIdentityApplication(client_capabilities="cp1")
    application = module.ManagedIdentityApplication(UserAssignedManagedIdentity(client_id=GUID), cache=world.cache)
    assert application.cache is world.cache
    assert repr(application) == (
        f"ManagedIdentityApplication(UserAssignedManagedIdentity(client_id={GUID!r}, resource_id=None, object_id=None))"
    )


def test_a_transport_of_ones_own_is_used(place: Place) -> None:
    world = place.world
    urls: list[str] = []

    def note(request: Any) -> None:
        urls.append(request.url)

    module = warmtoken if world.mode == "sync" else warmtoken.aio

    class Noting:
        def __init__(self) -> None:
            self.inner = world.transport()

        def send(self, request: Any, *, timeout: float) -> Any:
            note(request)
            return self.inner.send(request, timeout=timeout)

    application = module.ManagedIdentityApplication(cache=world.cache, transport=Noting())
    result = world.run(lambda: application.acquire_token_for_managed_identity(VAULT))
    assert result.access_token == place.endpoint.granted[0]
    assert len(urls) == 1
    assert result.metadata.token_endpoint == urls[0].partition("?")[0]


def test_the_method_says_its_parameters(world: World) -> None:
    module = warmtoken if world.mode == "sync" else warmtoken.aio
    method = module.ManagedIdentityApplication.acquire_token_for_managed_identity
    assert list(inspect.signature(method).parameters) == [
        "self", "resource", "force_refresh", "claims", "min_validity", "correlation_id",
    ]  # fmt: skip


# --- who waits ---


def test_who_waits_has_the_patience_that_an_update_of_imds_takes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_flight, "DEADLINE", 0.0)
    place.endpoint.delay = 0.3
    sibling = Place(place.world.sibling(), place.endpoint, place.stack)
    apps = [sibling.app(cache=place.world.new_cache()) for _ in range(4)]
    with ThreadPoolExecutor(len(apps)) as pool:
        tokens = set(pool.map(lambda app: app.acquire_token_for_managed_identity(VAULT).access_token, apps))
    assert tokens == set(place.endpoint.granted)
    longest = sum(pause_before_retry("imds", 410, sent) or 0.0 for sent in range(7))
    assert longest + HTTP_TIMEOUT < PATIENCE


@pytest.mark.parametrize("world", ["async"], indirect=True)
def test_one_task_of_many_asks(place: Place) -> None:
    app = place.app()

    async def ask_together() -> set[str]:
        ask = app.application.acquire_token_for_managed_identity
        return {result.access_token for result in await asyncio.gather(*(ask(VAULT) for _ in range(16)))}

    assert place.world.run(ask_together) == set(place.endpoint.granted)
    assert len(place.endpoint.seen) == 1
