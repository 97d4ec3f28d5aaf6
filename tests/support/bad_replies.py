"""All kinds of bad replies of a token endpoint, and the error that each must become: kind -> answer, class, code."""

from __future__ import annotations

import functools
import gzip
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from isolated.oracle import CANARY
from support.fault_server import Answer, FaultyProvider, cut, drip, endless, raw, reply, reset

from warmtoken import ClientError, ProtocolError, ServiceError, ThrottledError, TransportError, WarmTokenError

GIB = 1 << 30
MIB = 1 << 20
JSON = "Content-Type: application/json\r\n"
HTML = f"<!doctype html><html><body>Sign in to the guest network {CANARY}</body></html>".encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Fault:
    """One kind of bad reply; `says` are attributes of the error. A slow one lasts until the deadline."""

    answer: Callable[[FaultyProvider], Answer]
    error: type[WarmTokenError]
    code: str
    says: dict[str, object] = field(default_factory=dict)
    is_slow: bool = False


def status(line: str, body: bytes = b"", headers: str = "") -> Callable[[FaultyProvider], Answer]:
    return lambda _: reply(body, status=line, headers=headers)


def body(content: bytes, headers: str = JSON) -> Callable[[FaultyProvider], Answer]:
    return lambda _: reply(content, headers=headers)


def fields(subject: str = "alice", **changes: Any) -> Callable[[FaultyProvider], Answer]:
    """A sound reply with other values; `...` leaves a field out."""

    def make(provider: FaultyProvider) -> Answer:
        granted = provider.tokens(subject) | changes
        kept = {name: value for name, value in granted.items() if value is not ...}
        return reply(json.dumps(kept).encode(), headers=JSON)

    return make


def in_json(more: bytes) -> Callable[[FaultyProvider], Answer]:
    """A sound reply with more text at its end, within the object."""
    return lambda provider: reply(json.dumps(provider.tokens()).encode()[:-1] + b"," + more + b"}", headers=JSON)


def always(answer: Answer) -> Callable[[FaultyProvider], Answer]:
    return lambda _: answer


def later(make: Callable[[], Answer]) -> Callable[[FaultyProvider], Answer]:
    """An answer that is made when it is asked for: it is large, or names the time."""
    return lambda _: make()


@functools.cache
def bomb(layers: int) -> Answer:
    """A body of 100 MiB of zeros, compressed once or twice."""
    packed = gzip.compress(bytes(100 * MIB), compresslevel=1)
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return reply(packed, headers=f"Content-Encoding: {', '.join(['gzip'] * layers)}\r\n")


@functools.cache
def deflate_bomb() -> Answer:
    return reply(zlib.compress(bytes(100 * MIB), 1), headers="Content-Encoding: deflate\r\n")


def seconds_from_now(seconds: int) -> str:
    return f"Retry-After: {formatdate(time.time() + seconds, usegmt=True)}\r\n"


THROTTLED = {
    "429 with seconds": Fault(
        status("429 X", headers="Retry-After: 17\r\n"), ThrottledError, "request_throttled", {"retry_after": 17}
    ),
    "429 with a date": Fault(
        later(lambda: reply(status="429 X", headers=f"Date: {formatdate(usegmt=True)}\r\n{seconds_from_now(30)}")),
        ThrottledError,
        "request_throttled",
    ),
    "429 for eleven days": Fault(
        status("429 X", headers="Retry-After: 999999\r\n"), ThrottledError, "request_throttled", {"retry_after": 3600}
    ),
    "429 for a time of 400 digits": Fault(
        status("429 X", headers=f"Retry-After: {'9' * 400}\r\n"),
        ThrottledError,
        "request_throttled",
        {"retry_after": 3600},
    ),
    "429 for no time that can be read": Fault(
        status("429 X", headers="Retry-After: soon\r\n"), ThrottledError, "request_throttled", {"retry_after": None}
    ),
    "503 with seconds": Fault(
        status("503 X", HTML, "Retry-After: 5\r\n"), ThrottledError, "service_not_available", {"retry_after": 5}
    ),
}

