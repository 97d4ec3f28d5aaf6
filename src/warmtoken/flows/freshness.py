"""The one rule that says whether an access token may still be used."""

from __future__ import annotations

from typing import Protocol

MARGIN = 300.0  # seconds, as in MSAL
SET_BACK = 60.0  # seconds that the clock may be behind the one by which a token was cached
MARGIN_SHARE = 0.1  # of the token's lifetime, at most: a token that lives for a minute is cached too


class Lifetime(Protocol):
    """An access token as stored or as found; times are Unix seconds."""

    @property
    def cached_at(self) -> int: ...
    @property
    def expires_on(self) -> int: ...


def margin_of(token: Lifetime, expiry_margin: float | None) -> float:
    """Return how many seconds before its expiry a token is no longer used."""
    if expiry_margin is not None:
        return expiry_margin
    return min(MARGIN, MARGIN_SHARE * max(0, token.expires_on - token.cached_at))


def usable_until(token: Lifetime, expiry_margin: float | None) -> float:
    """Return the Unix time from which on a token is no longer used."""
    return token.expires_on - margin_of(token, expiry_margin)


def is_usable(token: Lifetime, now: float, expiry_margin: float | None) -> bool:
    """Tell whether `expires_on - now > margin`, and the token does not come from the future.

    Where it does, the clock was set back since, and says nothing about how long the token lasts.
    """
    return token.cached_at - SET_BACK <= now < usable_until(token, expiry_margin)
