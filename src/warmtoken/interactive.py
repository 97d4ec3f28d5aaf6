"""The loopback redirect receiver: where the browser brings the answer of an authorization request."""

from __future__ import annotations

import hmac
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from warmtoken.errors import ClientError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_HEAD_LIMIT = 8 * 1024  # request line and headers, bytes
_BODY_LIMIT = 16 * 1024  # a form_post body, bytes
_FIELD_LIMIT = 32  # parameters of one redirect
_CONNECTION_LIMIT = 32
_CONNECTION_SECONDS = 5.0
_LINGER_SECONDS = 1.0  # how long the browser may take to close after it has the whole page
_BACKLOG = 128

_HOSTS = frozenset({"127.0.0.1", "::1"})
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
}


def _page(title: str, text: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n"
    ).encode()


# Nothing of a request is ever put into a page.
_SUCCESS_PAGE = _page("Signed in", "You can close this window and go back to the program.")
_FAILURE_PAGE = _page("Sign-in failed", "Go back to the program: it says why. You can close this window.")
_REFUSAL_PAGE = _page("Request refused", "This address answers one sign-in only, and this was not its redirect.")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    deadline: float
    received: bytearray = field(default_factory=bytearray)
    unsent: bytes = b""
    answered: bool = False
    redirect: dict[str, str] | None = None


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class LoopbackReceiver:
    """Receives the one redirect of an authorization request on the loopback interface (RFC 8252, section 7.3).

    It listens, on a free port, from the moment it is made until the redirect is there or `close` is called; a
    thread of its own answers, so the browser may be opened, and may even finish, before `wait` is called.
    `state` is the one-time state of the request; what comes without it is refused, and the wait goes on.
    `host` is "127.0.0.1" or "::1". `path` is the exact path that is served; "" leaves it out of `redirect_uri`.
    `advertise="localhost"` changes only the host in `redirect_uri`, for providers that register http://localhost.
    Raises ValueError for another host, path or advertised name, OSError if no port can be bound.
    """

    redirect_uri: str

    def __init__(self, *, state: str, host: str = "127.0.0.1", path: str = "/", advertise: str | None = None) -> None:
        _check_arguments(state=state, host=host, path=path, advertise=advertise)
        listener = _listen(host)
        port: int = listener.getsockname()[1]
        literal = f"[{host}]" if ":" in host else host
        self.redirect_uri = f"http://{advertise or literal}:{port}{path}"
        self._lock = threading.Lock()
        self._server = _Server(
            listener, state=state, path=path or "/", hosts=frozenset({f"{literal}:{port}", f"localhost:{port}"})
        )
        self._server.start()

    def wait(self, timeout: float) -> dict[str, str]:
        """Block until the redirect is there and return its parameters, at most `timeout` seconds.

        Raises ClientError "authentication_timeout" at the deadline, "authentication_canceled" once closed.
        """
        if not self._server.done.wait(timeout):
            raise ClientError(
                "authentication_timeout",
                f"no redirect of the sign-in came within {timeout:g} seconds; sign in again, and finish it in the"
                " browser in time, or use the device code flow",
            )
        redirect = self._server.redirect
        if redirect is None:
            raise ClientError("authentication_canceled", "the sign-in was canceled before its redirect came")
        return dict(redirect)

    def close(self) -> None:
        """Stop listening, free the port and wake `wait`; may be called from any thread, and more than once."""
        with self._lock:
            self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_arguments(*, state: str, host: str, path: str, advertise: str | None) -> None:
    if not state:
        raise ValueError("state must not be empty")
    if host not in _HOSTS:
        raise ValueError(f"host must be 127.0.0.1 or ::1, not {host!r}")
    if advertise not in (None, "localhost"):
        raise ValueError(f"advertise must be None or 'localhost', not {advertise!r}")
    unreserved = path.isascii() and path.isprintable() and not set(path) & set(' ?#"<>\\^`{|}')
    if path and not (path.startswith("/") and unreserved):
        raise ValueError(f"path must start with / and hold no query, fragment or space, not {path!r}")


