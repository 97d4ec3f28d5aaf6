"""Who is compared: each with the same users, and with the methods that its users call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benches.baselines import azure_identity, msal_extensions_cache
from benches.baselines.cachetools_cache import CachetoolsCache
from benches.baselines.empty_method import EmptyMethods
from benches.baselines.json_tokens import JsonTokens
from benches.baselines.msal_extensions_cache import MsalExtensions
from benches.baselines.msal_python import MsalPython
from benches.baselines.pure_python import AsyncPurePythonCache, PurePythonCache
from benches.ours import Ours
from benches.population import AUTHORITY, CLIENT_ID, LIFETIME, MISSING, OWN_SCOPES, Entry, Population, UserEntry
from warmtoken import Account

OURS = "warmtoken"
EMPTY = "empty method"
PURE = "pure Python"
CACHETOOLS = "cachetools"
MSAL = "MSAL Python"
EXTENSIONS = "msal-extensions"
AZURE = "azure-identity"
LMDB = "py-lmdb + JSON"
SQLITE = "SQLite"
DISKCACHE = "diskcache"
REDIS = "Redis, TCP"
REDIS_SOCKET = "Redis, unix socket"

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Competitor:
    """One of those compared; what it cannot do is None.

    The methods are its own, without anything around them; `own_scopes` are the arguments by which it is asked for the
    client's own token. `account_of` returns an account as it takes them; `fresh`
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
    own_scopes: tuple[Any, ...] = (OWN_SCOPES,)

    def check(self, result: Any, entry: Entry, level: str) -> None:
        """Fail unless a result holds the entry's token, and comes, if it says so, from the level: "L1" or "store"."""
        assert self.token_of(result) == entry.access_token
        assert self.level_of(result) in {level, None}


class Nobody(Competitor):
    """The empty methods: there is no token, but what was passed comes back."""

    def check(self, result: Any, entry: Entry, level: str) -> None:
        """Fail unless the result is the last argument."""
        assert result is (entry.account or OWN_SCOPES)


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


def cachetools_cache(population: Population) -> Competitor:
    """Return the same with cachetools in place of the dict."""
    cache = CachetoolsCache(CLIENT_ID)
    _fill(cache, population)
    return Competitor(
        CACHETOOLS,
        cache.acquire_token_silent,
        cache.acquire_token_for_client,
        _as_it_is,
        lambda token: token.access_token,
        _no_level,
        lambda account: (cache.acquire_token_silent, (MISSING, account)),
        lambda: cache.acquire_token_silent,
    )


def empty_methods() -> Competitor:
    """Return the least that a call costs."""
    empty = EmptyMethods()
    return Nobody(
        EMPTY,
        empty.acquire_token_silent,
        empty.acquire_token_for_client,
        _as_it_is,
        _impossible,
        _no_level,
        _impossible,
        lambda: empty.acquire_token_silent,
    )


def json_tokens(name: str, cache: JsonTokens, population: Population) -> Competitor:
    """Return a store that every lookup reads: a file or a server."""
    _fill(cache, population)
    user = population.users[0]

    def commit() -> None:
        _save(cache, Entry(user.account, ("Bystander.Read",), "bystander", None, user.cached_at, user.expires_on))

    return Competitor(
        name,
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
    return _msal(MSAL, filled_msal(population.users, population.own))


def msal_extensions(directory: Path, population: Population) -> Competitor:
    """Return the same two on a file in `directory`, which is read by now."""
    msal_extensions_cache.write(directory, filled_msal(population.users, population.own))
    return _msal(EXTENSIONS, MsalExtensions(CLIENT_ID, AUTHORITY, directory))


def filled_msal(users: list[UserEntry], own: Entry | None = None) -> MsalPython:
    """Return MSAL Python with the tokens of users, and of the client itself."""
    msal = MsalPython(CLIENT_ID, AUTHORITY)
    for entry in users:
        save_in_msal(msal, entry)
    if own is not None:
        msal.save_for_client(own.scopes, access_token=own.access_token, lifetime=LIFETIME)
    return msal


def save_in_msal(msal: MsalPython, entry: UserEntry) -> None:
    """Add what MSAL adds after a user's sign-in."""
    msal.save_for_user(
        entry.scopes,
        entry.account.home_account_id,
        access_token=entry.access_token,
        id_token=entry.id_token,
        lifetime=LIFETIME,
    )


def azure_credential(population: Population) -> Competitor:
    """Return azure-identity's credential, which has the client's own token and knows of no users."""
    own = population.own
    transport = azure_identity.OneToken(AUTHORITY, own.access_token, LIFETIME)
    made = azure_identity.credential(CLIENT_ID, AUTHORITY, own.scopes, transport)
    return Competitor(
        AZURE,
        _impossible,
        made.get_token,
        _impossible,
        lambda token: token.token,
        _no_level,
        _impossible,
        _impossible,
        own_scopes=own.scopes,
    )


def _msal(name: str, msal: MsalPython) -> Competitor:
    accounts = {account["home_account_id"]: account for account in msal.public.get_accounts()}
    return Competitor(
        name,
        msal.public.acquire_token_silent,
        msal.confidential.acquire_token_for_client,
        lambda account: accounts[account.home_account_id],
        lambda result: result["access_token"],
        _no_level,
        lambda account: (msal.find_access_tokens, (MISSING, accounts[account.home_account_id])),
        lambda: msal.public.acquire_token_silent,
    )


def _fill(cache: PurePythonCache | JsonTokens, population: Population) -> None:
    for entry in [*population.users, population.own]:
        _save(cache, entry)


def _save(cache: PurePythonCache | JsonTokens, entry: Entry) -> None:
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


def _impossible(*_: Any) -> NoReturn:
    raise AssertionError("expected no case to ask this of this competitor")


def _no_level(result: object) -> None:
    return None
