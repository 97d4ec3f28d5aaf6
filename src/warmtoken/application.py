"""The applications of programs without an event loop: what runs their flows, and the public client's."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from warmtoken.core import Application, check_transport
from warmtoken.models import Account, AuthenticationResult
from warmtoken.public_client import PublicClient

if TYPE_CHECKING:
    from warmtoken.cache.vault import Vault
    from warmtoken.default_transport import DefaultTransport
    from warmtoken.flows.effects import Flow
    from warmtoken.notices import AuthCodeFlow, TenantProfile
    from warmtoken.transport import Transport


_Token = AuthenticationResult
_Accounts = list[Account]
_Account = Account | None
_Profiles: TypeAlias = "list[TenantProfile]"
_AuthCodeFlow: TypeAlias = "AuthCodeFlow"


class Blocking(Application[_Token, "Transport"]):
    """Runs flows in the calling thread."""

    _own_transport: DefaultTransport | None = None
    _transport: Transport | None

    def _use(self, transport: Transport | None) -> None:
        check_transport(transport)
        self._transport = transport

    def _open_vault(self) -> Vault:
        return self._context.cache.vault()

    def _run(self, flow: Flow[Any]) -> Any:
        # Imported where it is needed: a process that finds its token in the cache never comes here.
        from warmtoken.flows.driver import drive

        return drive(flow, self._used_transport())

    def _used_transport(self) -> Transport:
        return self._default_transport() if self._transport is None else self._transport

    def _default_transport(self) -> DefaultTransport:
        if self._own_transport is None:
            self._own_transport = self._new_transport()
        return self._own_transport

    def _new_transport(self) -> DefaultTransport:
        from warmtoken.default_transport import DefaultTransport

        return DefaultTransport()

    def close(self) -> None:
        """Close the connections to the provider, once the refreshes under way have ended; the cache stays open."""
        from warmtoken.flows.driver import finish

        finish(self._used_transport())
        if self._transport is None:
            own = self._default_transport()
            own.refuse()
            finish(own)  # what other threads began meanwhile: it may have spent a refresh token that rotates
            own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class PublicClientApplication(
    PublicClient[_Token, _Accounts, _Account, None, _Profiles, _AuthCodeFlow, "Transport"], Blocking
):
    __doc__ = PublicClient.__doc__
