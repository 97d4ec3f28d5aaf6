"""Who is compared: each with the same users, and with the methods that its users call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benches.baselines.lmdb_json import LmdbJsonCache
from benches.baselines.msal_python import MsalPython
from benches.baselines.pure_python import AsyncPurePythonCache, PurePythonCache
from benches.ours import Ours
from benches.population import AUTHORITY, CLIENT_ID, LIFETIME, MISSING, Entry, Population
from warmtoken import Account

OURS = "warmtoken"
PURE = "pure Python"
LMDB = "py-lmdb + JSON"
MSAL = "MSAL Python"

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Competitor:
    """One of those compared; what it cannot do is None.

    The methods are its own, without anything around them. `account_of` returns an account as it takes them; `fresh`
    a silent method with nothing in memory yet; `commit` writes what no lookup is about; `miss` returns the lookup that
    says there is no such token, and its arguments.
    """

    name: str
    acquire_token_silent: Method
    acquire_token_for_client: Method
    account_of: Callable[[Account], Any]
    token_of: Callable[[Any], str]
    level_of: Callable[[Any], str | None]
    miss: Callable[[Account], tuple[Method, tuple[Any, ...]]]
    fresh: Callable[[], Method]
    acquire_token_silent_async: Method | None = None
    commit: Callable[[], None] | None = None

    def check(self, result: Any, entry: Entry, level: str) -> None:
        """Fail unless a result holds the entry's token, and comes, if it says so, from the level: "L1" or "store"."""
        assert self.token_of(result) == entry.access_token
        assert self.level_of(result) in {level, None}


def between(*names: str) -> pytest.MarkDecorator:
    """Run a case for each of these competitors."""
    return pytest.mark.parametrize("competitor", names, indirect=True)


def warmtoken(directory: Path, population: Population) -> Competitor:
    """Return ours, with its cache in `directory`."""
    ours = Ours(directory, population)
    return Competitor(
        OURS,
        ours.public.acquire_token_silent,
        ours.confidential.acquire_token_for_client,
        _as_it_is,
        lambda result: result.access_token,
        lambda result: result.metadata.cache_level,
        ours.miss,
        ours.fresh,
        ours.aio.acquire_token_silent,
        ours.commit_something_else,
    )


def pure_python(population: Population) -> Competitor:
    """Return the dict with a lock and an expiry check."""
    cache = PurePythonCache(CLIENT_ID)
    _fill(cache, population)
    return Competitor(
        PURE,
        cache.acquire_token_silent,
        cache.acquire_token_for_client,
        _as_it_is,
        lambda token: token.access_token,
        _no_level,
        lambda account: (cache.acquire_token_silent, (MISSING, account)),
        lambda: cache.acquire_token_silent,
        AsyncPurePythonCache(cache).acquire_token_silent,
    )


def lmdb_json(cache: LmdbJsonCache, population: Population) -> Competitor:
    """Return the file that every lookup reads."""
    _fill(cache, population)
    user = population.users[0]

    def commit() -> None:
        _save(cache, Entry(user.account, ("Bystander.Read",), "bystander", None, user.cached_at, user.expires_on))

    return Competitor(
        LMDB,
        cache.acquire_token_silent,
        cache.acquire_token_for_client,
        _as_it_is,
        lambda token: token.access_token,
        _no_level,
        lambda account: (cache.acquire_token_silent, (MISSING, account)),
        lambda: cache.acquire_token_silent,
        commit=commit,
    )


def msal_python(population: Population) -> Competitor:
    """Return MSAL Python's two applications."""
    msal = MsalPython(CLIENT_ID, AUTHORITY)
    for entry in population.users:
        msal.save_for_user(
            entry.scopes,
            entry.account.home_account_id,
            access_token=entry.access_token,
            id_token=entry.id_token,
            lifetime=LIFETIME,
        )
    msal.save_for_client(population.own.scopes, access_token=population.own.access_token, lifetime=LIFETIME)
    accounts = {account["home_account_id"]: account for account in msal.public.get_accounts()}
    return Competitor(
        MSAL,
        msal.public.acquire_token_silent,
        msal.confidential.acquire_token_for_client,
        lambda account: accounts[account.home_account_id],
        lambda result: result["access_token"],
        _no_level,
        lambda account: (msal.find_access_tokens, (MISSING, accounts[account.home_account_id])),
        lambda: msal.public.acquire_token_silent,
    )


def _fill(cache: PurePythonCache | LmdbJsonCache, population: Population) -> None:
    for entry in [*population.users, population.own]:
        _save(cache, entry)


def _save(cache: PurePythonCache | LmdbJsonCache, entry: Entry) -> None:
    cache.save(
        entry.scopes,
        entry.account,
        access_token=entry.access_token,
        id_token=entry.id_token,
        cached_at=entry.cached_at,
        expires_on=entry.expires_on,
    )


def _as_it_is(account: Account) -> Account:
    return account


def _no_level(result: object) -> None:
    return None
