"""A provider that answers with anything at all: a typed error in time, nothing cached is lost, nothing bad is kept."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from faults.scale import SCALE
from isolated.oracle import CANARY, DATA
from isolated.support import FileReader, finish, start
from support.bad_replies import FAULTS, FIELDS, LARGE, Fault, fields
from support.fault_server import (
    FaultyProvider,
    Server,
    faulty_provider,
    make_certificate,
    raw,
    reply,
    reset,
    server_context,
    serving,
)
from support.waiters import Waiters
from support.world import KEY, Client, Mode, World, new_world

import warmtoken
import warmtoken.aio
from warmtoken import AuthenticationResult, TransportError, WarmTokenError
from warmtoken.flows import sending
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

READ = ["orders.read"]
HOUR = 3600
RSS_GROWTH = 8 << 20  # bytes, at most, whatever the provider sends
TOKENS = ("access", "scope", "expiry", "refresh", "identity", "account", "app")


@pytest.fixture(autouse=True)
def no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY_PAUSE", (0.0, 0.0))


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def provider(world: World) -> Iterator[FaultyProvider]:
    with faulty_provider(world.clock) as made:
        yield made


@pytest.fixture
def app(world: World, provider: FaultyProvider) -> Client:
    return world.public(authority=provider.issuer)


def sign_in(app: Client, provider: FaultyProvider) -> AuthenticationResult:
    provider.answer = provider.grant
    result: AuthenticationResult = app.acquire_token_by_refresh_token(f"rt-{CANARY}", READ)
    return result


def refused(app: Client, signed_in: AuthenticationResult, kind: type[WarmTokenError]) -> WarmTokenError:
    with pytest.raises(WarmTokenError) as caught:
        app.acquire_token_silent(READ, signed_in.account, force_refresh=True)
    assert type(caught.value) is kind
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert CANARY not in shown
    assert "rt-" not in shown
    return caught.value


def records(file_reader: FileReader, world: World) -> dict[str, dict[bytes, bytes]]:
    found = file_reader.dump(world.directory / DATA)
    return {name: found[name] for name in TOKENS}


def test_there_are_thirty_kinds_and_more() -> None:
    assert len(FAULTS) >= 70


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_bad_reply_is_a_typed_error_and_the_cache_stays_as_it_was(
    world: World,
    provider: FaultyProvider,
    app: Client,
    fault: Fault,
    file_reader: FileReader,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(SCALE.slow_replies if fault.is_slow else SCALE.bad_replies):
        signed_in = sign_in(app, provider)
        before = records(file_reader, world)
        provider.answer = fault.answer(provider)
        with monkeypatch.context() as patch, caplog.at_level(logging.DEBUG, "warmtoken"):
            if fault.is_slow:
                patch.setattr(sending, "HTTP_TIMEOUT", 0.5)
            error = refused(app, signed_in, fault.error)
        assert error.code == fault.code
        assert {name: getattr(error, name) for name in fault.says} == fault.says
        assert records(file_reader, world) == before
        assert app.acquire_token_silent(READ, signed_in.account).access_token == signed_in.access_token
        world.clock.advance(HOUR + 1)  # beyond any Retry-After
        provider.answer = provider.grant
        assert app.acquire_token_silent(READ, signed_in.account).access_token != signed_in.access_token
    assert CANARY not in caplog.text


OF_ANY_ENDPOINT = {name: fault for name, fault in FAULTS.items() if name not in FIELDS and not fault.is_slow}


@pytest.mark.parametrize("fault", OF_ANY_ENDPOINT.values(), ids=OF_ANY_ENDPOINT)
def test_bad_metadata_are_a_typed_error_and_are_asked_for_again(
    world: World, provider: FaultyProvider, app: Client, fault: Fault
) -> None:
    signed_in = sign_in(app, provider)
    provider.metadata_answer = fault.answer(provider)
    app.application._context.metadata.clear()
    asked = len(provider.token_requests)
    assert refused(app, signed_in, fault.error).code == fault.code
    assert len(provider.token_requests) == asked
    assert app.acquire_token_silent(READ, signed_in.account).access_token == signed_in.access_token
    provider.metadata_answer = provider.describe
    world.clock.advance(HOUR + 1)  # beyond any Retry-After
    renewed = app.acquire_token_silent(READ, signed_in.account, force_refresh=True)
    assert renewed.access_token != signed_in.access_token


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_nobody_follows_it(
    world: World, provider: FaultyProvider, app: Client, status: int
) -> None:
    """RFC 9700, section 4.12: what follows a redirect sends the refresh token to whoever it names."""
    signed_in = sign_in(app, provider)
    asked = len(provider.token_requests)
    with serving(reply()) as target:
        provider.answer = reply(status=f"{status} X", headers=f"Location: {target.url()}\r\n")
        error = refused(app, signed_in, warmtoken.ServiceError)
        assert (error.code, target.connections) == ("http_status_not_200", 0)
    assert len(provider.token_requests) == asked + 1
    assert app.acquire_token_silent(READ, signed_in.account).access_token == signed_in.access_token


@pytest.mark.parametrize(
    ("changes", "lifetime"),
    [
        pytest.param({"expires_in": 10**12}, 90 * 24 * HOUR, id="a lifetime of 30,000 years is cut to 90 days"),
        pytest.param({"expires_in": "1800"}, 1800, id="a lifetime as text"),
        pytest.param({"expires_in": ...}, 300, id="no lifetime is five minutes"),
        pytest.param({"x" * 1000: {"a": [1, None, {}]}}, HOUR, id="fields that nobody knows"),
        pytest.param({"token_type": "bEaReR"}, HOUR, id="a token type in another case"),
    ],
)
def test_an_odd_reply_that_says_all_it_must_is_taken(
    world: World, provider: FaultyProvider, app: Client, changes: dict[str, Any], lifetime: int
) -> None:
    signed_in = sign_in(app, provider)
    provider.answer = fields(**changes)(provider)
    before = int(world.clock.time())
    renewed = app.acquire_token_silent(READ, signed_in.account, force_refresh=True)
    assert before <= renewed.expires_on - lifetime <= world.clock.time()
    assert app.acquire_token_silent(READ, signed_in.account).access_token == renewed.access_token


def test_bytes_after_the_end_of_a_reply_are_no_part_of_it_and_cost_one_connection_at_most(
    world: World, provider: FaultyProvider, app: Client
) -> None:
    signed_in = sign_in(app, provider)
    granted = json.dumps(provider.tokens()).encode()
    provider.answer = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + granted)
    assert refused(app, signed_in, warmtoken.ProtocolError).code == "non_parsable_oauth_error"
    provider.answer = provider.grant
    with suppress(TransportError):  # the rest was taken for the beginning of this reply, which is no HTTP
        app.acquire_token_silent(READ, signed_in.account, force_refresh=True)
    renewed = app.acquire_token_silent(READ, signed_in.account, force_refresh=True)
    assert renewed.access_token != signed_in.access_token


def test_sixty_four_callers_meet_a_fault_with_one_request(
    world: World, provider: FaultyProvider, app: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = sign_in(app, provider)
    asked, waiters = len(provider.token_requests), Waiters(monkeypatch)

    def reset_when_all_are_here(sock: socket.socket) -> None:
        waiters.expect(63)
        reset(b"HTTP/1.1 200 OK\r\n")(sock)

    provider.answer = reset_when_all_are_here
    world.clock.advance(HOUR)
    errors = at_once(world, lambda: app.application.acquire_token_silent(READ, signed_in.account), 64)
    assert {(type(error), error.code) for error in errors} == {(TransportError, "connection_failed")}
    assert len(provider.token_requests) == asked + 2  # it is sent once more


def at_once(world: World, call: Callable[[], Any], count: int) -> list[Any]:
    """Call in as many threads or tasks, and return what each raised."""
    if world.mode == "async":
        import asyncio

        async def together() -> list[Any]:
            return await asyncio.gather(*(call() for _ in range(count)), return_exceptions=True)

        errors: list[Any] = world.run(together)
        return errors

    with ThreadPoolExecutor(count) as pool:
        return [future.exception() for future in [pool.submit(call) for _ in range(count)]]


# --- TLS ---


@pytest.fixture
def own_transport(world: World, provider: FaultyProvider) -> Iterator[Client]:
    """An application whose transport reads the settings of TLS anew."""
    module = warmtoken if world.mode == "sync" else warmtoken.aio
    made = module.PublicClientApplication("cli", authority=provider.issuer, cache=world.cache)
    yield Client(made, world.run)
    world.run(made.close if world.mode == "sync" else made.aclose)


@pytest.mark.parametrize(
    ("address", "days_left", "trusted"),
    [
        pytest.param("127.0.0.1", 1, False, id="self-signed"),
        pytest.param("127.0.0.2", 1, True, id="another host's"),
        pytest.param("127.0.0.1", -1, True, id="expired"),
    ],
)
def test_a_certificate_that_is_not_right_gets_no_request(
    provider: FaultyProvider,
    own_transport: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    days_left: int,
    trusted: bool,
) -> None:
    certificate = make_certificate(tmp_path, address, days_left=days_left)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    signed_in = sign_in(own_transport, provider)
    with serving(reply(), server_context(certificate)) as other:
        move_token_endpoint(provider, own_transport, other, "https")
        error = refused(own_transport, signed_in, TransportError)
        assert other.requests == []
    assert (error.code, "CERTIFICATE_VERIFY_FAILED" in error.message) == ("connection_failed", True)


def test_a_greeting_of_tls_that_nobody_answers_ends_in_time(
    provider: FaultyProvider, own_transport: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = sign_in(own_transport, provider)
    with serving(reply()) as other:  # it waits for the end of a request
        move_token_endpoint(provider, own_transport, other, "https")
        monkeypatch.setattr(sending, "HTTP_TIMEOUT", 0.5)
        assert refused(own_transport, signed_in, TransportError).code == "request_timeout"


@pytest.mark.parametrize(
    "scheme", ["https", "http"], ids=["plain HTTP where TLS is spoken", "TLS where HTTP is spoken"]
)
def test_the_wrong_protocol_on_a_port_is_no_connection(
    provider: FaultyProvider, own_transport: Client, tmp_path: Path, scheme: str
) -> None:
    context = server_context(make_certificate(tmp_path)) if scheme == "http" else None
    signed_in = sign_in(own_transport, provider)
    with serving(reply(), context) as other:
        # The greeting of TLS ends with no empty line: an HTTP server would wait for the rest of it for ever.
        other.answer = reply(status="400 X")
        move_token_endpoint(provider, own_transport, other, scheme)
        threading.Timer(0.3, other.close).start()
        assert refused(own_transport, signed_in, TransportError).code == "connection_failed"


def move_token_endpoint(provider: FaultyProvider, app: Client, other: Server, scheme: str) -> None:
    """Let the provider's metadata name another server, and the application read them again."""
    provider.token_endpoint = f"{scheme}://127.0.0.1:{other.port}/token"
    app.application._context.metadata.clear()


