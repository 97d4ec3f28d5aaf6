"""Keeps requests from a provider that does not want them, as all processes remember what it said (MSAL.NET's rules).

A note that holds raises what the provider said again, without a request, also where a refresh is forced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from warmtoken.cache.lookup_keys import Slot
from warmtoken.cache.records import NoteRecord
from warmtoken.errors import ServiceError, ThrottledError, UiRequiredError
from warmtoken.flows.context import Context, open_cache
from warmtoken.flows.effects import Call, Flow
from warmtoken.protocol.service_error import MAX_RETRY_AFTER

PUBLIC_HOLD = 60.0  # seconds after 429 or 5xx without a Retry-After, as in MSAL
CONFIDENTIAL_HOLD = 5.0  # seconds, as in MSAL Python; a service has callers that wait
REFUSAL_HOLD = 120.0  # seconds, as in MSAL.NET

T = TypeVar("T")


def is_throttled(context: Context, slot: Slot, scopes: tuple[str, ...]) -> bool:
    """Tell whether a request for these scopes would be throttled now."""
    vault = context.vault
    return vault.notes.find(vault.keys.throttled(slot, scopes), _now(context)) is not None


def throttle(context: Context, slot: Slot, scopes: tuple[str, ...], fetch: Callable[[], Flow[T]]) -> Flow[T]:
    """Fetch, unless the provider does not want to be asked for these scopes now; note it where it says so.

    Raises ThrottledError with what is left of its retry_after.
    """
    key = context.vault.keys.throttled(slot, scopes)
    found = yield from _find(context, key)
    if found is not None:
        note, left = found
        raise _throttled(note, left)
    try:
        return (yield from fetch())
    except ServiceError as error:
        hold = _hold_after(error, is_public=context.is_public)
        if hold:
            yield from _put(context, key, _note_of_service(error), hold)
        raise


def refuse_again(
    context: Context, key: bytes, redeem: Callable[[], Flow[T]], is_final: Callable[[UiRequiredError], bool]
) -> Flow[T]:
    """Redeem a refresh token, unless it was refused of late; note the refusal unless it `is_final`.

    `key` is of `LookupKeys.refused`: a sign-in brings another token, and so ends the refusals. Raises UiRequiredError.
    """
    found = yield from _find(context, key)
    if found is not None:
        raise _refused(found[0])
    try:
        return (yield from redeem())
    except UiRequiredError as error:
        if not is_final(error):
            yield from _put(context, key, _note_of_refusal(error), REFUSAL_HOLD)
        raise


def _now(context: Context) -> int:
    return int(context.now() * 1000)


def _find(context: Context, key: bytes) -> Flow[tuple[NoteRecord, float] | None]:
    notes, now = context.vault.notes, _now(context)
    found = notes.find(key, now)
    if found is None:
        if notes.has_ended(key, now):
            yield Call(partial(notes.delete, key))
        return None
    context.vault.throttled += 1
    return found[0], (found[1] - now) / 1000


def _put(context: Context, key: bytes, note: NoteRecord, hold: float) -> Flow[None]:
    yield from open_cache(context)  # after a request it may be time to look at the file again
    now = _now(context)
    yield Call(partial(context.vault.notes.put, key, note._replace(noted_ms=now), now + int(hold * 1000)))


def _hold_after(error: ServiceError, *, is_public: bool) -> float:
    if isinstance(error, ThrottledError) and error.retry_after is not None:
        return min(max(0.0, error.retry_after), MAX_RETRY_AFTER)  # a program's own provider may say anything
    if error.status == 429 or error.status >= 500:
        return PUBLIC_HOLD if is_public else CONFIDENTIAL_HOLD
    return 0.0


def _note_of_service(error: ServiceError) -> NoteRecord:
    note = _note_of(error)
    return note._replace(
        status=error.status, error=error.error or "", error_codes=" ".join(map(str, error.error_codes))
    )


def _note_of_refusal(error: UiRequiredError) -> NoteRecord:
    return _note_of(error)._replace(classification=error.classification)


def _note_of(error: ServiceError | UiRequiredError) -> NoteRecord:
    return NoteRecord(
        0,
        0,
        error.code,
        error.message,
        error.correlation_id or "",
        error_description=error.error_description or "",
        suberror=error.suberror or "",
        claims=error.claims or "",
    )


def _throttled(note: NoteRecord, left: float) -> ThrottledError:
    error = ThrottledError(
        note.code,
        note.message,
        status=note.status,
        error=note.error or None,
        error_description=note.error_description or None,
        suberror=note.suberror or None,
        error_codes=tuple(map(int, note.error_codes.split())),
        is_retryable=True,
        claims=note.claims or None,
        correlation_id=note.correlation_id or None,
    )
    error.retry_after = left
    return error


def _refused(note: NoteRecord) -> UiRequiredError:
    return UiRequiredError(
        note.code,
        note.message,
        classification=note.classification,
        claims=note.claims or None,
        suberror=note.suberror or None,
        error_description=note.error_description or None,
        correlation_id=note.correlation_id or None,
    )
