"""What is particular to the asynchronous applications; what they share with the blocking ones is tested in flows/."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.world import KEY, SCOPES, World, held_replies, new_world

import warmtoken
import warmtoken.aio
from warmtoken import AuthenticationResult, TokenCache
from warmtoken.aio import ConfidentialClientApplication, ManagedIdentityApplication, PublicClientApplication

pytestmark = pytest.mark.usefixtures("unhurried")
PAIRS = [
    (warmtoken.PublicClientApplication, PublicClientApplication),
    (warmtoken.ConfidentialClientApplication, ConfidentialClientApplication),
    (warmtoken.ManagedIdentityApplication, ManagedIdentityApplication),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("async", tmp_path) as made:
        yield made


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS)
def test_both_kinds_have_the_same_methods_and_arguments(blocking: type, awaiting: type) -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in {"close", "aclose"}
        }

    assert methods(blocking) == methods(awaiting)
    assert list(inspect.signature(blocking).parameters) == list(inspect.signature(awaiting).parameters)


def test_a_hit_is_a_coroutine_that_never_suspends(world: World) -> None:
    app = world.public()
    signed_in = world.sign_in(app)
    for _ in range(2):
        app.acquire_token_silent(SCOPES, signed_in.account)
    coroutine = app.application.acquire_token_silent(SCOPES, signed_in.account)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value.access_token == signed_in.access_token
    assert stop.value.value.metadata.cache_level == "L1"


def test_opening_the_cache_does_not_block_the_loop(world: World) -> None:
    """Each way to a cache that was never used: the world's loop lets nothing block it."""
    account = world.sign_in(world.public()).account
    for call in ("acquire_token_silent", "acquire_token"):
        app = world.public(cache=world.new_cache())
        assert getattr(app, call)(SCOPES, account).metadata.token_source == "cache"
    for call in ("get_accounts", "get_account", "remove_account"):
        app = world.public(cache=world.new_cache())
        arguments = {"get_accounts": (), "get_account": (account.home_account_id,), "remove_account": (account,)}
        getattr(app, call)(*arguments[call])
    assert world.public().get_accounts() == []
    service = world.confidential(cache=world.new_cache())
    assert service.acquire_token_for_client(["api/.default"]).access_token


def test_the_worlds_loop_notices_what_blocks_it(world: World) -> None:
    import time

    async def block() -> None:
        time.sleep(0.001)

    with pytest.raises(Exception, match=r"time\.sleep"):
        world.run(block)


def test_one_application_serves_several_loops(world: World) -> None:
    account = world.sign_in(world.public()).account
    app = PublicClientApplication("cli", authority=world.idp.issuer, cache=world.cache)

    async def refresh() -> AuthenticationResult:
        return await app.acquire_token_silent(SCOPES, account, force_refresh=True)

    results = [asyncio.run(refresh()) for _ in range(3)]
    assert len({result.access_token for result in results}) == 3


def test_leaving_an_application_closes_its_connections(world: World) -> None:
    account = world.sign_in(world.public()).account

    async def use_and_leave() -> None:
        cache = TokenCache(world.directory, key=KEY, clock=world.clock)
        async with PublicClientApplication("cli", authority=world.idp.issuer, cache=cache) as app:
            await app.acquire_token_silent(SCOPES, account, force_refresh=True)
        assert (await app.acquire_token_silent(SCOPES, account)).metadata.token_source == "cache"
        with pytest.raises(warmtoken.ClientError, match="transport_closed"):
            await app.acquire_token_silent(SCOPES, account, force_refresh=True)

    asyncio.run(use_and_leave())
    assert world.token_requests() == 1


def test_hits_go_on_while_a_refresh_waits_for_the_provider(world: World) -> None:
    app = world.public()
    signed_in = world.sign_in(app)

    async def hit_meanwhile(let_go: Callable[[], None]) -> int:
        ask = app.application.acquire_token_silent
        refresh = asyncio.ensure_future(ask(SCOPES, signed_in.account, force_refresh=True))
        hits = 0
        while not refresh.done():
            hits += (await ask(SCOPES, signed_in.account)).metadata.token_source == "cache"
            if hits >= 100 and world.token_requests():
                let_go()
            await asyncio.sleep(0)
        assert (await refresh).access_token != signed_in.access_token
        return hits

    with held_replies(world.idp) as let_go:
        assert world.run(lambda: hit_meanwhile(let_go)) >= 100
