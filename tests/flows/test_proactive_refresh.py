"""A provider that names a time to refresh (`refresh_in`) gets its refresh then, and nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import Any

import pytest
from support.waiters import Waiters
from support.world import ALICE, SCOPES, Client, World, eventually

from warmtoken import AuthenticationResult, BackgroundRefresh, ServiceError, TransportError, UiRequiredError, _engine
from warmtoken.cache.records import AccessTokenRecord
from warmtoken.cache.sealing import read_header
from warmtoken.cache.vault import NewTokens
from warmtoken.flows.effects import MAX_BACKGROUND
from warmtoken.flows.freshness import PAUSE
from warmtoken.protocol.scopes import lookup_scopes
from warmtoken.transport import HttpRequest

REFRESH_IN = 1800
LATEST = REFRESH_IN + REFRESH_IN / 10  # with all the jitter there may be


class Told:
    """Keeps what came of refreshes in the background."""

    def __init__(self) -> None:
        self.outcomes: list[BackgroundRefresh] = []

    def __call__(self, outcome: BackgroundRefresh) -> None:
        self.outcomes.append(outcome)


class Gate:
    """Holds token requests until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def close(self) -> None:
        self.open.clear()
        self.reached.clear()

    def __call__(self, _: HttpRequest) -> None:
        self.reached.set()
        assert self.open.wait(60)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def app(world: World, told: Told) -> Client:
    world.idp.refresh_in = REFRESH_IN
    return world.public(on_background_refresh=told)


def due(world: World, app: Client) -> AuthenticationResult:
    """Sign in, and let the time to refresh come."""
    signed_in = world.sign_in(app)
    world.clock.advance(LATEST)
    return signed_in


def silent(app: Client, signed_in: AuthenticationResult, **options: Any) -> AuthenticationResult:
    result: AuthenticationResult = app.acquire_token_silent(SCOPES, signed_in.account, **options)
    return result


# --- what callers see ---


def test_the_cached_token_is_served_and_the_next_call_gets_the_new_one(world: World, app: Client, told: Told) -> None:
    signed_in = due(world, app)
    served = silent(app, signed_in)
    assert served.access_token == signed_in.access_token
    assert (served.metadata.token_source, served.metadata.cache_refresh_reason) == ("cache", "not_applicable")
    assert served.metadata.duration_http_ms == 0.0
    world.settle(app)
    fresh = silent(app, signed_in)
    assert fresh.access_token != signed_in.access_token
    assert (fresh.metadata.token_source, fresh.metadata.cache_refresh_reason) == ("cache", "not_applicable")
    assert world.token_requests() == 1
    (outcome,) = told.outcomes
    assert (outcome.scopes, outcome.account, outcome.error) == (tuple(SCOPES), signed_in.account, None)
    metadata = outcome.metadata
    assert metadata is not None
    assert (metadata.token_source, metadata.cache_refresh_reason) == ("identity_provider", "proactively_refreshed")
    assert (metadata.cache_level, metadata.refresh_on) == ("none", fresh.metadata.refresh_on)
    assert metadata.token_endpoint == f"{world.idp.issuer}/token"
    assert 0 < metadata.duration_http_ms <= metadata.duration_total_ms < 10_000
    stats = world.cache.stats()
    assert (stats.background_refreshes, stats.background_failures) == (1, 0)


def test_a_services_own_token_is_refreshed_likewise(world: World, told: Told) -> None:
    world.idp.refresh_in = REFRESH_IN
    service = world.confidential(on_background_refresh=told)
    first = service.acquire_token_for_client(SCOPES)
    world.clock.advance(LATEST)
    served = service.acquire_token_for_client(SCOPES)
    assert (served.access_token, served.metadata.token_source) == (first.access_token, "cache")
    world.settle(service)
    assert service.acquire_token_for_client(SCOPES).access_token != first.access_token
    (outcome,) = told.outcomes
    assert (outcome.account, outcome.scopes) == (None, tuple(SCOPES))
    assert outcome.metadata is not None
    assert outcome.metadata.cache_refresh_reason == "proactively_refreshed"
    assert world.idp.counters.grants == {"client_credentials": 2}


