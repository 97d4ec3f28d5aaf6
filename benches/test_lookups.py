"""First calls of a process: nothing is in its memory, the token is in the file (level store)."""

from __future__ import annotations

from typing import Any

import pytest

from benches.competitors import (
    DISKCACHE,
    LMDB,
    MSAL,
    OURS,
    REDIS,
    REDIS_SOCKET,
    SQLITE,
    Competitor,
    Method,
    between,
)
from benches.population import SCOPES, SUBSET, USERS, Population
from benches.timing import Timing


@pytest.mark.benchmark(group="store: first lookup of a token in a process")
@between(OURS, LMDB, SQLITE, DISKCACHE, REDIS, REDIS_SOCKET)
def test_store_lookup(competitor: Competitor, timing: Timing, population: Population) -> None:
    """Users' first calls for the scopes that their tokens were stored with: ours reads, unseals, makes the result."""
    _first_lookups(competitor, timing, population, SCOPES)


@pytest.mark.benchmark(group="store: first lookup of a subset of the cached scopes")
@between(OURS, MSAL)
def test_subset_store_lookup(competitor: Competitor, timing: Timing, population: Population) -> None:
    """Users' first calls for one of three cached scopes: ours finds the token by its scope index."""
    _first_lookups(competitor, timing, population, SUBSET)


def _first_lookups(competitor: Competitor, timing: Timing, population: Population, scopes: list[str]) -> None:
    account = competitor.account_of(population.middle.account)
    competitor.check(competitor.fresh()(scopes, account), population.middle, "store")
    calls = _calls_in_a_round(competitor, timing, population, scopes)
    users = population.spread(calls)
    accounts = [competitor.account_of(user.account) for user in users]

    def look_up(acquire: Method) -> Any:
        for each in accounts:
            result = acquire(scopes, each)
        return result

    competitor.check(timing.walk(look_up, calls, lambda: (competitor.fresh(),)), users[-1], "store")


def _calls_in_a_round(competitor: Competitor, timing: Timing, population: Population, scopes: list[str]) -> int:
    acquire = competitor.fresh()
    # From the middle on: a search that walks over all users takes no time for the first ones.
    accounts = iter([competitor.account_of(user.account) for user in population.users[USERS // 2 :]])
    return min(USERS, timing.calls_in_a_round(lambda: acquire(scopes, next(accounts))))