def _listen(host: str) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Windows alone lets a second program bind the same port unless this is set.
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        listener.bind((host, 0))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class _Server:
    """The loop that serves the port; all but `start`, `stop`, `done` and `redirect` belong to its thread."""

    def __init__(self, listener: socket.socket, *, state: str, path: str, hosts: frozenset[str]) -> None:
        self.done = threading.Event()
        self.redirect: dict[str, str] | None = None
        self._listener = listener
        self._state = state.encode()
        self._path = path
        self._hosts = hosts
        self._stopping = False
        self._connections: list[_Connection] = []  # oldest first
        self._selector = selectors.DefaultSelector()
        self._wake_receive, self._wake_send = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="warmtoken-redirect", daemon=True)

    def start(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_receive, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._wake_send.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping and (self._connections or self._listening()):
                self._step()
        finally:
            for connection in list(self._connections):
                self._drop(connection)
            self._stop_listening()
            self._selector.close()
            self._wake_receive.close()
            self.done.set()

    def _step(self) -> None:
        deadlines = [connection.deadline for connection in self._connections]
        events = self._selector.select(max(0.0, min(deadlines) - time.monotonic()) if deadlines else None)
        for key, _ in events:
            if isinstance(key.data, _Connection):
                self._serve(key.data)
        # New ones come last: a redirect that is already here is read before it could be evicted.
        if any(key.fileobj is self._listener for key, _ in events) and self._listening():
            self._accept()
        now = time.monotonic()
        for connection in [connection for connection in self._connections if connection.deadline <= now]:
            self._drop(connection)

    def _listening(self) -> bool:
        return self._listener.fileno() >= 0

    def _stop_listening(self) -> None:
        if self._listening():
            self._selector.unregister(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        # Whoever floods the port evicts the oldest of the flood; the browser sends its request at once.
        if len(self._connections) >= _CONNECTION_LIMIT:
            self._drop(self._connections[0])
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # Out of file descriptors, or the peer went away: give one back and do not spin.
            if self._connections:
                self._drop(self._connections[0])
            time.sleep(0.05)
            return
        sock.setblocking(False)
        connection = _Connection(sock, time.monotonic() + _CONNECTION_SECONDS)
        self._connections.append(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _drop(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._deliver(connection)

    def _deliver(self, connection: _Connection) -> None:
        if connection.redirect is not None:
            self.redirect = connection.redirect
            self.done.set()

    def _serve(self, connection: _Connection) -> None:
        try:
            if connection.unsent:
                self._send(connection)
            else:
                self._receive(connection)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)

    def _receive(self, connection: _Connection) -> None:
        data = connection.sock.recv(_HEAD_LIMIT)
        if not data:
            self._drop(connection)
        elif not connection.answered:
            connection.received += data
            self._answer(connection)

    def _answer(self, connection: _Connection) -> None:
        try:
            request = _parse(bytes(connection.received))
            if request is None:
                return
            redirect = self._check(request)
        except _Refused as refusal:
            connection.unsent = _response(refusal.status, _REFUSAL_PAGE)
        else:
            connection.unsent = _response(200, _FAILURE_PAGE if "error" in redirect else _SUCCESS_PAGE)
            connection.redirect = redirect
            self._stop_listening()
        connection.answered = True
        self._selector.modify(connection.sock, selectors.EVENT_WRITE, connection)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        connection.unsent = connection.unsent[connection.sock.send(connection.unsent) :]
        if connection.unsent:
            return
        # The peer closes first: closing with bytes unread would reset the connection and take the page with it.
        connection.sock.shutdown(socket.SHUT_WR)
        self._selector.modify(connection.sock, selectors.EVENT_READ, connection)
        connection.deadline = min(connection.deadline, time.monotonic() + _LINGER_SECONDS)
        self._deliver(connection)

    def _check(self, request: _Request) -> dict[str, str]:
        # A page that rebinds its own name to 127.0.0.1 sends that name (RFC 8252, section 8.3).
        if request.headers.get("host", "").lower() not in self._hosts:
            raise _Refused(400)
        path, _, query = request.target.partition("?")
        if path != self._path:
            raise _Refused(404)
        parameters = _parameters(request, query)
        # RFC 6749, section 10.12; state is for one redirect only.
        if not hmac.compare_digest(parameters.get("state", "").encode(), self._state) or not self._listening():
            raise _Refused(400)
        return parameters


def _parse(received: bytes) -> _Request | None:
    """Return the request, or None as long as it is not complete."""
    head, separator, body = received.partition(b"\r\n\r\n")
    if len(head) > _HEAD_LIMIT:
        raise _Refused(431)
    if not separator:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0") or not words[1].startswith("/"):
        raise _Refused(400)
    headers = _headers(lines)
    length = _body_length(headers)
    return _Request(words[0], words[1], headers, body[:length]) if len(body) >= length else None


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        # A space before the colon or a folded line is smuggling (RFC 9112, section 5).
        if not colon or not name or name != name.strip():
            raise _Refused(400)
        if name.lower() in headers and name.lower() in ("host", "content-length", "content-type"):
            raise _Refused(400)
        headers[name.lower()] = value.strip()
    return headers


def _body_length(headers: dict[str, str]) -> int:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
        raise _Refused(400)
    if len(length) > 9 or int(length) > _BODY_LIMIT:
        raise _Refused(413)
    return int(length)


def _parameters(request: _Request, query: str) -> dict[str, str]:
    if request.method == "GET":
        return _decode(query)
    if request.method != "POST":
        raise _Refused(405)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise _Refused(415)
    # form_post puts everything into the body (OAuth 2.0 Form Post Response Mode, section 2).
    if query:
        raise _Refused(400)
    return _decode(request.body.decode("latin-1"))


def _decode(encoded: str) -> dict[str, str]:
    if not encoded.isascii():
        raise _Refused(400)
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=_FIELD_LIMIT)
    except ValueError:
        raise _Refused(400) from None
    parameters = dict(pairs)
    # A parameter must not come twice (RFC 6749, section 3.1).
    if len(parameters) != len(pairs):
        raise _Refused(400)
    return parameters


def _response(status: int, page: bytes) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(page)}",
        "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy: no-referrer",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(["Allow: GET, POST"] if status == 405 else []),
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + page
