from __future__ import annotations

import asyncio
import gc
import gzip
import os
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.fault_server import cut, drip, make_certificate, reply, server_context, serving
from support.world import eventually

import warmtoken.default_transport
from warmtoken.default_transport import AsyncDefaultTransport, DefaultTransport
from warmtoken.errors import ClientError, TransportError
from warmtoken.transport import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(warmtoken.default_transport.__file__).parents[1]
SECRET = "client_secret=hunter2"


@pytest.fixture(params=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Iterator[Callable[..., HttpResponse]]:
    """The same call on either transport; all calls of a test share one transport and one event loop."""
    if request.param == "sync":
        with DefaultTransport() as transport:
            yield transport.send
        return
    with asyncio.Runner() as runner:
        async_transport = AsyncDefaultTransport()
        yield lambda message, *, timeout: runner.run(async_transport.send(message, timeout=timeout))
        runner.run(async_transport.aclose())


def post(url: str) -> HttpRequest:
    return HttpRequest("POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, SECRET.encode())


def failure(send: Callable[..., HttpResponse], url: str, *, timeout: float = 60) -> TransportError:
    with pytest.raises(TransportError) as caught:
        send(post(url), timeout=timeout)
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert "query=q" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_reply_has_status_lower_case_headers_and_body(send: Callable[..., HttpResponse]) -> None:
    headers = "X-Request-ID: 7\r\nSet-Cookie: a=b\r\nCache-Control: no-store\r\ncache-control: private\r\n"
    with serving(reply(b'{"a": 1}', headers=headers)) as server:
        response = send(post(server.url()), timeout=60)
    assert (response.status, response.body) == (200, b'{"a": 1}')
    assert response.headers["x-request-id"] == "7"
    assert response.headers["cache-control"] == "no-store, private"
    assert all(name == name.lower() for name in response.headers)


def test_request_arrives_as_it_was_given(send: Callable[..., HttpResponse]) -> None:
    with serving(reply()) as server:
        send(post(server.url()), timeout=60)
        send(HttpRequest("GET", server.url(), {"user-agent": "mine"}), timeout=60)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /token?query=q HTTP/1.1\r\n")
        assert b"\r\nuser-agent: warmtoken/" in head.lower()
        assert b"\r\nContent-Type: application/x-www-form-urlencoded" in head
        assert body == SECRET.encode()
        assert b"\r\nuser-agent: mine" in server.requests[1].lower()
        assert b"warmtoken/" not in server.requests[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_returned_and_not_followed(send: Callable[..., HttpResponse], status: int) -> None:
    """T23."""
    with (
        serving(reply()) as target,
        serving(reply(status=f"{status} X", headers=f"Location: {target.url()}\r\n")) as server,
    ):
        response = send(post(server.url()), timeout=60)
        assert (response.status, response.headers["location"]) == (status, target.url())
        assert (len(server.requests), len(target.requests)) == (1, 0)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_error_status_is_a_reply_and_sent_once(send: Callable[..., HttpResponse], status: int) -> None:
    with serving(reply(b"no", status=f"{status} X")) as server:
        assert send(post(server.url()), timeout=60) == HttpResponse(status, {"content-length": "2"}, b"no")
        assert len(server.requests) == 1


def test_two_requests_share_one_connection_and_no_cookie(send: Callable[..., HttpResponse]) -> None:
    with serving(reply(headers="Set-Cookie: session=1; Path=/\r\n")) as server:
        for _ in range(2):
            assert send(post(server.url()), timeout=60).status == 200
        assert server.connections == 1
        assert b"cookie" not in server.requests[1].lower()


def test_dead_kept_alive_connection_is_replaced(send: Callable[..., HttpResponse]) -> None:
    ended = threading.Semaphore(0)

    def answer(sock: socket.socket) -> None:
        reply()(sock)
        sock.shutdown(socket.SHUT_RDWR)
        ended.release()

    with serving(answer) as server:
        for _ in range(3):
            assert send(post(server.url()), timeout=60).status == 200
            assert ended.acquire(timeout=60)
        assert (server.connections, len(server.requests)) == (3, 3)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda sock: None, id="silence"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"), id="body"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nA: ", b"x"), id="header"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="informational"),
    ],
)
def test_deadline_is_over_the_whole_exchange(
    send: Callable[..., HttpResponse], answer: Callable[[socket.socket], object]
) -> None:
    with serving(answer) as server:
        started = time.monotonic()
        error = failure(send, server.url(), timeout=0.7)
        assert 0.6 < time.monotonic() - started < 30
        assert error.code == "request_timeout"
        assert f"127.0.0.1 port {server.port}" in str(error)
        assert "0.7 seconds" in str(error)