def test_a_connection_that_is_refused_is_told(provider: FaultyProvider, app: Client) -> None:
    signed_in = sign_in(app, provider)
    with serving(reply()) as other:
        move_token_endpoint(provider, app, other, "http")
    error = refused(app, signed_in, TransportError)
    assert (error.code, "Connection refused" in error.message) == ("connection_failed", True)
    assert app.acquire_token_silent(READ, signed_in.account).access_token == signed_in.access_token


# --- time and memory ---


class Patient:
    """A transport that notes how long it may take, and takes some of it."""

    def __init__(self, replies: list[HttpResponse]) -> None:
        self._replies = replies
        self.timeouts: list[float] = []

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        self.timeouts.append(timeout)
        return self._replies.pop(0)


def test_all_requests_of_a_call_have_thirty_seconds_together(tmp_path: Path) -> None:
    with faulty_provider(Clock()) as provider:
        described = HttpResponse(200, {}, json.dumps(provider.metadata()).encode())
        patient = Patient([described, HttpResponse(500), HttpResponse(500)])
        cache = warmtoken.TokenCache(tmp_path / "cache", key=KEY)
        app = warmtoken.PublicClientApplication("cli", authority=provider.issuer, cache=cache, transport=patient)
        with pytest.raises(warmtoken.ServiceError):
            app.acquire_token_by_refresh_token("rt", READ)
    first, *rest = patient.timeouts
    assert first == 30.0
    assert rest
    assert all(0 < timeout < 30.0 for timeout in rest)


