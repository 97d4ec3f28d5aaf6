"""Flows stepped by hand: they yield what they need and do no I/O themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.by_hand import sending

from warmtoken import TokenCache, TransportError
from warmtoken.cache.flights import Flights
from warmtoken.credentials import ClientSecret
from warmtoken.flows.client_credentials import acquire_for_client
from warmtoken.flows.context import Context
from warmtoken.flows.effects import Call, Detach, Effect, Flow, Join, Sleep
from warmtoken.flows.requests import TokenRequest
from warmtoken.flows.single_flight import Fetch, fetch_if_idle
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.client_authentication import Client
from warmtoken.testing import Clock
from warmtoken.transport import HttpResponse

ENTRA = "https://login.microsoftonline.com/contoso.example"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    with TokenCache(tmp_path / "cache", key=bytes(32), clock=Clock()) as cache:
        cache.vault()
        yield Context(Client("daemon", ClientSecret("s3cr3t-canary")), parse_authority(ENTRA), cache)


def reply(**fields: Any) -> HttpResponse:
    body = {"token_type": "Bearer", "expires_in": 3600, "access_token": "at-1"} | fields
    return HttpResponse(200, {"content-type": "application/json"}, json.dumps(body).encode())


def step(flow: Flow[Any], outcome: object = None) -> Effect:
    return flow.send(outcome)


def ended(move: Callable[[], object]) -> Any:
    with pytest.raises(StopIteration) as stop:
        move()
    return stop.value.value


def detached(effect: Effect) -> Flow[Any]:
    assert isinstance(effect, Detach)
    return effect.flow


def test_a_fetch_is_detached_sent_stored_and_returned(context: Context) -> None:
    outer = acquire_for_client(context, TokenRequest(["https://graph.example/.default"]))
    inner = detached(next(outer))
    send = sending(inner)
    assert send.request.url == f"{ENTRA}/oauth2/v2.0/token"
    assert "canary" not in repr(send)
    commit = step(inner, reply())
    assert isinstance(commit, Call)
    assert context.vault.newest == (before := context.vault.newest)
    commit.function()
    assert context.vault.newest > before
    inner_result = ended(lambda: step(inner))
    assert ended(lambda: step(outer, inner_result)) is inner_result
    assert inner_result.access_token == "at-1"
    assert inner_result.tenant_id == "contoso.example"
    hit = ended(lambda: next(acquire_for_client(context, TokenRequest(["https://graph.example/.DEFAULT"]))))
    assert (hit.access_token, hit.metadata.cache_level) == ("at-1", "store")


def test_an_error_thrown_into_a_fetch_unlocks_and_reaches_the_waiters(context: Context) -> None:
    request = TokenRequest(["https://graph.example/.default"])
    leader, waiter = acquire_for_client(context, request), acquire_for_client(context, request)
    inner = detached(next(leader))
    sending(inner)
    next(waiter)
    error = TransportError("connection_failed", "no route")
    assert isinstance(inner.throw(error), Sleep)  # then it is sent once more
    sending(inner)
    with pytest.raises(TransportError):
        inner.throw(error)
    with pytest.raises(TransportError) as shared:
        step(waiter, True)
    assert shared.value is not error
    again = detached(next(acquire_for_client(context, request)))
    assert sending(again)
    again.close()


def test_a_fetch_that_was_thrown_away_lets_a_waiter_lead(context: Context) -> None:
    request = TokenRequest(["https://graph.example/.default"])
    leader, waiter = acquire_for_client(context, request), acquire_for_client(context, request)
    inner = detached(next(leader))
    sending(inner)
    next(waiter)
    inner.close()
    taken_over = detached(step(waiter, True))
    assert sending(taken_over)
    taken_over.close()


def test_a_token_that_is_fresh_enough_for_the_leader_may_not_be_for_a_waiter(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under two expiry margins: the leader finds a token in the cache that the waiter must not use."""
    careful = Context(context.client, context.authority, context.cache, expiry_margin=3000)
    request = TokenRequest(["https://graph.example/.default"])
    shared = context.vault.shared
    with monkeypatch.context() as patch:
        patch.setattr(shared.locks, "try_lock", lambda _: False)  # another process is fetching
        leader = detached(next(acquire_for_client(context, request)))
        assert isinstance(next(leader), Sleep)
        waiter = acquire_for_client(careful, request)
        assert isinstance(next(waiter), Join)
    by_other_process = acquire_for_client(context, replace(request, claims="{}"))
    patched_flights, shared.flights = shared.flights, Flights()
    inner = detached(next(by_other_process))
    sending(inner)
    commit = step(inner, reply(expires_in=2000))
    assert isinstance(commit, Call)
    commit.function()
    inner.close()
    shared.flights = patched_flights
    assert ended(lambda: step(leader)).access_token == "at-1"
    assert isinstance(step(waiter, True), Detach)


def test_a_token_that_will_do_for_the_leader_may_be_the_one_that_a_waiter_had_refused(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes = ["https://graph.example/.default"]
    refused = {name: TokenRequest(scopes, refresh_if_sha256=sha256(name.encode()).hexdigest()) for name in "ab"}
    save(context, TokenRequest(scopes), "a")
    shared = context.vault.shared
    with monkeypatch.context() as patch:
        patch.setattr(shared.locks, "try_lock", lambda _: False)  # another process is fetching
        leader = detached(next(acquire_for_client(context, refused["a"])))
        assert isinstance(next(leader), Sleep)
    save(context, TokenRequest(scopes, force_refresh=True), "b")
    waiter = acquire_for_client(context, refused["b"])
    assert isinstance(next(waiter), Join)
    assert ended(lambda: step(leader)).access_token == "b"
    assert isinstance(step(waiter, True), Detach)


def save(context: Context, request: TokenRequest, access_token: str) -> None:
    """Fetch a token as another process does."""
    shared = context.vault.shared
    flights, shared.flights = shared.flights, Flights()
    inner = detached(next(acquire_for_client(context, request)))
    sending(inner)
    commit = step(inner, reply(access_token=access_token))
    assert isinstance(commit, Call)
    commit.function()
    inner.close()
    shared.flights = flights


# --- a fetch that nobody waits for ---


def wanted(look: Callable[[], object]) -> Fetch[Any]:
    def fetch() -> Flow[str]:
        yield Sleep(0)
        return "fetched"

    return Fetch(b"key", "need", look, fetch)


def test_an_idle_fetch_looks_behind_the_lock_and_then_fetches(context: Context) -> None:
    """Another process may have been through with it between the lookup and the lock."""
    vault = context.vault
    assert ended(lambda: next(fetch_if_idle(vault, wanted(lambda: "found")))) == "found"
    fetching = fetch_if_idle(vault, wanted(lambda: None))
    assert isinstance(next(fetching), Sleep)
    assert ended(lambda: next(fetching)) == "fetched"


def test_an_idle_fetch_leaves_it_to_whoever_is_fetching(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = context.vault
    fetching = fetch_if_idle(vault, wanted(lambda: None))
    next(fetching)
    assert ended(lambda: next(fetch_if_idle(vault, wanted(lambda: None)))) is None
    fetching.close()
    with monkeypatch.context() as patch:
        patch.setattr(vault.shared.locks, "try_lock", lambda _: False)  # another process is fetching
        assert ended(lambda: next(fetch_if_idle(vault, wanted(lambda: None)))) is None
    again = fetch_if_idle(vault, wanted(lambda: None))
    assert isinstance(next(again), Sleep)  # nothing is left behind
    again.close()