STATUSES = {
    "500": Fault(status("500 X"), ServiceError, "service_not_available", {"is_retryable": True, "status": 500}),
    "502 with HTML": Fault(status("502 X", HTML), ServiceError, "service_not_available", {"is_retryable": True}),
    "599": Fault(status("599 X"), ServiceError, "service_not_available", {"is_retryable": True}),
    "404 with HTML": Fault(status("404 X", HTML), ServiceError, "not_found", {"is_retryable": False}),
    "408": Fault(status("408 X"), ServiceError, "request_timeout", {"is_retryable": True}),
    "400 without an error": Fault(status("400 X", b"{}", JSON), ServiceError, "http_status_not_200"),
    "400 with an error of the wrong type": Fault(
        status("400 X", b'{"error":{"a":1}}', JSON), ServiceError, "http_status_not_200"
    ),
    "204": Fault(always(raw(b"HTTP/1.1 204 No Content\r\n\r\n")), ServiceError, "http_status_not_200"),
    "201 with tokens": Fault(
        lambda provider: reply(json.dumps(provider.tokens()).encode(), status="201 X", headers=JSON),
        ServiceError,
        "http_status_not_200",
    ),
}

CONNECTIONS = {
    "hung up": Fault(always(cut(b"")), TransportError, "connection_failed"),
    "reset at once": Fault(always(reset(b"")), TransportError, "connection_failed"),
    "reset in the body": Fault(
        always(reset(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"access_token":"')),
        TransportError,
        "connection_failed",
    ),
    "cut in the headers": Fault(always(cut(b"HTTP/1.1 200 OK\r\nContent-")), TransportError, "connection_failed"),
    "less than its length": Fault(
        always(cut(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}")), TransportError, "connection_failed"
    ),
    "a length that is none": Fault(
        always(raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}")), TransportError, "connection_failed"
    ),
    "two lengths": Fault(
        always(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ")),
        TransportError,
        "connection_failed",
    ),
    "chunks that are none": Fault(always(raw(CHUNKED + b"zz\r\n{}\r\n")), TransportError, "connection_failed"),
    "a chunk without end": Fault(
        always(cut(CHUNKED + b"ffffffff\r\n" + CANARY.encode())), TransportError, "connection_failed"
    ),
    "10,000 headers": Fault(
        always(raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %0100d\r\n" % (n, n) for n in range(10_000)) + b"\r\n")),
        TransportError,
        "connection_failed",
    ),
    "a header of 1 MiB": Fault(
        always(raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MIB + b"\r\n\r\n")), TransportError, "connection_failed"
    ),
    "no HTTP": Fault(always(cut(f"220 {CANARY} ESMTP\r\n\r\n".encode())), TransportError, "connection_failed"),
    "no gzip": Fault(body(b"plain", "Content-Encoding: gzip\r\n"), TransportError, "connection_failed"),
    "one byte a second": Fault(
        always(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b" ", pause=1.0)),
        TransportError,
        "request_timeout",
        is_slow=True,
    ),
    "headers that drip": Fault(
        always(drip(b"HTTP/1.1 200 OK\r\nX: ", b"x")), TransportError, "request_timeout", is_slow=True
    ),
    "silence": Fault(always(raw(b"")), TransportError, "request_timeout", is_slow=True),
    "wait, wait, wait": Fault(
        always(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")), TransportError, "request_timeout", is_slow=True
    ),
}

LARGE = {
    "1 GiB": Fault(
        always(endless(f"HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n".encode(), bytes(MIB), GIB)),
        TransportError,
        "response_too_large",
    ),
    "1 GiB in chunks": Fault(
        always(endless(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n", GIB)), TransportError, "response_too_large"
    ),
    "1 GiB with status 500": Fault(
        always(endless(b"HTTP/1.1 500 X\r\n\r\n", bytes(MIB), GIB)), TransportError, "response_too_large"
    ),
    "a gzip bomb": Fault(later(lambda: bomb(1)), TransportError, "response_too_large"),
    "a gzip bomb in gzip": Fault(later(lambda: bomb(2)), TransportError, "response_too_large"),
    "a bomb by the name of deflate": Fault(later(deflate_bomb), TransportError, "response_too_large"),
    "10,000 deep": Fault(in_json(b'"x":' + b"[" * 10_000 + b"]" * 10_000), ProtocolError, "non_parsable_oauth_error"),
    "1 MiB of opening brackets": Fault(body(b"[" * MIB), ProtocolError, "non_parsable_oauth_error"),
    "a token of 1 MiB": Fault(fields(access_token=CANARY * 100_000), TransportError, "response_too_large"),
}

NOT_JSON = {
    "no body": Fault(body(b""), ProtocolError, "non_parsable_oauth_error"),
    "HTML with status 200": Fault(body(HTML, "Content-Type: text/html\r\n"), ProtocolError, "non_parsable_oauth_error"),
    "JSON that is cut": Fault(
        body(f'{{"access_token":"{CANARY}","token_ty'.encode()), ProtocolError, "non_parsable_oauth_error"
    ),
    "an array": Fault(body(f'["{CANARY}"]'.encode()), ProtocolError, "non_parsable_oauth_error"),
    "a form": Fault(body(f"access_token={CANARY}".encode()), ProtocolError, "non_parsable_oauth_error"),
    "a name twice": Fault(in_json(f'"access_token":"{CANARY}"'.encode()), ProtocolError, "non_parsable_oauth_error"),
    "a name twice further in": Fault(in_json(b'"x":{"a":1,"a":2}'), ProtocolError, "non_parsable_oauth_error"),
    "not UTF-8": Fault(in_json(b'"x":"\xff"'), ProtocolError, "non_parsable_oauth_error"),
    "UTF-16": Fault(
        lambda provider: reply(json.dumps(provider.tokens()).encode("utf-16"), headers=JSON),
        ProtocolError,
        "non_parsable_oauth_error",
    ),
    "half of a surrogate": Fault(in_json(b'"x":"\\ud800"'), ProtocolError, "non_parsable_oauth_error"),
    "NaN": Fault(in_json(b'"x":NaN'), ProtocolError, "non_parsable_oauth_error"),
    "gzip that is cut": Fault(
        lambda provider: reply(
            gzip.compress(json.dumps(provider.tokens()).encode())[:-40], headers="Content-Encoding: gzip\r\n"
        ),
        ProtocolError,
        "non_parsable_oauth_error",
    ),
}

FIELDS = {
    "no access token": Fault(fields(access_token=...), ProtocolError, "access_token_missing"),
    "an empty access token": Fault(fields(access_token=""), ProtocolError, "access_token_missing"),
    "an access token with CR and LF": Fault(
        fields(access_token=f"{CANARY}\r\nX-Admin: 1"), ProtocolError, "access_token_invalid"
    ),
    "an access token with a blank": Fault(fields(access_token=f"{CANARY} a"), ProtocolError, "access_token_invalid"),
    "an access token that is a number": Fault(fields(access_token=7), ProtocolError, "access_token_invalid"),
    "an access token that is a list": Fault(fields(access_token=[CANARY]), ProtocolError, "access_token_invalid"),
    "no token type": Fault(fields(token_type=...), ProtocolError, "token_type_missing"),
    "another token type": Fault(fields(token_type="mac"), ProtocolError, "token_type_mismatch"),
    "a token type that is a list": Fault(fields(token_type=["Bearer"]), ProtocolError, "token_type_invalid"),
    "a negative lifetime": Fault(fields(expires_in=-1), ProtocolError, "expires_in_invalid"),
    "a lifetime in words": Fault(fields(expires_in="an hour"), ProtocolError, "expires_in_invalid"),
    "a lifetime that is a list": Fault(fields(expires_in=[3600]), ProtocolError, "expires_in_invalid"),
    "a lifetime that is true": Fault(fields(expires_in=True), ProtocolError, "expires_in_invalid"),
    "a negative time to refresh": Fault(fields(refresh_in=-1), ProtocolError, "refresh_in_invalid"),
    "scopes in a list": Fault(fields(scope=["orders.read"]), ProtocolError, "scope_invalid"),
    "a refresh token that is a number": Fault(fields(refresh_token=7), ProtocolError, "refresh_token_invalid"),
    "a refresh token with LF": Fault(fields(refresh_token=f"{CANARY}\n"), ProtocolError, "refresh_token_invalid"),
    "an id token that is an object": Fault(fields(id_token={"sub": CANARY}), ProtocolError, "id_token_invalid"),
    "client_info that is a number": Fault(fields(client_info=7), ProtocolError, "client_info_invalid"),
    "a family that is a number": Fault(fields(foci=1), ProtocolError, "foci_invalid"),
    "tokens of another user": Fault(fields("mallory", access_token=CANARY), ClientError, "user_mismatch"),
}

FAULTS = THROTTLED | STATUSES | CONNECTIONS | LARGE | NOT_JSON | FIELDS