def test_timed_out_connection_is_not_used_again(send: Callable[..., HttpResponse]) -> None:
    met: list[socket.socket] = []  # the connection of each request that is answered

    def answer(sock: socket.socket) -> None:
        if sock not in met:
            met.append(sock)
            reply(b"%d" % len(met))(sock)

    with serving(answer) as server:
        assert send(post(server.url()), timeout=60).body == b"1"  # so that the next is sent at once
        assert failure(send, server.url(), timeout=0.3).code == "request_timeout"
        assert send(post(server.url()), timeout=60).body == b"2"
        assert server.connections == 2


def test_gzip_is_decoded(send: Callable[..., HttpResponse]) -> None:
    with serving(reply(gzip.compress(b"hello"), headers="Content-Encoding: gzip\r\n")) as server:
        assert send(post(server.url()), timeout=60).body == b"hello"


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1])
@pytest.mark.parametrize("encoding", ["", "Content-Encoding: gzip\r\n"])
def test_body_limit_is_one_mebibyte(send: Callable[..., HttpResponse], size: int, encoding: str) -> None:
    body = gzip.compress(bytes(size)) if encoding else bytes(size)
    with serving(reply(body, headers=encoding)) as server:
        if size == 1024 * 1024:
            assert len(send(post(server.url()), timeout=60).body) == size
        else:
            assert failure(send, server.url()).code == "response_too_large"


def test_gzip_bomb_takes_no_memory(send: Callable[..., HttpResponse]) -> None:
    bomb = gzip.compress(bytes(300 * 1024 * 1024), compresslevel=1)
    with serving(reply(headers="")) as server:
        send(post(server.url()), timeout=60)  # imports
    with serving(reply(bomb, headers="Content-Encoding: gzip\r\n")) as server:
        tracemalloc.start()
        try:
            error = failure(send, server.url())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert error.code == "response_too_large"
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            cut(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhal"), "closed the connection early", id="body"
        ),
        pytest.param(cut(b"HTTP/1.1 200 OK\r\nContent-"), "closed the connection early", id="header"),
        pytest.param(cut(b""), "closed the connection early", id="nothing"),
        pytest.param(cut(b"hunter2 query=q\r\n\r\n"), "not HTTP", id="garbage"),
        pytest.param(
            lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 40000 + b"\r\n"), "not HTTP", id="headers"
        ),
        pytest.param(reply(b"plain", headers="Content-Encoding: gzip\r\n"), "not compressed", id="encoding"),
    ],
)
def test_broken_reply_is_no_reply_and_not_repeated(
    send: Callable[..., HttpResponse], answer: Callable[[socket.socket], object], words: str
) -> None:
    with serving(answer) as server:
        error = failure(send, server.url())
        assert error.code == "connection_failed"
        assert f"127.0.0.1 port {server.port}" in str(error)
        assert words in str(error)
        assert len(server.requests) == 1


