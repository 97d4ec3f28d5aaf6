"""What a flow can ask its driver to do; a flow itself does no I/O and never waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from warmtoken.cache.flights import Flight
from warmtoken.transport import HttpRequest

T = TypeVar("T")

MAX_BACKGROUND = 8


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request, and get the HttpResponse; TransportError is thrown in where there is none in `timeout` s."""

    request: HttpRequest
    timeout: float


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call a function that may block, and get what it returns; `cancel` makes it return early."""

    function: Callable[[], Any]
    cancel: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for what a program's own coroutine function returns; ClientError is thrown in where no event loop runs."""

    awaitable: Awaitable[Any]


@dataclass(frozen=True, slots=True)
class Join:
    """Wait until another thread or task of this process has ended its fetch, at most `timeout` seconds."""

    flight: Flight
    timeout: float


@dataclass(frozen=True, slots=True)
class Detach:
    """Run a flow that others may be waiting for, and get its result: it goes on when the caller is cancelled.

    A refresh cut off between the provider's answer and the commit would lose a rotated refresh token.
    """

    flow: Generator[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Background:
    """Run a flow that nobody waits for, and get whether it was started: there is room for MAX_BACKGROUND at a time."""

    flow: Generator[Any, Any, Any]


Effect = Send | Sleep | Call | Await | Join | Detach | Background
Flow = Generator[Effect, Any, T]


def call_program(function: Callable[[], object]) -> Flow[object]:
    """Call a function of the program's, which may block, and return what it does; a coroutine function is awaited."""
    returned: object = yield Call(function)
    if isinstance(returned, Awaitable):
        returned = yield Await(cast("Awaitable[object]", returned))
    return returned