def test_under_asyncio_a_coroutine_function_may_be_told(
    world: World, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(outcome: BackgroundRefresh) -> None:
        await asyncio.sleep(0)
        told(outcome)

    world.idp.refresh_in = REFRESH_IN
    app = world.public(on_background_refresh=tell)
    signed_in = due(world, app)
    with caplog.at_level(logging.ERROR, "warmtoken"):
        silent(app, signed_in)
        world.settle(app)
    assert len(told.outcomes) == (1 if world.mode == "async" else 0)
    assert ("event_loop_required" in caplog.text) == (world.mode == "sync")


def test_while_the_refresh_runs_hits_come_from_memory(world: World, told: Told) -> None:
    world.idp.refresh_in = REFRESH_IN
    gate = Gate()
    app = world.public(before=gate, on_background_refresh=told)
    signed_in = due(world, app)
    gate.close()
    results = [silent(app, signed_in) for _ in range(4)]
    assert [result.metadata.cache_level for result in results] == ["store", "L1", "L1", "L1"]
    assert {result.access_token for result in results} == {signed_in.access_token}
    assert told.outcomes == []
    gate.open.set()
    world.settle(app)
    assert world.token_requests() == 1


def test_a_result_in_memory_gives_way_when_the_time_has_come(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    assert [silent(app, signed_in).metadata.cache_level for _ in range(2)] == ["store", "L1"]
    world.clock.advance(LATEST)
    assert silent(app, signed_in).metadata.cache_level == "store"
    world.settle(app)
    assert world.token_requests() == 1


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"min_validity": 60}, id="validity"),
        pytest.param({"correlation_id": "mine"}, id="correlation id"),
        pytest.param({"refresh_if_sha256": "0" * 64}, id="a token that an API refused"),
        pytest.param({"refresh_if_sha256": "0" * 64, "claims": "{}"}, id="and its challenge"),
    ],
)
def test_calls_that_bypass_memory_start_it_too(world: World, app: Client, options: dict[str, Any]) -> None:
    signed_in = due(world, app)
    assert silent(app, signed_in, **options).access_token == signed_in.access_token
    world.settle(app)
    assert silent(app, signed_in).access_token != signed_in.access_token


def test_before_its_time_and_without_refresh_in_nothing_happens(world: World, app: Client, told: Told) -> None:
    signed_in = world.sign_in(app)
    world.clock.advance(REFRESH_IN - REFRESH_IN / 10 - 5)
    silent(app, signed_in)
    world.settle(app)
    world.idp.refresh_in = None
    plain = silent(app, signed_in, force_refresh=True)
    assert plain.metadata.refresh_on is None
    world.clock.advance(3290)
    for _ in range(2):
        assert silent(app, signed_in).access_token == plain.access_token
    world.settle(app)
    assert world.token_requests() == 1
    assert told.outcomes == []


def test_a_call_that_needs_a_new_token_waits_for_the_one_on_its_way(world: World, waiters: Waiters) -> None:
    reached = threading.Event()

    def hold(_: HttpRequest) -> None:
        reached.set()
        waiters.expect(1)

    world.idp.refresh_in = REFRESH_IN
    signed_in = due(world, world.public())
    app = world.public(before=hold)
    silent(app, signed_in)
    eventually(lambda: let_tasks_run(world) or reached.is_set())
    forced = silent(app, signed_in, force_refresh=True)
    assert forced.access_token != signed_in.access_token
    world.settle(app)
    assert world.token_requests() == 1


def let_tasks_run(world: World) -> None:
    if world.mode == "async":
        world.run(lambda: asyncio.sleep(0.01))


# --- once ---


