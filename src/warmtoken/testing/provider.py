"""The identity provider for tests and demonstrations."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from warmtoken.testing.administration import Administration
from warmtoken.testing.control import Controls
from warmtoken.testing.core import Core, SystemTime, TimeSource
from warmtoken.testing.endpoints import answer
from warmtoken.testing.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from warmtoken.testing.exchange import Reply, Request

DEFAULT_CLIENT = ("service", "service-secret")


class IdentityProvider(Controls):
    """A real OpenID Connect provider on loopback, for development only: any user name signs in.

    Use it as a context manager, or call `start()` and `stop()`. It listens from `start()` on, at `issuer`, on a free
    port unless `port` says which. `clock` is anything with a `time()` in Unix seconds, such as `Clock`. Every client id
    is a public client, except those of `add_client`; the confidential client "service" with the secret "service-secret"
    is there from the start. A provider that was stopped cannot be started again.
    """

    __slots__ = ("_administration", "_core", "_port", "_server", "_stop_lock", "_stopped")

    def __init__(self, *, port: int = 0, clock: TimeSource | None = None) -> None:
        self._port = port
        self._core = Core(clock or SystemTime())
        self._administration = Administration(self._core, stop=self.stop)
        self._server: Server | None = None
        self._stop_lock = threading.Lock()
        self._stopped = threading.Event()
        self.add_client(*DEFAULT_CLIENT)

    @property
    def issuer(self) -> str:
        """The issuer URL, such as `http://127.0.0.1:41234`; raises RuntimeError before `start()`."""
        if not self._core.issuer:
            raise RuntimeError("expected start() before issuer: the port is not known yet")
        return self._core.issuer

    def start(self) -> IdentityProvider:
        """Listen, and serve in background threads; raises OSError where the port is taken."""
        if self._server is not None:
            raise RuntimeError("expected a provider that was not started before; make a new one")
        self._server = Server(self._port, self._answer)
        self._core.issuer = f"http://127.0.0.1:{self._server.port}"
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop listening and cut all connections; safe to call more than once."""
        with self._stop_lock:
            if self._server is None or self._stopped.is_set():
                return
            self._core.stopping.set()
            self._server.stop()
            self._stopped.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has stopped, `timeout` seconds at most; returns whether it has."""
        return self._stopped.wait(timeout)

    def execute(self, command: str, arguments: Mapping[str, Any]) -> Any:
        return self._administration.execute(command, arguments)

    def __enter__(self) -> IdentityProvider:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answer(self, request: Request) -> Reply | None:
        if request.path == "/control":
            return self._administration.answer(request)
        reply = answer(self._core, request)
        return None if self._core.stopping.is_set() else reply