def test_refused_connection_says_so(send: Callable[..., HttpResponse]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    error = failure(send, f"http://127.0.0.1:{port}/token?query=q")
    assert error.code == "connection_failed"
    assert error.message == f"127.0.0.1 port {port}: no connection: Connection refused"


def test_unknown_name_says_so(send: Callable[..., HttpResponse]) -> None:
    error = failure(send, "https://no-such-host.invalid/token?query=q", timeout=60)
    assert error.code == "connection_failed"
    assert "no-such-host.invalid port 443: no connection: " in str(error)


@pytest.mark.parametrize("host", ["tenantxn--", "_xn--tenant"])
def test_a_host_that_cannot_be_a_name_is_no_connection(send: Callable[..., HttpResponse], host: str) -> None:
    """A provider's metadata may name any."""
    error = failure(send, f"https://{host}/token?query=q")
    assert (error.code, error.message) == ("connection_failed", f"{host} port 443: no connection: the host is no name")


@pytest.mark.parametrize("trusted", [False, True])
def test_certificate_must_be_trusted(
    send: Callable[..., HttpResponse], trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE, read at the first request, names whom to trust."""
    certificate = make_certificate(tmp_path)
    context = server_context(certificate)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(reply(), context) as server:
        url = server.url().replace("http:", "https:")
        if trusted:
            assert send(post(url), timeout=60).status == 200
        else:
            error = failure(send, url)
            assert error.code == "connection_failed"
            assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        assert len(server.requests) == trusted


@pytest.mark.parametrize("excepted", [False, True])
def test_a_proxy_of_the_environment_is_used(
    send: Callable[..., HttpResponse], monkeypatch: pytest.MonkeyPatch, excepted: bool
) -> None:
    with serving(reply(b"proxy")) as proxy, serving(reply(b"direct")) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1" if excepted else "other.example")
        assert send(post(server.url()), timeout=60).body == (b"direct" if excepted else b"proxy")
        assert (len(proxy.requests), len(server.requests)) == (not excepted, excepted)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HTTPS_PROXY", "http://user:hunter2@proxy:port", "HTTPS_PROXY"),
        ("ALL_PROXY", "gopher://user:hunter2@proxy:1", "ALL_PROXY"),
        ("HTTPS_PROXY", "socks5://user:hunter2@127.0.0.1:1", "HTTPS_PROXY"),  # for which an extra is missing
        ("SSL_CERT_FILE", "/nonexistent/bundle.pem", "SSL_CERT_FILE"),
        ("SSL_CERT_FILE", "/dev/null", "SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_is_said(
    send: Callable[..., HttpResponse], monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    error = failure(send, "https://127.0.0.1:1/token")
    assert error.code == "connection_failed"
    assert said in str(error)


def test_tls_failure_says_so(send: Callable[..., HttpResponse]) -> None:
    with serving(reply()) as server:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer_once, args=(listener, b"this is not TLS\r\n"))
        thread.start()
        error = failure(send, f"https://127.0.0.1:{listener.getsockname()[1]}/token?query=q")
        thread.join()
        listener.close()
        assert server.connections == 0
    assert error.code == "connection_failed"
    assert "SSL" in str(error)


@pytest.mark.parametrize("by_proxy", [False, True])
def test_a_handshake_that_is_given_up_closes_its_connection(
    send: Callable[..., HttpResponse], monkeypatch: pytest.MonkeyPatch, by_proxy: bool
) -> None:
    hung_up = threading.Event()

    def hold(listener: socket.socket) -> None:
        with listener.accept()[0] as sock:
            if by_proxy:
                assert sock.recv(65536).startswith(b"CONNECT idp.example:443 ")
                sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while sock.recv(65536):
                pass
            hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        if by_proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
        thread = threading.Thread(target=hold, args=(listener,), daemon=True)
        thread.start()
        with serving(reply()) as other:
            send(post(other.url()), timeout=60)  # so that the next is begun at once
        gc.disable()  # it would close what was forgotten
        try:
            error = failure(send, f"https://{'idp.example' if by_proxy else place}/token?query=q", timeout=2)
            assert hung_up.wait(60)
        finally:
            gc.enable()
    assert error.code == "request_timeout"
    thread.join()


def _answer_once(listener: socket.socket, data: bytes) -> None:
    sock, _ = listener.accept()
    with sock:
        sock.recv(65536)
        sock.sendall(data)
        sock.recv(65536)


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http://127.0.0.1:99999/x", "http:///x", "ftp://a/x", "a", "http://a\nb/"]
)
def test_url_that_is_none_is_a_value_error(send: Callable[..., HttpResponse], url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        send(post(url), timeout=5)


def test_closed_transport_refuses() -> None:
    transport = DefaultTransport()
    transport.close()
    transport.close()
    with pytest.raises(ClientError, match="transport_closed"):
        transport.send(post("http://127.0.0.1:1/"), timeout=5)

    async def closed() -> None:
        async with AsyncDefaultTransport() as transport:
            pass
        await transport.aclose()
        with pytest.raises(ClientError, match="transport_closed"):
            await transport.send(post("http://127.0.0.1:1/"), timeout=5)

    asyncio.run(closed())


def test_close_ends_a_request_under_way() -> None:
    with serving(lambda sock: None) as server:
        transport = DefaultTransport()
        codes: list[str] = []

        def work() -> None:
            try:
                transport.send(post(server.url()), timeout=60)
            except ClientError as error:
                codes.append(error.code)

        thread = threading.Thread(target=work)
        thread.start()
        eventually(lambda: server.requests)
        transport.close()
        thread.join(60)
    assert codes == ["transport_closed"]


@pytest.mark.filterwarnings("ignore:.*BaseEventLoop.__del__")  # CPython's complaint of its own half-made loop
def test_without_a_free_descriptor_there_is_no_connection_and_with_one_there_is() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    errors: list[str] = []

    def work() -> None:
        try:
            transport.send(post("http://127.0.0.1:1/"), timeout=5)
        except TransportError as error:
            errors.append(str(error))

    with DefaultTransport() as transport:
        thread = threading.Thread(target=work, daemon=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            thread.start()
            thread.join(60)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert errors == ["no event loop for the connection: Too many open files [connection_failed]"]
        with serving(reply()) as server:
            assert transport.send(post(server.url()), timeout=60).status == 200


def test_where_no_thread_can_be_started_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with serving(reply()) as server, DefaultTransport() as transport:
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", refuse)
            error = failure(transport.send, server.url())
        assert error.code == "connection_failed"
        assert transport.send(post(server.url()), timeout=60).status == 200


def test_threads_share_a_transport() -> None:
    statuses: list[int] = []
    with serving(reply()) as server, DefaultTransport() as transport:

        def work() -> None:
            statuses.extend(transport.send(post(server.url()), timeout=60).status for _ in range(10))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.connections <= 8
    assert statuses == [200] * 80


def test_sync_transport_works_under_a_running_event_loop() -> None:
    async def main(url: str) -> int:
        return transport.send(post(url), timeout=60).status

    with serving(reply()) as server, DefaultTransport() as transport:
        assert asyncio.run(main(server.url())) == 200


def test_collected_transport_leaves_no_thread_and_no_descriptor() -> None:
    with serving(reply()) as server:
        with DefaultTransport() as warm_up:
            warm_up.send(post(server.url()), timeout=60)
        gc.collect()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        before = set(threading.enumerate())
        transport = DefaultTransport()
        transport.send(post(server.url()), timeout=60)
        (worker,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "warmtoken-http")
        del transport
        gc.collect()
        assert not worker.is_alive()
        # The server's end of the connection is closed by another thread.
        eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= descriptors)


def test_interrupted_request_gives_its_connection_up() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    hung_up = threading.Event()

    def answer(sock: socket.socket) -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        if sock.recv(1) == b"":
            hung_up.set()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with serving(answer) as server, DefaultTransport() as transport:
            with pytest.raises(KeyboardInterrupt):
                transport.send(post(server.url()), timeout=60)
            assert hung_up.wait(60)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_one_async_transport_serves_several_event_loops() -> None:
    """Each asyncio.run leaves nothing open, without a call to aclose."""
    transport = AsyncDefaultTransport()

    async def main(url: str) -> list[int]:
        return [(await transport.send(post(url), timeout=60)).status for _ in range(2)]

    with serving(reply()) as server:
        for _ in range(3):
            assert asyncio.run(main(server.url())) == [200, 200]
            gc.collect()
        assert server.connections == 3


def test_concurrent_first_requests_make_one_client() -> None:
    transport = AsyncDefaultTransport()

    async def main(url: str) -> list[int]:
        replies = await asyncio.gather(*(transport.send(post(url), timeout=60) for _ in range(5)))
        return [reply.status for reply in replies]

    with serving(reply()) as server:
        assert asyncio.run(main(server.url())) == [200] * 5
    gc.collect()


def test_cancelled_task_closes_its_connection() -> None:
    async def main(url: str) -> None:
        async with AsyncDefaultTransport() as transport:
            task = asyncio.create_task(transport.send(post(url), timeout=60))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(lambda sock: None) as server:
        asyncio.run(main(server.url()))
    gc.collect()


FORK = """
import os, sys
from warmtoken.default_transport import AsyncDefaultTransport, DefaultTransport
from warmtoken.transport import HttpRequest
transport, url = DefaultTransport(), sys.argv[1]
def ask():
    return transport.send(HttpRequest("GET", url), timeout=60).body.decode()
print("parent", ask(), flush=True)
pid = os.fork()
if pid == 0:
    print("child", ask(), ask(), flush=True)
    transport.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print("parent", ask(), flush=True)
if os.fork() == 0:
    os._exit(3)
os.wait()
transport.close()
"""

ASYNC_FORK = """
import asyncio, os, sys
from warmtoken.default_transport import AsyncDefaultTransport
from warmtoken.transport import HttpRequest
transport, url = AsyncDefaultTransport(), sys.argv[1]
async def ask():
    return (await transport.send(HttpRequest("GET", url), timeout=60)).body.decode()
async def main():
    print("parent", await ask(), flush=True)
    pid = os.fork()
    if pid == 0:
        print("child", *asyncio.run(twice()), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print("parent", await ask(), flush=True)
async def twice():
    return [await ask(), await ask()]
asyncio.run(main())
"""


IDLE_LOOP_FORK = """
import asyncio, gc, os, sys
from warmtoken.default_transport import AsyncDefaultTransport
from warmtoken.transport import HttpRequest
transport, url = AsyncDefaultTransport(), sys.argv[1]
async def ask():
    return (await transport.send(HttpRequest("GET", url), timeout=60)).body.decode()
async def twice():
    return [await ask(), await ask()]
loop = asyncio.new_event_loop()
print("parent", loop.run_until_complete(ask()), flush=True)
pid = os.fork()
if pid == 0:
    gc.collect()
    print("child", *asyncio.run(twice()), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print("parent", loop.run_until_complete(ask()), flush=True)
loop.run_until_complete(transport.aclose())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
"""


@pytest.mark.parametrize("program", [FORK, ASYNC_FORK, IDLE_LOOP_FORK], ids=["sync", "async", "idle loop"])
def test_child_has_connections_of_its_own_and_leaves_the_parents_alone(program: str) -> None:
    """The reply names the connection: parent 1, child 2 2, parent 1 again."""
    names: dict[int, int] = {}

    def answer(sock: socket.socket) -> None:
        number = names.setdefault(id(sock), len(names) + 1)
        reply(str(number).encode())(sock)

    with serving(answer) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program), server.url()],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.stdout == "parent 1\nchild 2 2\nparent 1\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_unclosed_transport_ends_with_the_program_without_a_warning() -> None:
    program = """
    import logging, sys
    from warmtoken.default_transport import DefaultTransport
    from warmtoken.transport import HttpRequest
    # Development mode says how slow a machine is, too.
    logging.getLogger("asyncio").addFilter(lambda record: record.msg != "Executing %s took %.3f seconds")
    transport = DefaultTransport()
    print(transport.send(HttpRequest("GET", sys.argv[1]), timeout=60).status)
    """
    with serving(reply()) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-X", "dev", "-c", textwrap.dedent(program), server.url()],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.stdout, done.stderr, done.returncode) == ("200\n", "", 0)


def test_import_loads_nothing_heavy() -> None:
    program = (
        "import sys, warmtoken.default_transport\n"
        "print([m for m in ('asyncio', 'httpx2', 'ssl', 'http.client') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
