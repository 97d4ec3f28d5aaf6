"""What a program's own token provider returned, checked before it is believed (MSAL.NET's rules)."""

from __future__ import annotations

from warmtoken.credentials import AppTokenProviderResult
from warmtoken.errors import ClientError
from warmtoken.protocol.token_reply import TokenReply, is_access_token

LONG_LIFE = 7200  # seconds; a token that lasts so long is to be refreshed when half of that is over
LONGEST = 3650 * 86_400  # seconds; what is said to last longer is damaged


def read_provided(returned: object, *, correlation_id: str) -> TokenReply:
    """Return what a program's token provider granted; fractions of seconds are cut off.

    Raises ClientError `invalid_token_provider_response_value` where it is none, or a value cannot be; no message holds
    one.
    """
    if not isinstance(returned, AppTokenProviderResult):
        raise _invalid("an AppTokenProviderResult", type(returned).__name__, correlation_id)
    if not is_access_token(returned.access_token):
        raise _invalid("an access_token of visible ASCII characters", "another value", correlation_id)
    lifetime = _seconds("expires_in", returned.expires_in, correlation_id)
    refresh_in = lifetime // 2 if lifetime >= LONG_LIFE else None
    if returned.refresh_in is not None:
        refresh_in = _seconds("refresh_in", returned.refresh_in, correlation_id)
    return TokenReply(returned.access_token, "Bearer", lifetime, refresh_in)


def _seconds(name: str, value: object, correlation_id: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LONGEST:
        raise _invalid(f"{name} as a number of seconds from 1 to {LONGEST}", "another value", correlation_id)
    return int(value)


def _invalid(expected: str, came: str, correlation_id: str) -> ClientError:
    return ClientError(
        "invalid_token_provider_response_value",
        f"expected {expected} from the function of the AppTokenProvider, got {came}; mend the function",
        correlation_id=correlation_id,
    )
