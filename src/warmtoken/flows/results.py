"""Makes results of what the cache found."""

from __future__ import annotations

from warmtoken import _engine
from warmtoken._engine import CachedToken
from warmtoken.flows.context import Remember
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason


def serve(
    cached: CachedToken,
    account: Account | None,
    duration_ms: float,
    correlation_id: str | None,
    remember: Remember | None,
    until: float,
    reason: CacheRefreshReason = "not_applicable",
) -> AuthenticationResult:
    """Return the result of a lookup in the file, and keep one like it in memory until `until` (Unix seconds).

    `reason` says why a refresh was tried before.
    """
    if remember is not None:
        remember.view().remember_token(remember.scopes, account, remember.variant, cached, int(until * 1000), reason)
    return _engine.cached_result(cached, account, "store", duration_ms, correlation_id, reason)
