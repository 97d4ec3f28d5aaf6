"""What a provider's refusal means: the reply's status and words, turned into a typed error (RFC 6749, section 5.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from warmtoken.errors import ServiceError, ThrottledError, UiRequiredError, WarmTokenError
from warmtoken.protocol.json_object import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from warmtoken.transport import HttpResponse

MAX_DESCRIPTION = 1000
MAX_RETRY_AFTER = 3600.0
MAX_WORD = 100
MAX_ERROR_CODES = 32

INTERACTION_ERRORS = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})
# Of an invalid_grant, these two refuse this client or device, whoever signs in: a family refresh token, an app
# protection policy.
INTERACTION_IS_NO_HELP = frozenset({"client_mismatch", "protection_policy_required"})
CLASSIFICATIONS = frozenset(
    {"basic_action", "additional_action", "message_only", "consent_required", "user_password_expired"}
)
LOOP_DETECTED = "AADSTS50196"

RETRYABLE_ERRORS = frozenset({"temporarily_unavailable"})
RETRYABLE_STATUSES = frozenset({408, 429})
CODE_OF_STATUS = {404: "not_found", 408: "request_timeout", 429: "request_throttled"}

_ADVICE = {
    "invalid_client": "check the client id and the client credential, and that the application is registered for it",
    "not_found": "check the authority's URL",
    "http_status_not_200": "check the authority's URL and any proxy in between; redirects are not followed",
    "request_throttled": "wait before asking again",
    "service_not_available": "the provider has a fault; try again later",
    "invalid_scope": "check that the scopes are spelt right and granted to this application",
    "unauthorized_client": "allow this flow in the application's registration",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, section 2.3
_Kind = TypeVar("_Kind", bound=ServiceError)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A refusal's parts, free of secrets and control characters."""

    status: int
    error: str | None
    error_description: str | None
    suberror: str | None
    error_codes: tuple[int, ...]
    claims: str | None
    correlation_id: str | None
    retry_after: float | None


