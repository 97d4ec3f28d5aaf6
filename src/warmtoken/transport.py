"""The one place that does HTTP."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to an identity provider; the body is not shown by repr, since it carries secrets."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A reply of an identity provider; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)


def check_response(response: object) -> HttpResponse:
    """Return what a transport brought; refuse what is no HttpResponse with TypeError, which shows nothing of it."""
    if isinstance(response, HttpResponse):
        return response
    kind = type(response).__name__
    if isinstance(response, Coroutine):
        response.close()  # or Python warns that nobody awaited it
    raise TypeError(
        f"expected send of the transport to return an HttpResponse, got {kind}; "
        "one whose send is a coroutine function is for warmtoken.aio, any other for warmtoken"
    )


class Transport(Protocol):
    """Anything that can send a request: yours, or the default one.

    `send` returns the reply whatever its status, follows no redirect, and raises TransportError where there is
    none within `timeout` seconds, all in all.
    """

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse: ...


class AsyncTransport(Protocol):
    """The same as a coroutine, for warmtoken.aio."""

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse: ...
