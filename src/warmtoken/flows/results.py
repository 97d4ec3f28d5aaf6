"""Makes results of what the cache found."""

from __future__ import annotations

from warmtoken.cache.vault import CachedToken
from warmtoken.flows.context import Remember, Stopwatch
from warmtoken.models import Account, AuthenticationResult, CacheLevel, ResultMetadata

_OVERHEAD = 1024  # bytes, roughly, of a result beside its tokens


def cached_result(
    cached: CachedToken, account: Account | None, level: CacheLevel, duration_ms: float, correlation_id: str | None
) -> AuthenticationResult:
    """Return the result for an access token that came from the cache."""
    record = cached.record
    metadata = ResultMetadata("cache", "not_applicable", level, record.refresh_on or None, duration_ms)
    return AuthenticationResult(
        record.secret,
        record.expires_on,
        tuple(record.target.split()),
        record.token_type,
        account,
        cached.id_token,
        record.realm,
        record.local_account_id,
        correlation_id,
        metadata,
    )


def serve(
    cached: CachedToken,
    account: Account | None,
    watch: Stopwatch,
    correlation_id: str | None,
    remember: Remember | None,
    until: float,
) -> AuthenticationResult:
    """Return the result of a lookup in the file, and keep one like it in memory until `until` (Unix seconds)."""
    if remember is not None:
        weight = len(cached.record.secret) + len(cached.id_token or "") + _OVERHEAD
        remember.view().remember(
            remember.scopes,
            account,
            remember.variant,
            cached_result(cached, account, "L1", 0.0, None),
            int(until * 1000),
            cached.txnid,
            cached.witnesses,
            weight,
        )
    return cached_result(cached, account, "store", watch.total_ms(), correlation_id)
