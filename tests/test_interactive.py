from __future__ import annotations

import gc
import http.client
import os
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest

from warmtoken import interactive
from warmtoken.errors import ClientError
from warmtoken.interactive import LoopbackReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATE = "s3cr3t-state"
GOOD = {"code": "the-code", "state": STATE}
XSS = "<script>alert(1)</script>"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection is closed for its slowness, and none soon after its page: the machine may be slow."""
    for name in ("_CONNECTION_SECONDS", "_LINGER_SECONDS"):
        monkeypatch.setattr(interactive, name, 60.0)


@pytest.fixture
def receiver() -> Iterator[LoopbackReceiver]:
    with LoopbackReceiver(state=STATE) as receiver:
        yield receiver


def port_of(receiver: LoopbackReceiver) -> int:
    port = urlsplit(receiver.redirect_uri).port
    assert port is not None
    return port


def fetch(
    receiver: LoopbackReceiver,
    target: str,
    *,
    method: str = "GET",
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(receiver), timeout=60)
    try:
        connection.request(method, target, body, headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()
    finally:
        connection.close()


def raw(receiver: LoopbackReceiver, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port_of(receiver)), timeout=60) as sock:
        sock.sendall(request)
        received = b""
        while data := sock.recv(65536):
            received += data
        return received


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def assert_still_waiting(receiver: LoopbackReceiver) -> None:
    """The good redirect still gets through."""
    assert fetch(receiver, "/?" + urlencode(GOOD))[0] == 200
    assert receiver.wait(60) == GOOD


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_get_redirect_is_returned_with_all_its_parameters(receiver: LoopbackReceiver) -> None:
    sent = {**GOOD, "iss": "https://idp.example/ü", "session_state": ""}
    status, _, page = fetch(receiver, "/?" + urlencode(sent))
    assert status == 200
    assert "Signed in" in page
    assert receiver.wait(60) == sent


def test_form_post_redirect_is_returned(receiver: LoopbackReceiver) -> None:
    content_type = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert fetch(receiver, "/", method="POST", body=urlencode(GOOD), headers=content_type)[0] == 200
    assert receiver.wait(60) == GOOD


def test_error_redirect_is_returned_with_the_failure_page(receiver: LoopbackReceiver) -> None:
    sent = {"error": "access_denied", "error_description": XSS, "state": STATE}
    status, _, page = fetch(receiver, "/?" + urlencode(sent))
    assert (status, "Sign-in failed" in page, "access_denied" in page) == (200, True, False)
    assert receiver.wait(60) == sent


def test_browser_may_be_answered_before_anyone_waits(receiver: LoopbackReceiver) -> None:
    """A browser launch that blocks until the page is closed does not deadlock (T18)."""
    assert_still_waiting(receiver)
    assert receiver.wait(0) == GOOD


def test_redirect_split_into_single_bytes(receiver: LoopbackReceiver) -> None:
    request = f"GET /?{urlencode(GOOD)} HTTP/1.1\r\nHost: 127.0.0.1:{port_of(receiver)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port_of(receiver)), timeout=60) as sock:
        for byte in request:
            sock.sendall(bytes([byte]))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert receiver.wait(60) == GOOD


def test_whole_page_is_there_after_close() -> None:
    """The page is complete even if the program closes the receiver as soon as it has the redirect."""
    for _ in range(20):
        with LoopbackReceiver(state=STATE) as receiver:
            closer = in_thread(lambda receiver=receiver: (receiver.wait(60), receiver.close()))  # type: ignore[misc]
            status, headers, page = fetch(receiver, "/?" + urlencode(GOOD))
            closer.join()
        assert status == 200
        assert len(page.encode()) == int(headers["content-length"])


@pytest.mark.parametrize("payload", [XSS, '"><img src=x onerror=alert(1)>', "javascript:alert(1)", "\r\nX-Injected: 1"])
@pytest.mark.parametrize("good_state", [True, False])
def test_nothing_of_the_request_is_echoed(receiver: LoopbackReceiver, payload: str, *, good_state: bool) -> None:
    names = ("code", "error", "error_description", "error_uri", "iss", payload)
    sent = {**dict.fromkeys(names, payload), "state": STATE if good_state else payload}
    status, headers, page = fetch(receiver, "/?" + urlencode(sent))
    assert status == (200 if good_state else 400)
    assert payload.strip() not in page
    assert "alert" not in page
    assert "x-injected" not in headers
    assert payload.strip() not in str(headers)


def test_pages_carry_the_security_headers(receiver: LoopbackReceiver) -> None:
    for target in ("/favicon.ico", "/?state=wrong", "/?" + urlencode(GOOD)):
        _, headers, page = fetch(receiver, target)
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search(r"<script|<style|style=|src=|href=|on\w+=", page)


@pytest.mark.parametrize(
    "query",
    [
        "code=c",
        "",
        "code=c&state=",
        "code=c&state=wrong",
        "code=c&state=" + STATE[:-1],
        "code=c&state=" + STATE + "x",
        "code=c&state=%ff",
        "code=c&state=" + STATE.upper(),
        "code=c&state=" + STATE + "&state=" + STATE,
        "code=c&state=wrong&state=" + STATE,
        "code=c&code=d&state=" + STATE,
        "&".join(f"p{i}=1" for i in range(40)) + "&state=" + STATE,
    ],
)
def test_forged_redirect_is_refused_and_the_wait_goes_on(receiver: LoopbackReceiver, query: str) -> None:
    assert fetch(receiver, "/?" + query)[0] == 400
    assert_still_waiting(receiver)


@pytest.mark.parametrize("target", ["/favicon.ico", "//", "/callback", "/%2e", "/index.html"])
def test_other_paths_are_not_found(receiver: LoopbackReceiver, target: str) -> None:
    assert fetch(receiver, target + "?" + urlencode(GOOD))[0] == 404
    assert_still_waiting(receiver)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_refused(receiver: LoopbackReceiver, method: str) -> None:
    status, headers, _ = fetch(receiver, "/?" + urlencode(GOOD), method=method)
    assert (status, headers["allow"]) == (405, "GET, POST")
    assert_still_waiting(receiver)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost", ""])
def test_foreign_host_header_is_refused(receiver: LoopbackReceiver, host: str) -> None:
    """DNS rebinding: the page's own name now resolves to 127.0.0.1 (T18)."""
    headers = {"Host": host.format(port=port_of(receiver))}
    assert fetch(receiver, "/?" + urlencode(GOOD), headers=headers)[0] == 400
    assert_still_waiting(receiver)


