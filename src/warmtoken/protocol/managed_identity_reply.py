"""Replies to a managed identity's requests: the endpoints' dialects, read as strictly as other token replies."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from warmtoken.errors import ProtocolError, ServiceError, ThrottledError, TransportError
from warmtoken.protocol.json_object import parse_object
from warmtoken.protocol.managed_identity import Source, passes_by_itself
from warmtoken.protocol.reply_body import read_json_reply
from warmtoken.protocol.service_error import MAX_DESCRIPTION, MAX_WORD, redact, retry_after_of
from warmtoken.protocol.token_reply import MAX_LIFETIME, TokenReply, read_granted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from warmtoken.transport import HttpResponse

LONG_LIFE = 7200  # seconds; a token that lasts so long is to be refreshed when half of that is over

_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
_CODE = "managed_identity_request_failed"
_ADVICE = {
    400: "check that the identity is assigned to this resource, and that the name of the resource is right",
    401: "check that this process has the environment that its platform gave it",
    403: "check that this process has the environment that its platform gave it",
    404: "check that this resource has a managed identity",
    410: "the endpoint is being updated, which takes up to 70 seconds; try again later",
    429: "wait before asking again",
}


def parse_managed_identity_reply(
    source: Source, response: HttpResponse, *, correlation_id: str, secrets: Sequence[str], now: float
) -> TokenReply:
    """Return what an endpoint granted; `now` is in Unix seconds, `secrets` are what the request carried.

    Raises ServiceError and ThrottledError where it refused, ProtocolError where the reply is none; no message holds a
    token or a secret.
    """
    if response.status != 200:
        raise _refusal(source, response, correlation_id, secrets, now)
    fields = _fields(response, correlation_id)
    lifetime = _lifetime(fields, now, correlation_id)
    # Nothing else of the reply counts: a managed identity has no user, no refresh token and no scopes.
    granted = {
        "access_token": fields.get("access_token"),
        "token_type": fields.get("token_type") or "Bearer",
        "expires_in": lifetime,
        "refresh_in": fields.get("refresh_in") or (lifetime // 2 if lifetime >= LONG_LIFE else None),
    }
    return read_granted(granted, correlation_id=correlation_id)


def unreachable(source: Source, error: TransportError) -> TransportError:
    """Return the error for an endpoint that did not answer; replies that are too large stay what they are."""
    if error.code not in {"connection_failed", "request_timeout"}:
        return error
    return TransportError(
        "managed_identity_unreachable_network",
        f"expected the managed identity endpoint ({source}) to answer, it did not: {error.message}; "
        "check that this process runs where there is one",
        correlation_id=error.correlation_id,
    )


def _fields(response: HttpResponse, correlation_id: str) -> dict[str, Any]:
    try:
        return read_json_reply(response, "a token reply", correlation_id=correlation_id)
    except ProtocolError as error:
        raise ProtocolError(
            "managed_identity_response_parse_failure", error.message, correlation_id=correlation_id
        ) from None


def _lifetime(fields: dict[str, Any], now: float, correlation_id: str) -> int:
    seconds = _number(fields.get("expires_in"))
    if seconds is None:
        until = _time(fields.get("expires_on"))
        seconds = None if until is None else max(0.0, until - now)
    if seconds is None:
        raise ProtocolError(
            "invalid_managed_identity_response",
            "expected expires_in as a number of seconds or expires_on as a time in the reply, got neither",
            correlation_id=correlation_id,
        )
    return int(min(seconds, MAX_LIFETIME))


def _number(value: object) -> float | None:
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        return None
    return float(value)


def _time(value: object) -> float | None:
    seconds = _number(value)
    if seconds is not None or not isinstance(value, str):
        return seconds
    for read in _DATES:
        try:
            when = read(value)
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None


def _of_twelve_hours(value: str) -> datetime:
    # Not %p: its words are those of the program's locale, and in many languages there are none.
    match = re.fullmatch(r"(.+) (AM|PM) (.+)", value, re.IGNORECASE)
    if match is None:
        raise ValueError("expected AM or PM")
    before_noon = datetime.strptime(f"{match[1]} {match[3]}", "%m/%d/%Y %I:%M:%S %z")
    return before_noon + timedelta(hours=12 if match[2].upper() == "PM" else 0)


# As MSAL.NET reads them: ISO 8601, and what the endpoints of 2017-09-01 write, with twelve hours or with 24.
_DATES: tuple[Callable[[str], datetime], ...] = (
    datetime.fromisoformat,
    _of_twelve_hours,
    lambda value: datetime.strptime(value, "%m/%d/%Y %H:%M:%S %z"),
)


def _refusal(
    source: Source, response: HttpResponse, correlation_id: str, secrets: Sequence[str], now: float
) -> ServiceError:
    word, description = _words(response.body, secrets)
    retry_after = retry_after_of(response.headers, now)
    kind = ThrottledError if response.status == 429 or retry_after is not None else ServiceError
    error = kind(
        _CODE,
        _message(source, response.status, word, description),
        status=response.status,
        error=word,
        error_description=description,
        is_retryable=retry_after is not None or passes_by_itself(source, response.status),
        correlation_id=correlation_id,
    )
    if isinstance(error, ThrottledError):
        error.retry_after = retry_after
    return error


def _message(source: Source, status: int, word: str | None, description: str | None) -> str:
    said = ": ".join(text for text in (word, description) if text)
    came = f"expected the managed identity endpoint ({source}) to give a token, it answered HTTP {status}"
    advice = _ADVICE.get(status, "")
    return came + (f", {said}" if said else "") + (f" ({advice})" if advice else "")


def _words(body: bytes, secrets: Sequence[str]) -> tuple[str | None, str | None]:
    try:
        fields = parse_object(body)
    except ValueError:
        return None, None
    error = fields.get("error")
    if isinstance(error, dict):  # Service Fabric and Cloud Shell
        inner = cast("dict[str, object]", error)
        return _text(inner.get("code"), secrets, MAX_WORD), _text(inner.get("message"), secrets, MAX_DESCRIPTION)
    described = fields.get("error_description") or fields.get("message")  # IMDS, or App Service
    return _text(error, secrets, MAX_WORD), _text(described, secrets, MAX_DESCRIPTION)


def _text(value: object, secrets: Sequence[str], limit: int) -> str | None:
    if not isinstance(value, str):
        return None
    return redact(value, secrets).strip()[:limit] or None  # cut last: half a secret would not be recognized
