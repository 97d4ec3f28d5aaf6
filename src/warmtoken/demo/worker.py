"""A worker process: it serves nobody, but asks for a token as often as it can."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, cast

from warmtoken.demo.figures import Figures
from warmtoken.demo.load import Load, Token
from warmtoken.demo.processes import ignore_interrupt
from warmtoken.demo.stage import SeparateLoad, SharedLoad
from warmtoken.errors import UiRequiredError

if TYPE_CHECKING:
    from warmtoken.models import AuthenticationResult


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has started."""


@dataclass(frozen=True, slots=True)
class NeedsUser:
    """A worker cannot go on without the user; it waits for an answer."""

    code: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker counted since its last report; `last` where its load has ended."""

    figures: Figures
    last: bool


def work(connection: Connection) -> None:
    """Carry out orders until the connection closes."""
    ignore_interrupt()
    with contextlib.suppress(EOFError, OSError):
        connection.send(Ready())
        while True:
            order: SharedLoad | SeparateLoad = connection.recv()
            figures = _share(connection, order) if isinstance(order, SharedLoad) else _separate(connection, order)
            connection.send(Report(figures, last=True))


def _share(connection: Connection, order: SharedLoad) -> Figures:
    with order.shared.application() as application, application.cache:
        load = Load(
            application.acquire_token_silent,
            _from_cache,
            order.account,
            report=lambda figures: connection.send(Report(figures, last=False)),
            ask=lambda error: _ask(connection, error),
        )
        return load.run(order.seconds)


def _from_cache(token: Token) -> bool:
    return cast("AuthenticationResult", token).metadata.token_source == "cache"


def _ask(connection: Connection, error: UiRequiredError) -> None:
    connection.send(NeedsUser(error.code))
    connection.recv()


def _separate(connection: Connection, order: SeparateLoad) -> Figures:
    from warmtoken.default_transport import DefaultTransport
    from warmtoken.demo.dict_cache import DictCache

    transport = DefaultTransport()
    first = order.access_token
    try:
        load = Load(
            DictCache(order, transport).acquire_token_silent,
            lambda token: token.access_token == first,  # each other one is new here because it was just fetched
            order.account,
            report=lambda figures: connection.send(Report(figures, last=False)),
            ask=lambda error: _ask(connection, error),
        )
        return load.run(order.seconds)
    finally:
        transport.close()