def test_localhost_host_header_is_accepted(receiver: LoopbackReceiver) -> None:
    headers = {"Host": f"localhost:{port_of(receiver)}"}
    assert fetch(receiver, "/?" + urlencode(GOOD), headers=headers)[0] == 200
    assert receiver.wait(60) == GOOD


@pytest.mark.parametrize(
    ("headers", "target", "status"),
    [
        ({"Content-Type": "application/json"}, "/", 415),
        ({"Content-Type": "text/plain"}, "/", 415),
        ({}, "/", 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "/?" + urlencode(GOOD), 400),
    ],
)
def test_post_that_is_no_form_post_is_refused(
    receiver: LoopbackReceiver, headers: dict[str, str], target: str, status: int
) -> None:
    assert fetch(receiver, target, method="POST", body=urlencode(GOOD), headers=headers)[0] == status
    assert_still_waiting(receiver)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /?state=s3cr3t-state HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET /?state=s3cr3t-state HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 400),
        (b"GET /?state=s3cr3t-state HTTP/1.1\r\nHost : HOST\r\n\r\n", 400),
        (b"GET /?state=s3cr3t-state HTTP/1.1\r\nA: b\r\n c\r\nHost: HOST\r\n\r\n", 400),
        (b"GET /?state=s3cr3t-state HTTP/1.1\r\nno colon\r\nHost: HOST\r\n\r\n", 400),
        (b"GET /?state=s3cr3t-state HTTP/2.0\r\nHost: HOST\r\n\r\n", 400),
        (b"GET /?state=s3cr3t-state\r\nHost: HOST\r\n\r\n", 400),
        (b"GET http://HOST/?state=s3cr3t-state HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        (b"GET /?state=s3cr3t-state&x=\xff HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 413),
        (b"GET /" + b"a" * 9000, 431),
        (b"GET / HTTP/1.1\r\nHost: HOST\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
    ],
)
def test_broken_request_is_refused(receiver: LoopbackReceiver, request_head: bytes, status: int) -> None:
    sent = request_head.replace(b"HOST", f"127.0.0.1:{port_of(receiver)}".encode())
    assert status_of(raw(receiver, sent)) == status
    assert_still_waiting(receiver)


