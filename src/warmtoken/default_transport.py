"""The default transports: httpx2, with a total deadline, bounded replies and no leftovers after a fork.

There is one implementation, for asyncio; the sync transport runs it on a thread of its own, since only an event
loop can end a name lookup, a handshake or a dripping header at a deadline.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from warmtoken.errors import ClientError, TransportError
from warmtoken.transport import HttpResponse
from warmtoken.transport_failures import reason_of, what_happened

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures
    import ssl
    from collections.abc import AsyncGenerator
    from types import TracebackType
    from typing import Self

    import httpx2

    from warmtoken.transport import HttpRequest

_BODY_LIMIT = 1024 * 1024  # bytes, after decompression


class AsyncDefaultTransport:
    """Sends requests with httpx2 on the running asyncio event loop; several loops, one after another, may use it.

    Keeps connections alive per event loop, and closes them when the loop shuts its asynchronous generators down,
    as asyncio.run does; whoever closes a loop by hand awaits `aclose` first. Follows no redirect, keeps no cookie,
    repeats no request. A forked child starts with connections of its own.

    Proxies are those of the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY). TLS certificates are verified against
    the file in SSL_CERT_FILE; else the directory in SSL_CERT_DIR; else the system's trust store, which on Linux is
    what OpenSSL was compiled with, or the distribution's usual bundle. REQUESTS_CA_BUNDLE is not read. All of these
    are read at the first request.
    """

    _uses_proxies = True

    def __init__(self) -> None:
        self._clients: _Clients = weakref.WeakKeyDictionary()
        self._ssl_context: ssl.SSLContext | None = None
        self._closed = False
        _transports.add(self)

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """Send and return the reply, whatever its status, within `timeout` seconds for the whole exchange.

        Raises TransportError "request_timeout", "connection_failed" (no connection, a broken TLS handshake or
        reply) or "response_too_large" (a body over 1 MiB after decompression), ClientError "transport_closed",
        and ValueError for a URL that is none.
        """
        import asyncio

        if self._closed:
            raise _closed_error()
        origin = _origin(request.url)
        try:
            async with asyncio.timeout(timeout):
                return await _exchange(await self._client(), request, origin)
        except TimeoutError:
            raise TransportError(
                "request_timeout", f"{origin} did not answer completely within {timeout:g} seconds"
            ) from None

    def refuse(self) -> None:
        """Refuse requests from now on; those under way go on."""
        self._closed = True

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and refuse requests from now on."""
        import asyncio

        self.refuse()
        if entry := self._clients.pop(asyncio.get_running_loop(), None):
            await entry[1].aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _client(self) -> httpx2.AsyncClient:
        import asyncio

        if self._ssl_context is None:
            # Importing and reading certificates takes long, and files: not on the event loop.
            self._ssl_context = await asyncio.to_thread(self._load)
        loop = asyncio.get_running_loop()
        entry = self._clients.get(loop)
        if entry is None:
            client = _new_client(self._ssl_context, self._uses_proxies)
            keeper = _close_with_loop(client)
            entry = self._clients[loop] = (client, keeper)
            await anext(keeper)
        return entry[0]

    def _load(self) -> ssl.SSLContext:
        _version()  # reads files, too
        return self._new_ssl_context()

    def _new_ssl_context(self) -> ssl.SSLContext:
        import httpx2

        try:
            return httpx2.create_ssl_context()
        except OSError as error:
            came = f"the certificates to trust cannot be read: {reason_of(error)}"
            raise TransportError("connection_failed", f"{came}; check SSL_CERT_FILE and SSL_CERT_DIR") from None

    def _forget(self) -> None:
        _inherited.append(self._clients)
        self._clients = weakref.WeakKeyDictionary()


