"""The rules that say whether an access token may still be used, and when it is time to refresh it."""

from __future__ import annotations

from typing import TYPE_CHECKING

MARGIN = 300.0  # seconds, as in MSAL
SET_BACK = 60.0  # seconds that the clock may be behind the one by which a token was cached
LONGEST = 3650 * 86_400.0  # seconds; MSAL.NET takes what is said to last longer for damaged
MARGIN_SHARE = 0.1  # of the token's lifetime, at most: a token that lives for a minute is cached too
_LONG = MARGIN / MARGIN_SHARE
JITTER = 300.0  # seconds, either way, as in MSAL.NET: hosts that got their tokens together do not refresh together
JITTER_SHARE = 0.1  # of the time until the refresh, at most
PAUSE = 30.0  # seconds between two tries of this process to refresh a token in the background

if TYPE_CHECKING:
    from typing import Protocol

    class Lifetime(Protocol):
        """An access token as stored or as found; times are Unix seconds."""

        @property
        def cached_at(self) -> int: ...
        @property
        def expires_on(self) -> int: ...
        @property
        def refresh_on(self) -> int: ...

    class Found(Lifetime, Protocol):
        """An access token as found; `refresh_ms` (Unix milliseconds, 0 for never) is when it is to be refreshed."""

        @property
        def refresh_ms(self) -> int: ...


def margin_of(token: Lifetime, expiry_margin: float | None) -> float:
    """Return how many seconds before its expiry a token is no longer used."""
    if expiry_margin is not None:
        return expiry_margin
    lifetime = token.expires_on - token.cached_at
    return MARGIN if lifetime >= _LONG else MARGIN_SHARE * max(0, lifetime)


def usable_until(token: Lifetime, expiry_margin: float | None) -> float:
    """Return the Unix time from which on a token is no longer used."""
    return token.expires_on - margin_of(token, expiry_margin)


def is_usable(token: Lifetime, now: float, expiry_margin: float | None) -> bool:
    """Tell whether `expires_on - now > margin`, and the token's times can be believed.

    Where it comes from the future, the clock was set back since, and says nothing about how long the token lasts.
    """
    return token.cached_at - SET_BACK <= now < usable_until(token, expiry_margin) and token.expires_on <= now + LONGEST


def draw_refresh_time(token: Lifetime, expiry_margin: float | None) -> float:
    """Return the Unix time at which to refresh a new token in the background; 0 where the provider names none.

    The provider's `refresh_on` with a jitter that is drawn once for all processes, but such that a token is never older
    than it may be used, nor younger than the pause between two tries.
    """
    if not token.refresh_on:
        return 0.0
    import random  # not at the top: who finds its token in the cache draws nothing

    reach = min(
        JITTER,
        JITTER_SHARE * (token.refresh_on - token.cached_at),
        max(0.0, usable_until(token, expiry_margin) - token.refresh_on),
    )
    return max(token.cached_at + PAUSE, token.refresh_on + random.uniform(-reach, reach))


def is_due(token: Found, now: float) -> bool:
    """Tell whether it is time to refresh a token that may still be used."""
    return 0 < token.refresh_ms <= now * 1000


def served_until(token: Found, now: float, expiry_margin: float | None) -> float:
    """Return the Unix time until which a token is served from memory; 0 where it is not usable, or due for a refresh.

    What `is_usable`, `is_due` and `kept_until` say, in one look: this is done for each token that a process meets.
    """
    until, due = token.expires_on - margin_of(token, expiry_margin), token.refresh_ms / 1000
    if not token.cached_at - SET_BACK <= now < until or token.expires_on > now + LONGEST or 0 < due <= now:
        return 0.0
    return min(until, due) if due else until


def kept_until(token: Found, now: float, expiry_margin: float | None) -> float:
    """Return the Unix time until which a result is served from memory without a look at the rules."""
    until = usable_until(token, expiry_margin)
    if not token.refresh_ms:
        return until
    return min(until, now + PAUSE if is_due(token, now) else token.refresh_ms / 1000)