def test_the_time_is_drawn_once_for_all_processes(world: World, app: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    signed_in = world.sign_in(app)
    assert signed_in.metadata.refresh_on == signed_in.expires_on - REFRESH_IN  # the provider's own
    context, vault = app.application._context, world.cache.vault()
    slot = context.slot(signed_in.account.home_account_id, context.authority)  # type: ignore[union-attr]
    monkeypatch.undo()
    for cache in (world.cache, world.new_cache()):
        found = cache.vault().find_access_token(slot, (), 0)
        assert found is not None
        assert found.refresh_ms == (found.cached_at + LATEST) * 1000
        assert found.refresh_on == found.cached_at + REFRESH_IN
    (value,) = [value for _, value in vault.scan(_engine.ACCESS, b"")]
    assert read_header(value).refresh_ms == found.refresh_ms
    world.clock.advance(LATEST - 5)
    silent(app, signed_in)
    world.settle(app)
    assert world.token_requests() == 0
    world.clock.advance(5)
    silent(app, signed_in)
    world.settle(app)
    assert world.token_requests() == 1


def test_many_callers_start_one_refresh(world: World, app: Client) -> None:
    signed_in = due(world, app)
    other = world.public(cache=world.new_cache())
    for number in range(8):
        client = (app, other)[number % 2]
        assert silent(client, signed_in, correlation_id="mine").access_token
    world.settle(app)
    world.settle(other)
    assert world.token_requests() == 1


def test_where_another_process_refreshes_this_one_does_nothing(
    world: World, app: Client, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = due(world, app)
    with monkeypatch.context() as patch:
        patch.setattr(world.cache.vault().shared.locks, "try_lock", lambda _: False)
        assert silent(app, signed_in).access_token == signed_in.access_token
        world.settle(app)
    assert (world.token_requests(), told.outcomes) == (0, [])
    stats = world.cache.stats()
    assert (stats.background_refreshes, stats.background_failures) == (0, 0)


def test_what_another_process_has_refreshed_meanwhile_is_not_refreshed_again(
    world: World, app: Client, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the lookup and the lock another process may have been through with it."""
    signed_in = due(world, app)
    context, vault = app.application._context, world.cache.vault()
    slot, now = context.slot(signed_in.account.home_account_id, context.authority), int(world.clock.time())  # type: ignore[union-attr]
    names = slot.owner.home_account_id, signed_in.account.environment, "cli"  # type: ignore[union-attr]
    record = AccessTokenRecord(*names, slot.realm, " ".join(signed_in.scopes), "newer", now, now + 3600)
    try_lock = vault.shared.locks.try_lock

    def after_another(offset: int) -> bool:
        monkeypatch.setattr(vault.shared.locks, "try_lock", try_lock)
        new = NewTokens(slot, lookup_scopes(signed_in.scopes), record)
        another = threading.Thread(target=vault.save, args=(new,))  # an event loop must not write, nor wait for a lock
        another.start()
        while another.is_alive():
            os.sched_yield()
        return try_lock(offset)

    monkeypatch.setattr(vault.shared.locks, "try_lock", after_another)
    assert silent(app, signed_in).access_token == signed_in.access_token
    world.settle(app)
    assert silent(app, signed_in).access_token == "newer"
    assert (world.token_requests(), told.outcomes) == (0, [])
    assert world.cache.stats().background_refreshes == 0


# --- failures ---


def cut(world: World) -> None:
    world.idp.fail_next("token", 2, disconnect="before")


def test_a_failure_is_told_and_not_tried_again_at_once(world: World, app: Client, told: Told) -> None:
    signed_in = due(world, app)
    cut(world)
    levels = []
    for _ in range(3):
        result = silent(app, signed_in)
        world.settle(app)
        assert result.access_token == signed_in.access_token
        levels.append(result.metadata.cache_level)
    assert levels == ["store", "L1", "L1"]
    silent(app, signed_in, correlation_id="mine")
    world.settle(app)
    (outcome,) = told.outcomes
    assert isinstance(outcome.error, TransportError)
    assert (outcome.metadata, outcome.scopes, outcome.account) == (None, tuple(SCOPES), signed_in.account)
    assert world.token_requests() == 2  # one refresh, sent twice
    assert world.cache.stats().background_failures == 1
    world.clock.advance(PAUSE + 0.1)
    silent(app, signed_in)
    world.settle(app)
    assert silent(app, signed_in).access_token != signed_in.access_token
    assert world.token_requests() == 3


def test_a_refresh_in_the_background_has_a_correlation_id_of_its_own(world: World, app: Client, told: Told) -> None:
    signed_in = due(world, app)
    world.idp.fail_next("token", status=400, body={"error": "invalid_client"})
    silent(app, signed_in, correlation_id="mine")
    world.settle(app)
    (outcome,) = told.outcomes
    assert isinstance(outcome.error, ServiceError)
    assert outcome.error.correlation_id not in ("mine", None)


def test_a_provider_that_wants_no_requests_gets_none(world: World, app: Client, told: Told) -> None:
    signed_in = due(world, app)
    world.idp.fail_next("token", status=429, headers={"retry-after": "100"})
    for _ in range(3):
        assert silent(app, signed_in).access_token == signed_in.access_token
        world.settle(app)
        world.clock.advance(PAUSE + 0.1)
    assert world.token_requests() == 1
    assert [type(outcome.error).__name__ for outcome in told.outcomes] == ["ThrottledError"]
    world.clock.advance(100)
    silent(app, signed_in)
    world.settle(app)
    assert world.token_requests() == 2


def test_a_refusal_is_told_and_the_token_serves_to_its_end(world: World, app: Client, told: Told) -> None:
    signed_in = due(world, app)
    world.idp.revoke_user(ALICE)
    silent(app, signed_in)
    world.settle(app)
    assert [type(outcome.error) for outcome in told.outcomes] == [UiRequiredError]
    world.clock.advance(3290 - LATEST)
    assert silent(app, signed_in).access_token == signed_in.access_token
    world.settle(app)
    assert len(told.outcomes) == 1  # there is no refresh token any more to try with
    world.clock.advance(20)
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        silent(app, signed_in)


def test_without_a_refresh_token_nothing_is_tried(world: World, app: Client, told: Told) -> None:
    world.idp.omit_refresh_token = True
    signed_in = due(world, app)
    assert silent(app, signed_in).access_token == signed_in.access_token
    world.settle(app)
    assert (world.token_requests(), told.outcomes) == (0, [])
    assert world.cache.stats().background_failures == 0


def test_what_the_callback_raises_is_logged_and_hurts_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.idp.refresh_in = REFRESH_IN

    def fail(_: BackgroundRefresh) -> None:
        raise RuntimeError("in the callback")

    app = world.public(on_background_refresh=fail)
    signed_in = due(world, app)
    with caplog.at_level(logging.ERROR, "warmtoken"):
        silent(app, signed_in)
        world.settle(app)
    assert "on_background_refresh" in caplog.text
    assert silent(app, signed_in).access_token != signed_in.access_token


def test_without_a_callback_a_failure_is_logged_without_secrets(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.idp.refresh_in = REFRESH_IN
    app = world.public()
    signed_in = due(world, app)
    cut(world)
    with caplog.at_level(logging.WARNING, "warmtoken"):
        silent(app, signed_in)
        world.settle(app)
    (record,) = [record for record in caplog.records if record.name == "warmtoken"]
    assert "in the background" in record.getMessage()
    assert signed_in.access_token not in caplog.text


def test_an_error_of_a_programs_own_transport_is_told_by_its_kind_alone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.idp.refresh_in = REFRESH_IN
    armed: list[bool] = []

    def fail(_: HttpRequest) -> None:
        if armed:
            raise RuntimeError("secret-canary")

    app = world.public(before=fail)
    signed_in = due(world, app)
    armed.append(True)
    with caplog.at_level(logging.WARNING, "warmtoken"):
        silent(app, signed_in)
        world.settle(app)
    text = "".join(record.getMessage() for record in caplog.records if record.name == "warmtoken")
    assert "RuntimeError" in text
    assert "canary" not in text


def test_a_callback_must_be_callable(world: World) -> None:
    with pytest.raises(TypeError, match="on_background_refresh"):
        world.public(on_background_refresh="print")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_background_refresh"):
        world.confidential(on_background_refresh=7)  # type: ignore[arg-type]


# --- the end ---


def test_closing_waits_for_the_refresh(world: World, told: Told) -> None:
    world.idp.refresh_in = REFRESH_IN
    gate = Gate()
    app = world.public(before=gate, on_background_refresh=told)
    signed_in = due(world, app)
    gate.close()
    silent(app, signed_in)
    threading.Timer(0.1, gate.open.set).start()
    app.close() if world.mode == "sync" else app.aclose()
    assert [outcome.error for outcome in told.outcomes] == [None]
    assert world.idp.counters.refreshes_granted == 1


def test_there_is_room_for_some_at_a_time(world: World, told: Told) -> None:
    world.idp.refresh_in = REFRESH_IN
    gate = Gate()
    app = world.public(before=gate, on_background_refresh=told)
    users = [world.sign_in(app, f"user-{number}@example.test") for number in range(MAX_BACKGROUND + 3)]
    world.clock.advance(LATEST)
    gate.close()
    for user in users:
        assert silent(app, user).access_token == user.access_token
    gate.open.set()
    world.settle(app)
    assert len(told.outcomes) == world.token_requests() == MAX_BACKGROUND
    world.clock.advance(PAUSE + 0.1)
    for user in users:
        silent(app, user)
    world.settle(app)
    assert len(told.outcomes) == world.token_requests() == len(users)
