"""One world for a test: a provider on loopback, a clock for all, a cache directory, and applications of both kinds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from blockbuster import blockbuster_ctx

import warmtoken
import warmtoken.aio
from warmtoken import AuthenticationResult, BackgroundRefresh, ClientAssertion, ClientSecret, TokenCache
from warmtoken.default_transport import AsyncDefaultTransport, DefaultTransport
from warmtoken.flows import async_driver, driver
from warmtoken.testing import Clock, IdentityProvider, UserAgent
from warmtoken.transport import HttpRequest, HttpResponse

KEY = bytes(range(32))
ALICE = "alice@example.test"
BOB = "bob@example.test"
SCOPES = ["orders.read", "orders.write"]

Mode = Literal["sync", "async"]
Hook = Callable[[HttpRequest], object]


@functools.cache
def _shared_transport() -> DefaultTransport:
    return DefaultTransport()  # reading the host's certificates once is enough for all tests


@functools.cache
def _shared_async_transport() -> AsyncDefaultTransport:
    return AsyncDefaultTransport()


class StillClock(Clock):
    """A clock that stands still unless it is moved, so that no second ends while a test runs.

    The compiled engine reads the system's clock, so it is ahead by what passed meanwhile, and never behind.
    """

    def __init__(self) -> None:
        self._began = int(super().time()) - 0.5, int(super().monotonic())  # plus whole seconds they stay exact

    def time(self) -> float:
        return self._began[0] + self.wall_offset / 1e9

    def monotonic(self) -> float:
        return self._began[1] + self.monotonic_offset / 1e9


class HookedTransport:
    """The default transport, with a function of the test's that is called before and after each token request."""

    def __init__(self, before: Hook | None, after: Hook | None) -> None:
        self._before, self._after = before or _nothing, after or _nothing

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        if not request.url.endswith("/token"):
            return _shared_transport().send(request, timeout=timeout)
        self._before(request)
        response = _shared_transport().send(request, timeout=timeout)
        self._after(request)
        return response


class AsyncHookedTransport(HookedTransport):
    """The same for asyncio; the functions run in threads."""

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:  # type: ignore[override]
        if not request.url.endswith("/token"):
            return await _shared_async_transport().send(request, timeout=timeout)
        await asyncio.to_thread(self._before, request)
        response = await _shared_async_transport().send(request, timeout=timeout)
        await asyncio.to_thread(self._after, request)
        return response


def _nothing(_: HttpRequest) -> None:
    return None


class Client:
    """An application of either kind whose methods block, so that one test serves for both."""

    def __init__(self, application: Any, run: Callable[[Callable[[], Any]], Any]) -> None:
        self.application = application
        self._run = run

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.application, name)
        return lambda *arguments, **named: self._run(lambda: method(*arguments, **named))


class World:
    """Makes applications on one provider and one cache directory."""

    def __init__(self, mode: Mode, directory: Path, idp: IdentityProvider, clock: Clock) -> None:
        self.mode = mode
        self.directory = directory
        self.idp = idp
        self.clock = clock
        self.cache = self.new_cache()
        self._runner = asyncio.Runner()

    def new_cache(self) -> TokenCache:
        """Another TokenCache on the same directory, as another process would have."""
        return TokenCache(self.directory, key=KEY, clock=self.clock)

    def run(self, call: Callable[[], Any]) -> Any:
        """Call a method of an application and return its result; on an event loop that nothing may block, if async."""
        if self.mode == "sync":
            return call()
        with blockbuster_ctx():
            return self._runner.run(_awaited(call))

    def sibling(self) -> World:
        """The same provider and directory, as another blocking process has them."""
        return World("sync", self.directory, self.idp, self.clock)

    def close(self) -> None:
        self._runner.close()

    def public(
        self,
        client_id: str = "cli",
        *,
        cache: TokenCache | None = None,
        authority: str | None = None,
        client_capabilities: Sequence[str] = (),
        expiry_margin: float | None = None,
        redirect_path: str | None = None,
        on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
        partition: str = "",
        parameters: Mapping[str, str | Sequence[str]] | None = None,
        before: Hook | None = None,
        after: Hook | None = None,
    ) -> Client:
        module = warmtoken if self.mode == "sync" else warmtoken.aio
        application = module.PublicClientApplication(
            client_id,
            authority=authority or self.idp.issuer,
            cache=cache or self.cache,
            transport=self.transport(before, after),
            client_capabilities=client_capabilities,
            expiry_margin=expiry_margin,
            redirect_path=redirect_path,
            on_background_refresh=on_background_refresh,
            partition=partition,
            parameters=parameters,
        )
        return Client(application, self.run)

    def confidential(
        self,
        client_id: str = "service",
        secret: str | ClientAssertion = "service-secret",
        *,
        cache: TokenCache | None = None,
        on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
        partition: str = "",
        parameters: Mapping[str, str | Sequence[str]] | None = None,
        before: Hook | None = None,
    ) -> Client:
        module = warmtoken if self.mode == "sync" else warmtoken.aio
        application = module.ConfidentialClientApplication(
            client_id,
            credential=ClientSecret(secret) if isinstance(secret, str) else secret,
            authority=self.idp.issuer,
            cache=cache or self.cache,
            transport=self.transport(before, None),
            on_background_refresh=on_background_refresh,
            partition=partition,
            parameters=parameters,
        )
        return Client(application, self.run)

    def transport(self, before: Hook | None = None, after: Hook | None = None) -> Any:
        return (HookedTransport if self.mode == "sync" else AsyncHookedTransport)(before, after)

    def sign_in(
        self, client: Client, username: str = ALICE, scopes: Sequence[str] = tuple(SCOPES)
    ) -> AuthenticationResult:
        """Sign a user in, and forget what the provider counted meanwhile."""
        agent = UserAgent(username=username)
        result: AuthenticationResult = client.acquire_token_interactive(list(scopes), open_browser=agent)
        agent.join()
        self.idp.reset_counters()
        return result

    def settle(self, client: Client) -> None:
        """Wait until the refreshes that a client has in the background have ended."""
        transport = client.application._transport
        if self.mode == "sync":
            driver.finish(transport)
        else:
            self.run(lambda: async_driver.finish(transport))

    def token_requests(self) -> int:
        """How many requests the token endpoint got since the sign-in, whatever came of them."""
        return self.idp.counters.requests.get("token", 0)


async def _awaited(call: Callable[[], Any]) -> Any:
    outcome = call()
    return await outcome if inspect.isawaitable(outcome) else outcome


@contextlib.contextmanager
def new_world(mode: Mode, directory: Path, clock: Clock | None = None) -> Iterator[World]:
    """A world that ends with the test."""
    clock = clock or Clock()
    with IdentityProvider(clock=clock) as idp:
        world = World(mode, directory / "cache", idp, clock)
        try:
            yield world
        finally:
            world.close()


@contextlib.contextmanager
def held_replies(idp: IdentityProvider) -> Iterator[Callable[[], None]]:
    """Let a provider keep its replies to token requests, and all that faults delay, until what this yields is called.

    In the end they are let go in any case.
    """
    let_go, stopping = threading.Event(), idp._core.stopping
    stopping.wait = lambda _=None: let_go.wait(60)  # type: ignore[method-assign]
    try:
        yield let_go.set
    finally:
        let_go.set()
        del stopping.wait


def eventually(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until a condition holds and return its value; fails after some seconds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.005)
    return value
