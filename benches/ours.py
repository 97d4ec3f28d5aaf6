"""warmtoken as its users run it, with a cache that was filled the way a token reply fills it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import warmtoken.aio
from benches.population import AUTHORITY, CLIENT_ID, MISSING, Entry, Population
from warmtoken import Account, ClientSecret, ConfidentialClientApplication, PublicClientApplication, TokenCache
from warmtoken._engine import CachedToken
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.cache.records import AccessTokenRecord, AccountRecord, IdTokenRecord
from warmtoken.cache.vault import NewTokens
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.scopes import lookup_scopes
from warmtoken.transport import HttpRequest

KEY = bytes(range(32))
WRITERS = 32  # threads; those that write at the same time share a commit
BYSTANDERS = ["Bystander.Read"]


class NoNetwork:
    """Fails at every request: whoever makes one found no token in the cache."""

    def send(self, request: HttpRequest, *, timeout: float) -> NoReturn:
        """Fail."""
        raise AssertionError(f"expected the token in the cache, but warmtoken asks {request.url}")


class AsyncNoNetwork:
    """The same for warmtoken.aio."""

    async def send(self, request: HttpRequest, *, timeout: float) -> NoReturn:
        """Fail."""
        raise AssertionError(f"expected the token in the cache, but warmtoken asks {request.url}")


class Ours:
    """The applications of one client on one cache."""

    def __init__(self, directory: Path, population: Population) -> None:
        self._directory = directory
        self._population = population
        self.cache = TokenCache(directory, key=KEY)
        self.public = public_application(self.cache)
        self.aio = warmtoken.aio.PublicClientApplication(
            CLIENT_ID, authority=AUTHORITY, cache=self.cache, transport=AsyncNoNetwork()
        )
        self.confidential = confidential_application(self.cache)
        self._once = self.cache
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(self.save, [*population.users, population.own]))

    def save(self, entry: Entry) -> None:
        """Write what one token reply brings, in one commit."""
        self.cache.vault().save(new_tokens(entry))

    def fresh(self) -> Callable[..., Any]:
        """Return a silent method with nothing in memory yet: another cache object on the same file."""
        if self._once is not self.cache:
            self._once.close()
        self._once = TokenCache(self._directory, key=KEY)
        self._once.vault()
        return public_application(self._once).acquire_token_silent

    def commit_something_else(self) -> None:
        """Commit a token that no lookup is about, and see that all lookups have to notice."""
        vault = self.cache.vault()
        before = vault.newest
        user = self._population.users[0]
        self.save(Entry(user.account, tuple(BYSTANDERS), "bystander", None, user.cached_at, user.expires_on))
        assert vault.newest > before

    def miss(self, account: Account) -> tuple[Callable[..., CachedToken | None], tuple[Any, ...]]:
        """Return the lookup that says there is no such token, as the silent flow makes it, and its arguments."""
        usable_after = self.cache.clock.time()
        return self.cache.vault().find_access_token, (slot_of(account), lookup_scopes(MISSING), usable_after)


def public_application(cache: TokenCache) -> PublicClientApplication:
    """Return the application that users sign in to."""
    return PublicClientApplication(CLIENT_ID, authority=AUTHORITY, cache=cache, transport=NoNetwork())


def confidential_application(cache: TokenCache) -> ConfidentialClientApplication:
    """Return the application that has tokens of its own."""
    return ConfidentialClientApplication(
        CLIENT_ID, credential=ClientSecret("a secret"), authority=AUTHORITY, cache=cache, transport=NoNetwork()
    )


def slot_of(account: Account | None) -> Slot:
    """Return where the tokens of a user lie, or those of the client itself."""
    authority = parse_authority(AUTHORITY)
    return Slot(Owner(authority.cache_name, CLIENT_ID, account.home_account_id if account else None), authority.tenant)


def new_tokens(entry: Entry) -> NewTokens:
    """Return an entry as a token reply brings it."""
    slot, account = slot_of(entry.account), entry.account
    names = (account.home_account_id if account else "", parse_authority(AUTHORITY).environment, CLIENT_ID)
    token = AccessTokenRecord(
        *names,
        slot.realm,
        " ".join(entry.scopes),
        entry.access_token,
        entry.cached_at,
        entry.expires_on,
        local_account_id=account.local_account_id if account else "",
    )
    return NewTokens(
        slot,
        lookup_scopes(entry.scopes),
        token,
        id_token=IdTokenRecord(*names, slot.realm, entry.id_token) if entry.id_token else None,
        account=_account_record(account) if account else None,
    )


def _account_record(account: Account) -> AccountRecord:
    return AccountRecord(
        account.home_account_id,
        account.environment,
        account.tenant_id,
        account.local_account_id,
        account.username,
        account.name,
        "MSSTS",
        account.account_source,
    )
