"""The blocking and the asynchronous application behind one face, so that each test is written once."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import parse_qsl

import warmtoken
import warmtoken.aio
from warmtoken.default_transport import AsyncDefaultTransport, DefaultTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from warmtoken import TokenCache
    from warmtoken.transport import HttpRequest, HttpResponse

WorldName = Literal["sync", "async"]


@dataclass(frozen=True)
class Exchange:
    """One request to the token endpoint: the form that went out, the JSON object that came back, {} for none."""

    form: dict[str, str]
    reply: dict[str, Any]


class Recorder(DefaultTransport):
    """Sends with the default transport and notes what passes the token endpoint."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        super().__init__()
        self._exchanges = exchanges

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        response = super().send(request, timeout=timeout)
        _note(self._exchanges, request, response)
        return response


class AsyncRecorder(AsyncDefaultTransport):
    """The same for asyncio."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        super().__init__()
        self._exchanges = exchanges

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        response = await super().send(request, timeout=timeout)
        _note(self._exchanges, request, response)
        return response


def _note(exchanges: list[Exchange], request: HttpRequest, response: HttpResponse) -> None:
    if request.method == "POST":
        is_json = response.headers.get("content-type", "").startswith("application/json")
        form = dict(parse_qsl(request.body.decode()))
        exchanges.append(Exchange(form, json.loads(response.body) if is_json else {}))


class World(Protocol):
    """Makes applications of its kind, and runs what their methods return."""

    exchanges: list[Exchange]

    def public(self, authority: str, cache: TokenCache) -> Any:
        """Return the application of the public client `cli`, which `close` closes."""

    def confidential(self, client_id: str, credential: Any, authority: str, cache: TokenCache) -> Any:
        """Return the application of a confidential client, which `close` closes."""

    def run(self, outcome: Any) -> Any:
        """Return the result of a method: `run(app.get_accounts())`."""

    def run_at_once(self, calls: list[Callable[[], Any]]) -> list[Any]:
        """Call each in a thread or a task of its own, none before all are ready, and return the results."""

    def close(self) -> None:
        """Close the applications' connections."""


class SyncWorld:
    """warmtoken, with threads."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._transports: list[Recorder] = []

    def public(self, authority: str, cache: TokenCache) -> Any:
        return warmtoken.PublicClientApplication("cli", authority=authority, cache=cache, transport=self._transport())

    def confidential(self, client_id: str, credential: Any, authority: str, cache: TokenCache) -> Any:
        return warmtoken.ConfidentialClientApplication(
            client_id, credential=credential, authority=authority, cache=cache, transport=self._transport()
        )

    def _transport(self) -> Recorder:
        self._transports.append(Recorder(self.exchanges))
        return self._transports[-1]

    def run(self, outcome: Any) -> Any:
        return outcome

    def run_at_once(self, calls: list[Callable[[], Any]]) -> list[Any]:
        start = threading.Barrier(len(calls))

        def call_when_all_are_here(call: Callable[[], Any]) -> Any:
            start.wait(timeout=60)
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(call_when_all_are_here, calls))

    def close(self) -> None:
        for transport in self._transports:
            transport.close()


class AsyncWorld:
    """warmtoken.aio, on one event loop, with tasks."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self._transports: list[AsyncRecorder] = []
        self._runner = asyncio.Runner()

    def public(self, authority: str, cache: TokenCache) -> Any:
        return warmtoken.aio.PublicClientApplication(
            "cli", authority=authority, cache=cache, transport=self._transport()
        )

    def confidential(self, client_id: str, credential: Any, authority: str, cache: TokenCache) -> Any:
        return warmtoken.aio.ConfidentialClientApplication(
            client_id, credential=credential, authority=authority, cache=cache, transport=self._transport()
        )

    def _transport(self) -> AsyncRecorder:
        self._transports.append(AsyncRecorder(self.exchanges))
        return self._transports[-1]

    def run(self, outcome: Any) -> Any:
        return self._runner.run(outcome)

    def run_at_once(self, calls: list[Callable[[], Any]]) -> list[Any]:
        async def gather() -> list[Any]:
            return await asyncio.gather(*(call() for call in calls))

        return self._runner.run(gather())

    def close(self) -> None:
        for transport in self._transports:
            self._runner.run(transport.aclose())
        self._runner.close()


def open_world(name: WorldName) -> World:
    """Return a world by name."""
    return SyncWorld() if name == "sync" else AsyncWorld()
