"""Sends requests: how often, and for how long in all."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

from warmtoken.errors import TransportError
from warmtoken.flows.context import HTTP_TIMEOUT, Stopwatch
from warmtoken.flows.effects import Call, Flow, Send, Sleep
from warmtoken.transport import HttpRequest, HttpResponse

RETRY_PAUSE = (0.75, 1.25)  # seconds: MSAL.NET's second, jittered
RETRIED_WITHIN = 10.0  # seconds from the first sending

_PASSING = frozenset({"connection_failed", "request_timeout"})


class Exchange(NamedTuple):
    """A request and the reply to it."""

    request: HttpRequest
    response: HttpResponse


def send(make: Callable[[], HttpRequest], watch: Stopwatch) -> Flow[Exchange]:
    """Send a request, once more after a second where the provider or the way to it failed, and count the time it took.

    Each sending has a request of its own: a client assertion may be used once (RFC 7523, section 3). It is made where
    it may block, since signing takes its time and a program's own callable any time. Repeated are
    requests that were answered 5xx or 408 without a Retry-After, and those without a reply, within 10 s of the first
    sending. All requests of one call have 30 s together. Raises TransportError where there is no reply.
    """
    # A refresh token or a code may be spent although its reply was lost. To send it again costs nothing: it is all
    # that there is, the next call would send it, and many providers answer once more to who is quick.
    began = time.monotonic()
    first: HttpResponse | TransportError
    request: HttpRequest = yield Call(make)
    try:
        first = yield from _send_once(request, watch)
    except TransportError as error:
        first = error
    if _is_passing(first) and time.monotonic() - began < RETRIED_WITHIN:
        yield from _pause(watch)
        request = yield Call(make)
        return Exchange(request, (yield from _send_once(request, watch)))
    if isinstance(first, TransportError):
        raise first
    return Exchange(request, first)


def send_until_answered(
    make: Callable[[], HttpRequest], watch: Stopwatch, pause_after: Callable[[int, int], float | None]
) -> Flow[Exchange]:
    """Send a request, and again as long as `pause_after` returns how many seconds to wait before.

    It is called with the status of the reply and how often the request was sent again. What came with a Retry-After
    is not sent again. All sendings have 30 s together, the pauses apart. Raises TransportError where there is no reply.
    """
    for sent in itertools.count():
        request: HttpRequest = yield Call(make)
        response = yield from _send_once(request, watch)
        pause = None if "retry-after" in response.headers else pause_after(response.status, sent)
        if pause is None:
            return Exchange(request, response)
        yield Sleep(pause)
    raise AssertionError("counting ends nowhere")


def _is_passing(outcome: HttpResponse | TransportError) -> bool:
    if isinstance(outcome, TransportError):
        return outcome.code in _PASSING
    return (outcome.status >= 500 or outcome.status == 408) and "retry-after" not in outcome.headers


def _send_once(request: HttpRequest, watch: Stopwatch) -> Flow[HttpResponse]:
    since = time.perf_counter()
    try:
        response: HttpResponse = yield Send(request, max(1.0, HTTP_TIMEOUT - watch.http_ms / 1000))
        return response
    finally:
        watch.count_http(since)


def _pause(watch: Stopwatch) -> Flow[None]:
    import random

    since = time.perf_counter()
    yield Sleep(random.uniform(*RETRY_PAUSE))
    watch.count_http(since)
