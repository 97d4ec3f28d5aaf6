"""Web sites on loopback: one that keeps what a browser brings it, and a server for any WSGI application."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from warmtoken.testing import UserAgent

Wsgi = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]


class Agent(Protocol):
    """A browser that signs its user in."""

    def __call__(self, url: str) -> object: ...
    def join(self) -> None: ...


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def served(application: Wsgi | None = None) -> Iterator[WSGIServer]:
    """A running server on a free port; its application may be set later."""
    with WSGIServer(("127.0.0.1", 0), _Quiet) as server:
        server.set_app(application)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Landing:
    """The page where a browser comes back to, with what it brought each time: the method, and the parameters."""

    def __init__(self, server: WSGIServer) -> None:
        self.redirect_uri = f"http://127.0.0.1:{server.server_port}/callback"
        self.brought: list[tuple[str, list[tuple[str, str]]]] = []
        server.set_app(self._take)

    def _take(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        form = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        self.brought.append((environ["REQUEST_METHOD"], parse_qsl(form or environ["QUERY_STRING"])))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"landed"]

    def visit(self, auth_uri: str, agent: Agent | None = None) -> dict[str, str]:
        """Open the URL of a sign-in in a browser and return what it brings back."""
        self.brought.clear()
        agent = agent or UserAgent()
        agent(auth_uri)
        agent.join()
        [(_, pairs)] = self.brought
        return dict(pairs)


@contextlib.contextmanager
def landing() -> Iterator[Landing]:
    """A landing page that ends with the test."""
    with served() as server:
        yield Landing(server)