@pytest.mark.usefixtures("patient")
def test_refusal_reaches_a_client_that_goes_on_sending(receiver: LoopbackReceiver) -> None:
    with socket.create_connection(("127.0.0.1", port_of(receiver)), timeout=60) as sock:
        sock.sendall(b"GET /" + b"a" * 9000)
        assert sock.recv(12) == b"HTTP/1.1 431"
        for _ in range(20):
            sock.sendall(b"a" * 5000)
            time.sleep(0.005)
        rest = b""
        while data := sock.recv(65536):
            rest += data
    assert rest.endswith(b"</html>\n")
    assert_still_waiting(receiver)


@pytest.mark.usefixtures("patient")
def test_good_redirect_gets_through_garbage_and_slow_connections(receiver: LoopbackReceiver) -> None:
    """T19: 100 connections of garbage and 100 that never finish do not stop or delay the redirect."""
    address = ("127.0.0.1", port_of(receiver))
    sockets = [socket.create_connection(address, timeout=60) for _ in range(100)]
    try:
        for sock in sockets:
            sock.sendall(b"GET /?code=")
        for _ in range(100):
            with socket.create_connection(address, timeout=60) as sock:
                sock.sendall(os.urandom(200))
        started = time.monotonic()
        assert fetch(receiver, "/?" + urlencode(GOOD))[0] == 200
        assert receiver.wait(60) == GOOD
        assert time.monotonic() - started < 50  # before the first of them is closed for its slowness
    finally:
        for sock in sockets:
            sock.close()


def test_a_connection_is_closed_after_five_seconds_even_if_it_drips(receiver: LoopbackReceiver) -> None:
    with socket.create_connection(("127.0.0.1", port_of(receiver)), timeout=0.2) as sock:
        started = time.monotonic()
        sock.sendall(b"GET /?a=")
        while time.monotonic() - started < 60:
            try:
                sock.sendall(b"x")
                if sock.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 4 < time.monotonic() - started < 60
    assert_still_waiting(receiver)


@pytest.mark.usefixtures("patient")
def test_at_most_32_connections_are_held(receiver: LoopbackReceiver) -> None:
    """The oldest gives way to the newest."""
    address = ("127.0.0.1", port_of(receiver))
    sockets = [socket.create_connection(address, timeout=60) for _ in range(40)]
    try:
        assert sockets[0].recv(1) == b""
        assert sockets[7].recv(1) == b""
        sockets[8].settimeout(0.3)
        with pytest.raises(TimeoutError):
            sockets[8].recv(1)
    finally:
        for sock in sockets:
            sock.close()


def test_wait_ends_at_the_deadline(receiver: LoopbackReceiver) -> None:
    started = time.monotonic()
    with pytest.raises(ClientError, match=r"within 0\.3 seconds") as caught:
        receiver.wait(0.3)
    assert caught.value.code == "authentication_timeout"
    assert 0.3 <= time.monotonic() - started < 30


