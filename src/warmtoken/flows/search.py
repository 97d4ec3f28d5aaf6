"""Looks for the access token of one request in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from warmtoken._engine import CachedToken
from warmtoken.cache.lookup_keys import Slot
from warmtoken.flows.context import Context, Stopwatch
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.freshness import MARGIN, is_usable, usable_until
from warmtoken.flows.requests import TokenRequest
from warmtoken.flows.results import serve
from warmtoken.flows.single_flight import Fetch, fetch_once
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.scopes import lookup_scopes


@dataclass(slots=True)
class Search:
    """What one request wants, where it would lie, and for whom it is (None: for the client itself)."""

    context: Context
    request: TokenRequest
    slot: Slot
    account: Account | None
    watch: Stopwatch
    scopes: tuple[str, ...] = field(init=False)
    margin: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.scopes = lookup_scopes(self.request.asked)
        self.margin = self.context.expiry_margin if self.request.min_validity is None else self.request.min_validity

    def _usable_after(self) -> float:
        return self.context.now() + (MARGIN if self.margin is None else self.margin)

    def find(self) -> CachedToken | None:
        """Return the token that serves the request best, usable or not."""
        return self.context.vault.find_access_token(self.slot, self.scopes, self._usable_after())

    def usable(self, found: CachedToken | None) -> AuthenticationResult | None:
        """Return the result of a find if it may still be used."""
        if found is None or self.request.refuses(found.secret):
            return None
        if not is_usable(found, self.context.now(), self.margin):
            self.context.vault.expired += 1
            return None
        # What is kept in memory is served to calls without a min_validity of their own.
        remember = None if self.request.min_validity is not None else self.request.remember
        until = usable_until(found, self.margin)
        return serve(found, self.account, self.watch.total_ms(), self.request.correlation_id, remember, until)

    def look_again(self, before: CachedToken | None) -> AuthenticationResult | None:
        """Return a usable token; a forced refresh accepts one that came since the call, a claims challenge none.

        A challenge that names the token which the API refused does accept another one.
        """
        if self.request.claims is not None and self.request.refresh_if_sha256 is None:
            return None
        found = self.find()
        if self.request.force_refresh and found is not None and before is not None:
            return self.usable(found) if found.secret != before.secret else None
        return self.usable(found)

    def reason(self, found: CachedToken | None) -> CacheRefreshReason:
        """Return why the cache does not serve the request."""
        if self.request.bypasses_cache or (found is not None and self.request.refuses(found.secret)):
            return "force_refresh_or_claims"
        return "no_cached_access_token" if found is None else "expired"


Look = Callable[[], AuthenticationResult | None]
FoundT = TypeVar("FoundT")


def find_or_fetch(
    search: Search, key: Callable[[], bytes], fetch: Callable[[CacheRefreshReason, Look], Flow[FoundT]]
) -> Flow[AuthenticationResult | FoundT]:
    """Return a usable token from the cache, or else what `fetch` gets, once for all on this host.

    `key` says what must not be used twice at the same time; `fetch` is told why it is needed, and how to look whether
    the cache has the token by now.
    """
    if search.context.vault.needs_heal:
        yield Call(search.context.vault.heal)
    found = search.find()
    result = None if search.request.bypasses_cache else search.usable(found)
    if result is not None:
        return result
    request = search.request

    def look() -> AuthenticationResult | None:
        return search.look_again(found)

    wanted: Fetch[AuthenticationResult | FoundT] = Fetch(
        key(),
        (search.slot, search.scopes, request.claims, request.force_refresh, request.refresh_if_sha256, search.margin),
        look,
        lambda: fetch(search.reason(found), look),
    )
    return (yield from fetch_once(search.context.vault, wanted))
