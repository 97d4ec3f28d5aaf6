"""Signs a user in on another device: a short code to enter there, and polling here (RFC 8628)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial

from warmtoken.errors import ClientError, ServiceError, TransportError
from warmtoken.flows.context import HTTP_TIMEOUT, Context, Stopwatch
from warmtoken.flows.effects import Flow, Send, Sleep, call_program
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.replies import Asked, take_in
from warmtoken.flows.requests import DeviceCodeRequest, new_correlation_id
from warmtoken.flows.sending import send
from warmtoken.models import AuthenticationResult
from warmtoken.notices import DeviceCode
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.device_reply import DeviceAuthorization, parse_device_reply
from warmtoken.protocol.discovery import ProviderMetadata
from warmtoken.protocol.token_reply import TokenReply, parse_token_reply
from warmtoken.protocol.token_request import device_authorization_request, device_code_request, secrets_of
from warmtoken.transport import HttpRequest, HttpResponse

SLOW_DOWN = 5  # seconds: RFC 8628, section 3.5
MAX_BACKOFF = 60  # seconds

SOURCE = "device_code_flow"


@dataclass(frozen=True, slots=True)
class _SignIn:
    request: DeviceCodeRequest
    metadata: ProviderMetadata
    correlation_id: str
    claims: str | None
    watch: Stopwatch


@dataclass(frozen=True, slots=True)
class _Waiting:
    # What is polled for; the deadline is on the monotonic clock of the cache, in seconds.
    sign_in: _SignIn
    device_code: str = field(repr=False)
    interval: int
    deadline: float


def acquire_by_device_code(context: Context, request: DeviceCodeRequest) -> Flow[AuthenticationResult]:
    """Return a token for the user who enters the code on another device.

    Raises ClientError where the user refuses or does not do it in time, UiRequiredError and ServiceError where the
    provider says no, ProtocolError where its replies are not right.
    """
    began = context.cache.clock.monotonic()
    watch = Stopwatch()
    claims = merge_claims(request.claims, context.client_capabilities)
    correlation_id = new_correlation_id(request.correlation_id)
    metadata = yield from provider_metadata(context, context.authority, watch)
    sign_in = _SignIn(request, metadata, correlation_id, claims, watch)
    asked_at, asked_at_wall = context.cache.clock.monotonic(), context.now()
    authorization = yield from _ask(context, sign_in)
    deadline = asked_at + authorization.expires_in
    if request.timeout is not None:
        deadline = min(deadline, began + request.timeout)
    yield from call_program(partial(request.on_user_code, _shown(authorization, asked_at_wall)))
    waiting = _Waiting(sign_in, authorization.device_code, authorization.interval, deadline)
    sent_at, reply = yield from _poll(context, waiting)
    return (yield from take_in(context, _asked(context, sign_in, sent_at, reply), reply))


def _ask(context: Context, sign_in: _SignIn) -> Flow[DeviceAuthorization]:
    request = context.request(context.authority, sign_in.metadata, sign_in.correlation_id)
    make_request = partial(device_authorization_request, request, sign_in.request.asked, claims=sign_in.claims)
    http_request, response = yield from send(make_request, sign_in.watch)
    return parse_device_reply(
        response, correlation_id=sign_in.correlation_id, secrets=secrets_of(http_request), now=context.now()
    )


def _shown(authorization: DeviceAuthorization, asked_at: float) -> DeviceCode:
    # Not the provider's `message`: who shows this one on a terminal must not get control characters from outside.
    return DeviceCode(
        authorization.user_code,
        authorization.verification_uri,
        authorization.verification_uri_complete,
        int(asked_at + authorization.expires_in),
        f"To sign in, open {authorization.verification_uri} in a browser and enter the code {authorization.user_code}",
    )


def _poll(context: Context, waiting: _Waiting) -> Flow[tuple[float, TokenReply]]:
    interval = pause = waiting.interval
    unreached: TransportError | None = None
    while True:
        try:
            return (yield from _redeem(context, waiting))
        except TransportError as error:
            # RFC 8628, section 3.5: poll less often, such as half as often after each failure
            unreached, pause = error, max(interval, min(2 * pause, MAX_BACKOFF))
        except ServiceError as error:
            unreached, pause = None, _interval_after(error, interval)
            interval = pause
        if context.cache.clock.monotonic() + pause > waiting.deadline:
            raise _timed_out(waiting.sign_in.correlation_id) from unreached
        yield Sleep(pause)


def _redeem(context: Context, waiting: _Waiting) -> Flow[tuple[float, TokenReply]]:
    sign_in = waiting.sign_in
    sent_at = context.now()
    request = context.request(context.authority, sign_in.metadata, sign_in.correlation_id)
    http_request = device_code_request(request, waiting.device_code, claims=sign_in.claims)
    response = yield from _send(context, waiting, http_request)
    reply = parse_token_reply(
        response, correlation_id=sign_in.correlation_id, secrets=secrets_of(http_request), now=context.now()
    )
    return sent_at, reply


def _send(context: Context, waiting: _Waiting, request: HttpRequest) -> Flow[HttpResponse]:
    # Each poll has its own time: the requests of this call may well take more than 30 s together.
    since = time.perf_counter()
    left = waiting.deadline - context.cache.clock.monotonic()
    try:
        response: HttpResponse = yield Send(request, min(HTTP_TIMEOUT, max(1.0, left)))
        return response
    finally:
        waiting.sign_in.watch.count_http(since)


def _interval_after(error: ServiceError, interval: int) -> int:
    """Return the seconds to the next poll; raises where there is none."""
    match error.code:
        case "authorization_pending":
            return interval
        case "slow_down":
            return interval + SLOW_DOWN  # RFC 8628, section 3.5: for this and all subsequent requests
        case "expired_token":
            raise _timed_out(error.correlation_id)
        case "access_denied" | "authorization_declined":  # the latter is Microsoft Entra's
            raise _refused(error)
        case _:
            raise error


def _timed_out(correlation_id: str | None) -> ClientError:
    return ClientError(
        "authentication_timeout",
        "nobody entered the user code and finished the sign-in in time; sign in again, with a new code",
        correlation_id=correlation_id,
    )


def _refused(error: ServiceError) -> ClientError:
    description = f" ({error.error_description})" if error.error_description else ""
    message = f"the identity provider ended the sign-in: {error.code}{description}"
    return ClientError("access_denied", message, correlation_id=error.correlation_id)


def _asked(context: Context, sign_in: _SignIn, sent_at: float, reply: TokenReply) -> Asked:
    # Anyone may have entered the code: a reply that names nobody must not pass for the account that was asked for.
    names_user = reply.id_token is not None or reply.client_info is not None
    return Asked(
        context.authority,
        sign_in.metadata,
        sign_in.request.asked,
        sign_in.correlation_id,
        sent_at,
        sign_in.watch,
        account=sign_in.request.account if names_user else None,
        source=SOURCE,
    )
