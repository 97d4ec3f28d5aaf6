"""The one rule that says whether an access token may still be used."""

from __future__ import annotations

from warmtoken.cache.records import AccessTokenRecord

MARGIN = 300.0  # seconds, as in MSAL
SET_BACK = 60.0  # seconds that the clock may be behind the one by which a token was cached
MARGIN_SHARE = 0.1  # of the token's lifetime, at most: a token that lives for a minute is cached too


def margin_of(record: AccessTokenRecord, expiry_margin: float | None) -> float:
    """Return how many seconds before its expiry a token is no longer used."""
    if expiry_margin is not None:
        return expiry_margin
    return min(MARGIN, MARGIN_SHARE * max(0, record.expires_on - record.cached_at))


def usable_until(record: AccessTokenRecord, expiry_margin: float | None) -> float:
    """Return the Unix time from which on a token is no longer used."""
    return record.expires_on - margin_of(record, expiry_margin)


def is_usable(record: AccessTokenRecord, now: float, expiry_margin: float | None) -> bool:
    """Tell whether `expires_on - now > margin`, and the token does not come from the future.

    Where it does, the clock was set back since, and says nothing about how long the token lasts.
    """
    return record.cached_at - SET_BACK <= now < usable_until(record, expiry_margin)
