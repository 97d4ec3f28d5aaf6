"""The applications, as programs without an event loop use them."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from warmtoken.core import ClientApplication, ConfidentialClient, PublicClient
from warmtoken.default_transport import DefaultTransport
from warmtoken.flows.driver import drive
from warmtoken.flows.effects import Flow
from warmtoken.models import Account, AuthenticationResult
from warmtoken.transport import Transport


class _Blocking(ClientApplication[AuthenticationResult, list[Account], Account | None, None, Transport]):
    _own_transport: DefaultTransport | None = None
    _transport: Transport

    def _use(self, transport: Transport | None) -> None:
        if transport is None:
            transport = self._own_transport = DefaultTransport()
        self._transport = transport

    def _run(self, flow: Flow[Any]) -> Any:
        return drive(flow, self._transport)

    def close(self) -> None:
        """Close the connections to the provider; the cache stays open for others."""
        if self._own_transport is not None:
            self._own_transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class PublicClientApplication(
    PublicClient[AuthenticationResult, list[Account], Account | None, None, Transport], _Blocking
):
    __doc__ = PublicClient.__doc__


class ConfidentialClientApplication(
    ConfidentialClient[AuthenticationResult, list[Account], Account | None, None, Transport], _Blocking
):
    __doc__ = ConfidentialClient.__doc__
