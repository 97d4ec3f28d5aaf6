"""What a program on Azure can do that acts as a managed identity: get tokens without a secret of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from warmtoken import _engine
from warmtoken.application import Blocking
from warmtoken.cache.token_cache import TokenCache
from warmtoken.core import Application, TokenT, TransportT, check_client, refuse_to_pickle
from warmtoken.flows.context import Context, Remember
from warmtoken.identities import ManagedIdentityId, SystemAssignedManagedIdentity, check_identity
from warmtoken.models import AuthenticationResult
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.client_authentication import Client
from warmtoken.protocol.managed_identity import (
    AUTHORITY,
    ManagedIdentity,
    Source,
    name_in_cache,
    read_surroundings,
    resource_of,
)

if TYPE_CHECKING:
    from typing import NoReturn

    from warmtoken.default_transport import DefaultTransport
    from warmtoken.notices import BackgroundRefresh
    from warmtoken.transport import Transport

_Transport: TypeAlias = "Transport"

_SYSTEM_ASSIGNED = SystemAssignedManagedIdentity()


class ManagedIdentityClient(_engine.ManagedIdentityHitPath[TokenT], Application[TokenT, TransportT]):
    """A program that runs on Azure, or on a machine that Azure Arc manages, and acts as its managed identity.

    `identity` is SystemAssignedManagedIdentity() or UserAssignedManagedIdentity(client_id="..."). Where tokens come
    from is read from the environment here, once (`source`); whether it can be used is checked when a token is asked
    for. `transport` None is httpx2 without any proxy; a transport of your own must use none either, and at Service
    Fabric trust the certificate of the endpoint. The other arguments are PublicClientApplication's. Making one costs no
    request. Raises TypeError and ValueError for arguments that cannot be.
    """

    def __init__(
        self,
        identity: ManagedIdentityId = _SYSTEM_ASSIGNED,
        *,
        cache: TokenCache | None = None,
        transport: TransportT | None = None,
        client_capabilities: Sequence[str] = (),
        expiry_margin: float | None = None,
        on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
    ) -> None:
        check_identity(identity)
        check_client(name_in_cache(identity), cache, client_capabilities)
        self._managed = ManagedIdentity(identity, read_surroundings(os.environ))
        self._context = Context(
            Client(name_in_cache(identity)),
            parse_authority(AUTHORITY),
            cache if cache is not None else TokenCache(),
            tuple(client_capabilities),
            expiry_margin,
            on_background_refresh=on_background_refresh,
            managed_identity=self._managed,
        )
        self._use(transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._managed.identity!r})"

    def __reduce__(self) -> NoReturn:
        refuse_to_pickle(self)

    @property
    def source(self) -> Source:
        """Where the environment says that tokens come from; "imds" where it says nothing (MSAL.NET)."""
        return self._managed.place.source

    @property
    def _thumbprint(self) -> str:
        return self._managed.place.thumbprint

    def _acquire_token_for_managed_identity(
        self,
        resource: str,
        force_refresh: bool,
        claims: str | None,
        min_validity: float | None,
        correlation_id: str | None,
    ) -> TokenT:
        from warmtoken.flows.managed_identity import acquire_for_managed_identity
        from warmtoken.flows.requests import TokenRequest

        request = TokenRequest(
            (resource_of(resource),),
            force_refresh=force_refresh,
            claims=claims,
            min_validity=min_validity,
            correlation_id=correlation_id,
            remember=Remember(self._view_of_own, (resource,), None),  # as it was typed
        )
        token: TokenT = self._run(acquire_for_managed_identity(self._context, self._managed, request))
        return token


class ManagedIdentityApplication(ManagedIdentityClient[AuthenticationResult, _Transport], Blocking):
    __doc__ = ManagedIdentityClient.__doc__

    def _new_transport(self) -> DefaultTransport:
        from warmtoken.direct_transport import DirectTransport

        return DirectTransport(self._thumbprint)
