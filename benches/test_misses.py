"""Calls for a token that is nowhere; nobody has a refresh token, so nothing can be asked of a provider."""

from __future__ import annotations

import pytest

from benches.competitors import LMDB, MSAL, OURS, PURE, Competitor, Method, between
from benches.population import MISSING, Population
from benches.timing import Timing
from warmtoken import Account, UiRequiredError


@pytest.mark.benchmark(group="miss: the lookup")
@between(OURS, PURE, MSAL, LMDB)
def test_miss_lookup(competitor: Competitor, timing: Timing, population: Population) -> None:
    """The lookup that says that a known user has no token for a scope: ours always in the file."""
    lookup, args = competitor.miss(population.middle.account)
    assert not lookup(*args)
    assert not timing.repeat(lookup, *args)


@pytest.mark.benchmark(group="miss: the public method")
@between(OURS, MSAL)
def test_miss(competitor: Competitor, timing: Timing, population: Population) -> None:
    """The whole silent call for such a token, with the search for a refresh token: ours ends in UiRequiredError."""
    acquire = _refused(competitor.acquire_token_silent) if competitor.name == OURS else competitor.acquire_token_silent
    account = competitor.account_of(population.middle.account)
    expected = "no_tokens_found" if competitor.name == OURS else None
    assert acquire(MISSING, account) == expected
    assert timing.repeat(acquire, MISSING, account) == expected


def _refused(acquire: Method) -> Method:
    def refused(scopes: list[str], account: Account) -> str:
        try:
            acquire(scopes, account)
        except UiRequiredError as error:
            return error.code
        raise AssertionError("expected UiRequiredError")

    return refused
