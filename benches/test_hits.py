"""Calls that are served at once; ours from memory (level L1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benches.competitors import (
    AZURE,
    CACHETOOLS,
    EMPTY,
    EXTENSIONS,
    LMDB,
    MSAL,
    OURS,
    PURE,
    Competitor,
    Method,
    between,
)
from benches.population import SCOPES, SUBSET, Population
from benches.timing import Timing

AWAITS = 10_000
REVISITED = 250  # users: few enough that none pushes another out of memory


@pytest.mark.benchmark(group="hit: same scopes and account")
@between(OURS, EMPTY, PURE, CACHETOOLS, MSAL, EXTENSIONS, LMDB)
def test_hit(competitor: Competitor, timing: Timing, population: Population) -> None:
    """A user's token for the scopes that it was stored with, asked for again and again."""
    acquire, user = competitor.acquire_token_silent, population.middle
    account = competitor.account_of(user.account)
    acquire(SCOPES, account)
    competitor.check(acquire(SCOPES, account), user, "L1")
    competitor.check(timing.repeat(acquire, SCOPES, account), user, "L1")


@pytest.mark.benchmark(group="hit: client credentials")
@between(OURS, EMPTY, PURE, CACHETOOLS, MSAL, EXTENSIONS, AZURE, LMDB)
def test_client_credentials_hit(competitor: Competitor, timing: Timing, population: Population) -> None:
    """The client's own token for the scopes that it was stored with, asked for again and again."""
    acquire, own = competitor.acquire_token_for_client, population.own
    acquire(*competitor.own_scopes)
    competitor.check(acquire(*competitor.own_scopes), own, "L1")
    competitor.check(timing.repeat(acquire, *competitor.own_scopes), own, "L1")


@pytest.mark.benchmark(group="hit: async")
@between(OURS, PURE)
def test_async_hit(
    competitor: Competitor, timing: Timing, population: Population, loop: asyncio.AbstractEventLoop
) -> None:
    """The same hit awaited in a running event loop: one coroutine more."""
    acquire, user = competitor.acquire_token_silent_async, population.middle
    assert acquire is not None
    account = competitor.account_of(user.account)

    async def await_all(calls: int) -> Any:
        for _ in range(calls):
            result = await acquire(SCOPES, account)
        return result

    competitor.check(loop.run_until_complete(await_all(2)), user, "L1")
    competitor.check(timing.walk(lambda: loop.run_until_complete(await_all(AWAITS)), AWAITS), user, "L1")


@pytest.mark.benchmark(group="hit: subset of the cached scopes, again")
@between(OURS, MSAL)
def test_subset_hit(competitor: Competitor, timing: Timing, population: Population) -> None:
    """One of three cached scopes, asked for again and again."""
    acquire, user = competitor.acquire_token_silent, population.middle
    account = competitor.account_of(user.account)
    acquire(SUBSET, account)
    competitor.check(acquire(SUBSET, account), user, "L1")
    competitor.check(timing.repeat(acquire, SUBSET, account), user, "L1")


@pytest.mark.benchmark(group="hit: first after an unrelated commit")
@between(OURS, LMDB)
def test_hit_after_unrelated_commit(competitor: Competitor, timing: Timing, population: Population) -> None:
    """Users' first calls after a commit that is about none of them: ours sees that its copies are still true."""
    acquire, commit = competitor.acquire_token_silent, competitor.commit
    assert commit is not None
    users = population.spread(REVISITED)
    accounts = [competitor.account_of(user.account) for user in users]

    def prepare() -> tuple[Method]:
        commit()
        return (acquire,)

    def ask_for_all(acquire: Method) -> Any:
        for account in accounts:
            result = acquire(SCOPES, account)
        return result

    ask_for_all(acquire)
    commit()
    for user, account in zip(users, accounts, strict=True):
        competitor.check(acquire(SCOPES, account), user, "L1")
    competitor.check(timing.walk(ask_for_all, len(accounts), prepare), users[-1], "L1")
