"""The one place that does HTTP."""

from __future__ import annotations

from collections.abc import Mapping
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


class Transport(Protocol):
    """Anything that can send a request: yours, or the default one.

    `send` returns the reply whatever its status, follows no redirect, and raises TransportError where there is
    none within `timeout` seconds, all in all.
    """

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse: ...


class AsyncTransport(Protocol):
    """The same as a coroutine, for warmtoken.aio."""

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse: ...
