"""The baselines do the job that they are timed at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benches.baselines.lmdb_json import LmdbJsonCache
from benches.baselines.pure_python import PurePythonCache
from benches.population import CLIENT_ID, ENVIRONMENT, SCOPES, SUBSET
from warmtoken import Account

ALICE = Account("alice", ENVIRONMENT)
BOB = Account("bob", ENVIRONMENT)

Cache = PurePythonCache | LmdbJsonCache


@pytest.fixture(params=["pure Python", "py-lmdb + JSON"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    if request.param == "pure Python":
        yield PurePythonCache(CLIENT_ID)
    else:
        with LmdbJsonCache(tmp_path, CLIENT_ID) as in_file:
            yield in_file


def save(cache: Cache, account: Account | None, *, lifetime: int, left: int) -> None:
    expires_on = int(time.time()) + left
    cache.save(
        tuple(SCOPES),
        account,
        access_token="the token",
        id_token=None,
        cached_at=expires_on - lifetime,
        expires_on=expires_on,
    )


def test_serves_the_scopes_in_any_order_to_their_account_only(cache: Cache) -> None:
    save(cache, ALICE, lifetime=3600, left=3600)
    found = cache.acquire_token_silent(SCOPES[::-1], ALICE)
    assert found is not None
    assert found.access_token == "the token"
    assert cache.acquire_token_silent(SUBSET, ALICE) is None
    assert cache.acquire_token_silent(SCOPES, BOB) is None
    assert cache.acquire_token_for_client(SCOPES) is None


def test_serves_the_client_itself_apart_from_users(cache: Cache) -> None:
    save(cache, None, lifetime=3600, left=3600)
    assert cache.acquire_token_for_client(SCOPES) is not None
    assert cache.acquire_token_silent(SCOPES, ALICE) is None


@pytest.mark.parametrize(
    ("lifetime", "left", "served"), [(3600, 310, True), (3600, 290, False), (600, 70, True), (600, 50, False)]
)
def test_keeps_the_margin_of_warmtoken(cache: Cache, lifetime: int, left: int, served: bool) -> None:
    save(cache, ALICE, lifetime=lifetime, left=left)
    assert (cache.acquire_token_silent(SCOPES, ALICE) is not None) is served
