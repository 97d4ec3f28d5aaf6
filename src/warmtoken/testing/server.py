"""The HTTP server of the identity provider: HTTP/1.1 on loopback, one thread a connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

from warmtoken.testing.exchange import Reply, Request, json_reply

MAX_BODY = 1 << 20
IDLE_SECONDS = 300
Answer = Callable[[Request], Reply | None]


class Server(ThreadingHTTPServer):
    """Listens at once, serves after `start()`; `answer` gives the reply, or None to hang up without one."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    timeout = None

    def __init__(self, port: int, answer: Answer) -> None:
        self.answer = answer
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self._serve, name="warmtoken.testing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        self._stopping.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass  # wakes the thread that waits for connections
        self._thread.join()
        _cut(self.socket)
        self.server_close()
        with self._lock:
            for connection in self._connections:
                _cut(connection)

    def server_bind(self) -> None:
        """Bind without asking the resolver for the name of this host, as HTTPServer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up; a defect of ours answers 500 (see Handler)."""

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self.handle_request()


class Handler(BaseHTTPRequestHandler):
    """Reads one request after the other, and writes each reply in one segment."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet: request lines hold codes and hints."""

    def _answer(self) -> None:
        body = self._body()
        if isinstance(body, Reply):
            self.close_connection = True  # what is left of the body would be taken for a request
            return self._send(body)
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self._checked(Request(self.command, target.path, target.query, headers, body))
        if reply is None:
            self.close_connection = True
            return None
        self._send(reply)
        if reply.then is not None:
            with contextlib.suppress(OSError):  # they hung up
                self.wfile.flush()
            reply.then()
        return None

    def _checked(self, request: Request) -> Reply | None:
        server = cast("Server", self.server)
        if request.headers.get("host") not in {f"127.0.0.1:{server.port}", f"localhost:{server.port}"}:
            # a name that a web page made point to loopback (DNS rebinding) must not reach the control endpoint
            return json_reply({"error": "misdirected_request"}, status=421)
        try:
            return server.answer(request)
        except Exception as error:  # noqa: BLE001  a defect is an answer, not a silent hang
            return json_reply({"error": "server_error", "error_description": type(error).__name__}, status=500)

    def _body(self) -> bytes | Reply:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            return json_reply({"error": "invalid_request"}, status=411)
        if int(length) > MAX_BODY:
            return json_reply({"error": "invalid_request"}, status=413)
        return self.rfile.read(int(length))

    def _send(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        self.send_header("Date", self.date_time_string())
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)  # unlike close, this holds for copies that forked processes have, too