@pytest.mark.skipif(SCALE.name == "pr", reason="half a minute: by night")
def test_thirty_seconds_are_thirty_seconds(provider: FaultyProvider, app: Client) -> None:
    signed_in = sign_in(app, provider)
    provider.answer = FAULTS["one byte a second"].answer(provider)
    began = time.monotonic()
    assert refused(app, signed_in, TransportError).code == "request_timeout"
    assert 29 < time.monotonic() - began < 35


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps what was freed")
@pytest.mark.parametrize("mode", get_args(Mode))
def test_large_replies_take_no_memory(mode: Mode, tmp_path: Path) -> None:
    """In a process of its own: what is resident at most during each bad reply, against what was before."""
    with faulty_provider(Clock()) as provider:
        process = start("large_replies.py", mode, provider.issuer, tmp_path / "cache")
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        grown = {}
        for name, fault in LARGE.items():
            provider.answer = fault.answer(provider)
            process.stdin.write("refresh\n")
            process.stdin.flush()
            code, grown[name] = json.loads(process.stdout.readline())
            assert code == fault.code
        finish(process)
    print(f"{mode}: RSS grew by", {name: f"{size / (1 << 20):.1f} MiB" for name, size in grown.items()})
    assert {name: size for name, size in grown.items() if size > RSS_GROWTH} == {}