def error_from(
    response: HttpResponse, *, correlation_id: str | None = None, secrets: Sequence[str] = (), now: float | None = None
) -> WarmTokenError:
    """Return the error that a reply stands for: UiRequiredError, ServiceError or ThrottledError.

    `secrets` are what the request carried: where the reply echoes one, it reads "[redacted]". `now` (Unix seconds)
    serves a Retry-After date in a reply without a Date. Never raises, whatever the reply holds.
    """
    refusal = _read(response, correlation_id, secrets, now)
    if refusal.status < 500 and refusal.status != 429 and _needs_user(refusal):
        return _ui_required(refusal)
    if refusal.status == 429 or refusal.retry_after is not None:  # MSAL.NET: Retry-After counts with any status
        return _throttled(refusal)
    return _service_error(ServiceError, refusal)


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text without control characters and with every secret, also percent-encoded, as "[redacted]"."""
    clean = _CONTROL.sub(" ", text)
    longest_first = sorted(filter(None, secrets), key=len, reverse=True)
    if not longest_first:
        return clean
    return re.sub("|".join(map(_in_any_encoding, longest_first)), "[redacted]", clean)


def _in_any_encoding(secret: str) -> str:
    return "".join(map(_plain_or_encoded, secret))


def _plain_or_encoded(character: str) -> str:
    # Encoders differ in what they leave as it is (JavaScript's `!`), and in their digits (%2b of .NET's).
    if character in _UNRESERVED:
        return re.escape(character)
    encoded = "".join(f"%{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    blank = r"|\+" if character == " " else ""
    return f"(?:{re.escape(character)}|(?i:{encoded}){blank})"


def _needs_user(refusal: _Refusal) -> bool:
    if (refusal.error_description or "").startswith(LOOP_DETECTED):
        return True
    if refusal.error == "invalid_grant":
        return refusal.suberror not in INTERACTION_IS_NO_HELP
    return refusal.error in INTERACTION_ERRORS


def _ui_required(refusal: _Refusal) -> UiRequiredError:
    code = refusal.error or "interaction_required"
    looped = (refusal.error_description or "").startswith(LOOP_DETECTED)
    advice = (
        "the provider throttles this application, since it asked for the same token in a loop; sign in interactively"
        if looped
        else "catch UiRequiredError and sign in interactively"
    )
    return UiRequiredError(
        code,
        _message(refusal, code, advice),
        classification=_classification(refusal),
        claims=refusal.claims,
        suberror=refusal.suberror,
        error_description=refusal.error_description,
        correlation_id=refusal.correlation_id,
    )


def _classification(refusal: _Refusal) -> str:
    if refusal.suberror in CLASSIFICATIONS:
        return refusal.suberror
    return "consent_required" if refusal.error == "consent_required" else "none"


def _throttled(refusal: _Refusal) -> ThrottledError:
    error = _service_error(ThrottledError, refusal)
    error.retry_after = refusal.retry_after
    return error


def _service_error(kind: type[_Kind], refusal: _Refusal) -> _Kind:
    code = _code(refusal)
    return kind(
        code,
        _message(refusal, code, _ADVICE.get(code, "")),
        status=refusal.status,
        error=refusal.error,
        error_description=refusal.error_description,
        suberror=refusal.suberror,
        error_codes=refusal.error_codes,
        is_retryable=_is_retryable(refusal),
        claims=refusal.claims,
        correlation_id=refusal.correlation_id,
    )


def _code(refusal: _Refusal) -> str:
    if refusal.status >= 500:
        return "service_not_available"
    return refusal.error or CODE_OF_STATUS.get(refusal.status, "http_status_not_200")


def _is_retryable(refusal: _Refusal) -> bool:
    if refusal.retry_after is not None or refusal.error in RETRYABLE_ERRORS:
        return True
    return refusal.status >= 500 or refusal.status in RETRYABLE_STATUSES


def _message(refusal: _Refusal, code: str, advice: str) -> str:
    came = f"expected the identity provider to grant the request, it answered HTTP {refusal.status}"
    words = [word for word in (refusal.error or code, refusal.suberror, refusal.error_description) if word]
    return f"{came}, {': '.join(words)}" + (f" ({advice})" if advice else "")


def _read(response: HttpResponse, correlation_id: str | None, secrets: Sequence[str], now: float | None) -> _Refusal:
    fields = _fields(response.body)
    return _Refusal(
        status=response.status,
        error=_text(fields, "error", secrets, MAX_WORD),
        error_description=_text(fields, "error_description", secrets, MAX_DESCRIPTION),
        suberror=_text(fields, "suberror", secrets, MAX_WORD),
        error_codes=_error_codes(fields.get("error_codes")),
        claims=_text(fields, "claims", secrets, None),
        correlation_id=correlation_id or _text(fields, "correlation_id", secrets, MAX_WORD),
        retry_after=retry_after_of(response.headers, now),
    )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        return parse_object(body)
    except ValueError:
        return {}


def _text(fields: Mapping[str, Any], name: str, secrets: Sequence[str], limit: int | None) -> str | None:
    value = fields.get(name)
    if not isinstance(value, str):
        return None
    return redact(value, secrets).strip()[:limit] or None  # cut last: half a secret would not be recognized


def _error_codes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    codes = cast("list[object]", value)[:MAX_ERROR_CODES]
    return tuple(code for code in codes if isinstance(code, int) and not isinstance(code, bool))


def retry_after_of(headers: Mapping[str, str], now: float | None) -> float | None:
    """Return the seconds that a reply's Retry-After asks to wait, an hour at most, None where it has none."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():  # RFC 9110, section 10.2.3: seconds, or a date
        return min(float(value[:10]), MAX_RETRY_AFTER)
    date = _http_date(value)
    if date is None:
        return None
    return min(max(date - _time_of_reply(headers, now), 0.0), MAX_RETRY_AFTER)


def _time_of_reply(headers: Mapping[str, str], now: float | None) -> float:
    import time

    served = _http_date(headers.get("date", ""))  # the provider's own clock, which made the other date as well
    if served is not None:
        return served
    return time.time() if now is None else now


def _http_date(value: str) -> float | None:
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
        # RFC 9110, section 5.6.7: all its forms are in UTC, and that of asctime does not say so.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
