"""What a service that keeps a credential can do: get tokens of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from warmtoken import _engine
from warmtoken.cache.token_cache import TokenCache
from warmtoken.core import (
    DEFAULT_AUTHORITY,
    AccountsT,
    AccountT,
    AuthCodeFlowT,
    ClientApplication,
    NothingT,
    ProfilesT,
    TokenT,
    TransportT,
    keep_in,
)

if TYPE_CHECKING:
    from warmtoken.credentials import ClientCredential
    from warmtoken.notices import BackgroundRefresh


class ConfidentialClient(
    ClientApplication[TokenT, AccountsT, AccountT, NothingT, ProfilesT, AuthCodeFlowT, TransportT],
    _engine.ClientHitPath[TokenT],
):
    """A service that can keep a credential; the other arguments are PublicClientApplication's."""

    def __init__(
        self,
        client_id: str,
        *,
        credential: ClientCredential,
        authority: str = DEFAULT_AUTHORITY,
        cache: TokenCache | None = None,
        transport: TransportT | None = None,
        client_capabilities: Sequence[str] = (),
        expiry_margin: float | None = None,
        on_background_refresh: Callable[[BackgroundRefresh], object] | None = None,
    ) -> None:
        super().__init__(
            client_id, credential, authority, cache, client_capabilities, expiry_margin, on_background_refresh
        )
        self._use(transport)

    def _acquire_token_for_client(
        self,
        scopes: Iterable[str],
        tenant_id: str | None,
        force_refresh: bool,
        claims: str | None,
        min_validity: float | None,
        correlation_id: str | None,
        client_claims: str | None,
        refresh_if_sha256: str | None,
    ) -> TokenT:
        from warmtoken.flows.client_credentials import acquire_for_client
        from warmtoken.flows.requests import TokenRequest

        keep = keep_in(self._view_of_own, scopes, tenant_id, client_claims)
        request = TokenRequest(
            scopes,
            None,
            None,
            tenant_id,
            force_refresh,
            claims,
            min_validity,
            correlation_id,
            keep,
            client_claims,
            refresh_if_sha256,
        )
        token: TokenT = self._run(acquire_for_client(self._context, request))
        return token

    def remove_tokens_for_client(self) -> NothingT:
        """Delete the client's own tokens, of all tenants, in one commit, for all processes; users' tokens stay.

        The next acquire_token_for_client asks the provider (MSAL Python's method of this name). Raises CacheError
        where the cache cannot be written.
        """
        from warmtoken.flows.accounts import remove_tokens_of_client

        nothing: NothingT = self._run(remove_tokens_of_client(self._context))
        return nothing
