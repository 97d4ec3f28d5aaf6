"""Looks for the access token of one request in the cache."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from warmtoken._engine import CachedToken
from warmtoken.cache.lookup_keys import Slot
from warmtoken.errors import ServiceError, TransportError, WarmTokenError
from warmtoken.flows.context import Context, Remember, Stopwatch, open_cache
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.freshness import MARGIN, is_due, is_usable, kept_until
from warmtoken.flows.requests import TokenRequest
from warmtoken.flows.results import serve
from warmtoken.flows.single_flight import Fetch, fetch_once
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.scopes import lookup_scopes

STALE_PAUSE = 5.0  # seconds for which a process does not ask a provider again that failed, and serves what it has


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
        until = kept_until(found, self.context.now(), self.margin)
        return self.result_of(found, remember, until)

    def result_of(
        self,
        found: CachedToken,
        remember: Remember | None,
        until: float,
        reason: CacheRefreshReason = "not_applicable",
    ) -> AuthenticationResult | None:
        """Return the result that a token makes, as `results.serve` does."""
        return serve(found, self.account, self.watch.total_ms(), self.request.correlation_id, remember, until, reason)

    def is_due(self, found: CachedToken) -> bool:
        """Tell whether it is time to refresh a token that may still be used."""
        return is_due(found, self.context.now())

    def forced(self) -> Search:
        """Return the search for a newer token than the cached one, on nobody's behalf."""
        request = replace(self.request, force_refresh=True, claims=None, refresh_if_sha256=None, correlation_id=None)
        return replace(self, request=request, watch=Stopwatch())

    def instead_of(self, error: WarmTokenError) -> AuthenticationResult | None:
        """Return a token that has not expired, though its margin has begun, where asking for a new one has failed.

        None where there is none, the failure does not pass by itself, or the caller wants a newer one.
        """
        passing = isinstance(error, TransportError) or (isinstance(error, ServiceError) and error.is_retryable)
        if not passing or self.request.bypasses_cache or self.request.min_validity is not None:
            return None
        found, now = self.find(), self.context.now()
        if found is None or self.request.refuses(found.secret) or not is_usable(found, now, 0.0):
            return None
        until = min(float(found.expires_on), now + STALE_PAUSE)
        return self.result_of(found, self.request.remember, until, "expired")

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
FoundT = TypeVar("FoundT", bound=AuthenticationResult | None)
Acquire = Callable[[Search, CacheRefreshReason, Look], Flow[FoundT]]


def find_or_fetch(
    search: Search, key: Callable[[], bytes], fetch: Acquire[FoundT], *, patience: float | None = None
) -> Flow[AuthenticationResult | FoundT]:
    """Return a usable token from the cache, or else what `fetch` gets, once for all on this host.

    `key` says what must not be used twice at the same time; `fetch` is told for which search, why it is needed, and how
    to look whether the cache has the token by now. A token that is to be refreshed is, in the background; one that has
    not expired serves where the provider fails. `patience` is for how many seconds others wait, as in `Fetch`.
    """
    acquire = _unless_throttled(fetch)
    if search.context.vault.needs_heal:
        yield Call(search.context.vault.heal)
    found = search.find()
    result = None if search.request.bypasses_cache else search.usable(found)
    if found is not None and result is not None:
        if search.is_due(found):
            from warmtoken.flows.proactive import keep_fresh

            yield from keep_fresh(search, found, key, acquire)
        return result
    try:
        return (yield from fetch_once(search.context.vault, _wanted(search, found, key(), acquire, patience)))
    except (ServiceError, TransportError) as error:
        yield from open_cache(search.context)
        result = search.instead_of(error)
        if result is None:
            raise
        return result


def _wanted(
    search: Search, found: CachedToken | None, key: bytes, acquire: Acquire[FoundT], patience: float | None
) -> Fetch[AuthenticationResult | FoundT]:
    def look() -> AuthenticationResult | None:
        return search.look_again(found)

    return Fetch(key, _need_of(search), look, lambda: acquire(search, search.reason(found), look), patience)


def _need_of(search: Search) -> Hashable:
    # With what the client proves itself by: what is said of another credential, such as one that has been replaced, is
    # not said of this one.
    request, wanted = search.request, (search.slot, search.scopes, search.margin)
    return (search.context.client, wanted, request.claims, request.force_refresh, request.refresh_if_sha256)


def _unless_throttled(fetch: Acquire[FoundT]) -> Acquire[FoundT]:
    def acquire(search: Search, reason: CacheRefreshReason, look: Look) -> Flow[FoundT]:
        # Imported where it is needed: a process that finds its token in the cache never comes here.
        from warmtoken.flows.throttling import throttle

        return throttle(search.context, search.slot, search.scopes, lambda: fetch(search, reason, look))

    return acquire