class DefaultTransport:
    """The same for threads: AsyncDefaultTransport, on an event loop in a thread that the first request starts.

    May be shared by all threads of a process. Closes itself when it is collected and at exit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._finalizer: weakref.finalize[..., DefaultTransport] | None = None
        self._closed = False
        _transports.add(self)

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """Send and return the reply, as AsyncDefaultTransport.send does, and raise what it raises."""
        from concurrent.futures import CancelledError

        future = self._submit(request, timeout)
        try:
            return future.result()
        except CancelledError:
            raise _closed_error() from None
        except BaseException:
            future.cancel()
            raise

    def refuse(self) -> None:
        """Refuse requests from now on; those under way go on."""
        with self._lock:
            self._closed = True

    def close(self) -> None:
        """Close all connections, end requests under way with ClientError, and refuse others; idempotent."""
        self.refuse()
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _new_transport(self) -> AsyncDefaultTransport:
        return AsyncDefaultTransport()

    def _submit(self, request: HttpRequest, timeout: float) -> concurrent.futures.Future[HttpResponse]:
        with self._lock:
            if self._closed:
                raise _closed_error()
            if self._worker is None:
                self._worker = _Worker(self._new_transport())
                self._finalizer = weakref.finalize(self, self._worker.stop)
            return self._worker.submit(request, timeout)

    def _forget(self) -> None:
        # The lock may have been held by a thread that the child does not have.
        self._lock = threading.Lock()
        if self._finalizer is not None:
            self._finalizer.detach()
        _inherited.append(self._worker)
        self._worker = self._finalizer = None


class _Worker:
    """A thread with an event loop on which a transport sends."""

    def __init__(self, transport: AsyncDefaultTransport) -> None:
        self._transport = transport
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warmtoken-http", daemon=True)
        # What the system refuses is refused here, where it can be said: a thread that ends early never gets started.
        self._loop = _new_loop()
        try:
            self._thread.start()
        except RuntimeError as error:
            self._loop.close()
            raise TransportError("connection_failed", f"no thread for the connection: {error}") from None
        self._started.wait()

    def submit(self, request: HttpRequest, timeout: float) -> concurrent.futures.Future[HttpResponse]:
        import asyncio

        return asyncio.run_coroutine_threadsafe(self._transport.send(request, timeout=timeout), self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        # The garbage collector may run a finalizer on any thread, this one too.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        # Not asyncio.run: it ends by starting a thread, which an interpreter that is shutting down refuses.
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        import asyncio

        self._stopped = asyncio.Event()
        self._started.set()
        await self._stopped.wait()
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


def _new_loop() -> asyncio.AbstractEventLoop:
    import asyncio

    try:
        return asyncio.new_event_loop()
    except OSError as error:
        # Too many open files, say. Not reason_of: nothing can be imported then.
        raise TransportError("connection_failed", f"no event loop for the connection: {error.strerror}") from None


_Clients: TypeAlias = (
    "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[httpx2.AsyncClient, AsyncGenerator[None, None]]]"
)

_transports: weakref.WeakSet[AsyncDefaultTransport | DefaultTransport] = weakref.WeakSet()

# What a child inherits it shares with its parent: even closing an event loop would unregister the parent's sockets
# from the epoll instance that both have. So it is kept, unused, for ever.
_inherited: list[object] = []


def _forget_inherited() -> None:
    for transport in list(_transports):
        transport._forget()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)


def _new_client(ssl_context: ssl.SSLContext, uses_proxies: bool) -> httpx2.AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx2

    try:
        return httpx2.AsyncClient(
            verify=ssl_context,
            trust_env=uses_proxies,
            timeout=None,  # the deadline of `send` is over all of it
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": f"warmtoken/{_version()}", "Accept-Encoding": "gzip"},
        )
    except (httpx2.InvalidURL, ValueError, ImportError) as error:  # which may show the URL, and so a password
        expected = "expected HTTPS_PROXY and ALL_PROXY as http://host:port"
        came = f"the proxy of the environment cannot be used ({type(error).__name__})"
        raise TransportError("connection_failed", f"{came}; {expected}") from None


@functools.cache
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("warmtoken")
    except PackageNotFoundError:
        return "0"


async def _close_with_loop(client: httpx2.AsyncClient) -> AsyncGenerator[None, None]:
    """Suspend until the event loop shuts its asynchronous generators down, then close the client."""
    try:
        yield
    finally:
        await client.aclose()


async def _exchange(client: httpx2.AsyncClient, request: HttpRequest, origin: str) -> HttpResponse:
    import httpx2

    try:
        async with client.stream(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=request.body,
            extensions={"trace": _Handshake().note},
        ) as response:
            return HttpResponse(response.status_code, dict(response.headers.items()), await _body(response, origin))
    except httpx2.HTTPError as error:
        # Not chained: httpx2's own messages quote what the server sent.
        raise TransportError("connection_failed", f"{origin}: {what_happened(error)}") from None
    except httpx2.InvalidURL:
        raise _url_error() from None
    except UnicodeError:  # of a label such as `xn---`, which stands for no name (RFC 5891, section 5.4)
        raise TransportError("connection_failed", f"{origin}: no connection: the host is no name") from None


class _Handshake:
    """Closes the connection of a TLS handshake that is cancelled, as by a deadline, which httpx2 leaves open."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def note(self, event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif event.endswith(".start_tls.failed") and self._stream is not None:  # with a proxy it has another name
            await self._stream.aclose()


async def _body(response: httpx2.Response, origin: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise TransportError(
                "response_too_large",
                f"{origin} sent more than {_BODY_LIMIT} bytes where a short reply was expected",
            )
    return bytes(body)


def _origin(url: str) -> str:
    """Return what a message may say of a URL; its path and query stay out."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        raise _url_error() from None
    if not parts.hostname:
        raise _url_error()
    return f"{parts.hostname} port {port}"


def _url_error() -> ValueError:
    return ValueError("the URL of the request must be http or https, with a host and a port from 1 to 65535, if any")


def _closed_error() -> ClientError:
    return ClientError("transport_closed", "the HTTP transport is closed; make a new application, or close it later")