def test_close_from_another_thread_wakes_wait(receiver: LoopbackReceiver) -> None:
    codes: list[str] = []

    def wait() -> None:
        try:
            receiver.wait(60)
        except ClientError as error:
            codes.append(error.code)

    waiter = in_thread(wait)
    started = time.monotonic()
    closers = [in_thread(receiver.close) for _ in range(8)]
    for thread in [*closers, waiter]:
        thread.join()
    assert codes == ["authentication_canceled"]
    assert time.monotonic() - started < 30
    with pytest.raises(ClientError, match="authentication_canceled"):
        receiver.wait(1)


def open_descriptors() -> set[tuple[str, str]]:
    """The number of each descriptor and what it is of, but for the one that reads the list."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add((link.name, str(link.readlink())))
    return found


def test_close_frees_the_port_its_thread_and_its_sockets() -> None:
    gc.collect()
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    with LoopbackReceiver(state=STATE) as receiver, socket.create_connection(("127.0.0.1", port_of(receiver))):
        port = port_of(receiver)
        assert fetch(receiver, "/favicon.ico")[0] == 404
        receiver.close()
        receiver.close()
    assert set(threading.enumerate()) <= threads
    assert open_descriptors() <= descriptors
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_replayed_redirect_finds_nobody(receiver: LoopbackReceiver) -> None:
    """State is for one use: the port is shut with the first good redirect (T16)."""
    assert_still_waiting(receiver)
    with pytest.raises(ConnectionError):
        fetch(receiver, "/?" + urlencode(GOOD))


@pytest.mark.usefixtures("patient")
def test_second_redirect_on_an_open_connection_is_refused(receiver: LoopbackReceiver) -> None:
    with socket.create_connection(("127.0.0.1", port_of(receiver)), timeout=60) as early:
        early.sendall(b"GET /?code=other&state=" + STATE.encode())
        assert_still_waiting(receiver)
        early.sendall(f" HTTP/1.1\r\nHost: 127.0.0.1:{port_of(receiver)}\r\n\r\n".encode())
        assert status_of(early.recv(65536)) == 400
    assert receiver.wait(0) == GOOD


def test_port_is_bound_exclusively_and_on_loopback_only(receiver: LoopbackReceiver) -> None:
    with socket.socket() as second, pytest.raises(OSError, match="in use"):
        second.bind(("127.0.0.1", port_of(receiver)))
    with socket.socket() as other:
        other.bind(("127.0.0.2", port_of(receiver)))  # a wildcard listener would own this one as well


@pytest.mark.parametrize(
    ("path", "advertise", "pattern"),
    [
        ("/", None, r"http://127\.0\.0\.1:\d+/"),
        ("/cb/x", None, r"http://127\.0\.0\.1:\d+/cb/x"),
        ("/", "localhost", r"http://localhost:\d+/"),
        ("", "localhost", r"http://localhost:\d+"),
    ],
)
def test_redirect_uri(path: str, advertise: str | None, pattern: str) -> None:
    with LoopbackReceiver(state=STATE, path=path, advertise=advertise) as receiver:
        assert re.fullmatch(pattern, receiver.redirect_uri)
        assert fetch(receiver, (path or "/") + "?" + urlencode(GOOD))[0] == 200
        assert receiver.wait(60) == GOOD


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_loopback() -> None:
    try:
        receiver = LoopbackReceiver(state=STATE, host="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with receiver:
        assert re.fullmatch(r"http://\[::1\]:\d+/", receiver.redirect_uri)
        connection = http.client.HTTPConnection("::1", port_of(receiver), timeout=60)
        connection.request("GET", "/?" + urlencode(GOOD))
        assert connection.getresponse().status == 200
        connection.close()
        assert receiver.wait(60) == GOOD


@pytest.mark.parametrize(
    "arguments",
    [
        {"state": ""},
        {"host": "0.0.0.0"},
        {"host": "localhost"},
        {"advertise": "example.com"},
        {"path": "cb"},
        {"path": "/a?b"},
        {"path": "/a#b"},
        {"path": "/a b"},
        {"path": "/a\r\n"},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        LoopbackReceiver(**{"state": STATE, **arguments})
