"""The applications for asyncio: the same names and arguments as in `warmtoken`, to be awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any, Self

from warmtoken.cache.vault import Vault
from warmtoken.confidential_client import ConfidentialClient
from warmtoken.core import Application, check_transport
from warmtoken.default_transport import AsyncDefaultTransport
from warmtoken.direct_transport import AsyncDirectTransport
from warmtoken.flows.async_driver import drive, finish
from warmtoken.flows.effects import Flow
from warmtoken.managed_identity import ManagedIdentityClient
from warmtoken.models import Account, AuthenticationResult
from warmtoken.notices import AuthCodeFlow, LongRunningSession, TenantProfile
from warmtoken.public_client import PublicClient
from warmtoken.transport import AsyncTransport

__all__ = ["ConfidentialClientApplication", "ManagedIdentityApplication", "PublicClientApplication"]

_Token = Coroutine[Any, Any, AuthenticationResult]
_Accounts = Coroutine[Any, Any, list[Account]]
_Account = Coroutine[Any, Any, Account | None]
_Nothing = Coroutine[Any, Any, None]
_Profiles = Coroutine[Any, Any, list[TenantProfile]]
_AuthCodeFlow = Coroutine[Any, Any, AuthCodeFlow]
_Session = Coroutine[Any, Any, LongRunningSession]
_Stopped = Coroutine[Any, Any, bool]


async def _ready(result: AuthenticationResult) -> AuthenticationResult:
    return result


class _Awaiting(Application[_Token, AsyncTransport]):
    _own_transport: AsyncDefaultTransport | None = None
    _transport: AsyncTransport

    def _use(self, transport: AsyncTransport | None) -> None:
        check_transport(transport)
        if transport is None:
            transport = self._own_transport = self._new_transport()
        self._transport = transport
        self._dress = _ready

    def _new_transport(self) -> AsyncDefaultTransport:
        return AsyncDefaultTransport()

    def _open_vault(self) -> Vault | None:
        cache = self._context.cache
        return cache.vault() if cache.is_open else None  # else it may block: the flow has it done in a thread

    def _run(self, flow: Flow[Any]) -> Awaitable[Any]:
        return drive(flow, self._transport)

    async def aclose(self) -> None:
        """Close the connections to the provider, once the refreshes under way have ended; the cache stays open."""
        await finish(self._transport)
        if self._own_transport is not None:
            self._own_transport.refuse()
            await finish(self._transport)  # what other tasks began meanwhile: see the blocking application
            await self._own_transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


class PublicClientApplication(
    PublicClient[_Token, _Accounts, _Account, _Nothing, _Profiles, _AuthCodeFlow, AsyncTransport], _Awaiting
):
    """The asynchronous twin of `warmtoken.PublicClientApplication`: each method returns a coroutine."""


class ConfidentialClientApplication(
    ConfidentialClient[
        _Token, _Accounts, _Account, _Nothing, _Profiles, _AuthCodeFlow, AsyncTransport, _Session, _Stopped
    ],
    _Awaiting,
):
    """The asynchronous twin of `warmtoken.ConfidentialClientApplication`: each method returns a coroutine."""


class ManagedIdentityApplication(ManagedIdentityClient[_Token, AsyncTransport], _Awaiting):
    """The asynchronous twin of `warmtoken.ManagedIdentityApplication`: its method returns a coroutine."""

    def _new_transport(self) -> AsyncDefaultTransport:
        return AsyncDirectTransport(self._thumbprint)
