"""What a service that keeps a credential can do: get tokens of its own, and on behalf of its callers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

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
    unchanging,
)

if TYPE_CHECKING:
    from warmtoken.credentials import ClientCredential
    from warmtoken.flows.context import Remember
    from warmtoken.notices import BackgroundRefresh


SessionT = TypeVar("SessionT")
StoppedT = TypeVar("StoppedT")


class ConfidentialClient(
    ClientApplication[TokenT, AccountsT, AccountT, NothingT, ProfilesT, AuthCodeFlowT, TransportT],
    _engine.ClientHitPath[TokenT],
    Generic[TokenT, AccountsT, AccountT, NothingT, ProfilesT, AuthCodeFlowT, TransportT, SessionT, StoppedT],
):
    """A service that can keep a credential; the other arguments are PublicClientApplication's."""

    _sessions: _engine.View | None = None

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
        partition: str = "",
        parameters: Mapping[str, str | Sequence[str]] | None = None,
    ) -> None:
        super().__init__(
            client_id, credential, authority, cache, client_capabilities, expiry_margin, on_background_refresh
        )
        self._keep_apart(partition, parameters)
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

        scopes = unchanging(scopes)
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

    # --- on behalf of users: what one session gets lies apart, in the file and in memory ---

    def acquire_token_on_behalf_of(
        self,
        user_assertion: str,
        scopes: Iterable[str],
        *,
        tenant_id: str | None = None,
        force_refresh: bool = False,
        claims: str | None = None,
        min_validity: float | None = None,
        correlation_id: str | None = None,
        client_claims: str | None = None,
        refresh_if_sha256: str | None = None,
    ) -> TokenT:
        """Return a token for another API, on behalf of the user whose access token this API was called with.

        From the cache if this `user_assertion` (without `Bearer`) has brought it before, else from the provider; it is
        kept for this assertion alone, without a refresh token. The other arguments are those of `acquire_token_silent`.
        Raises UiRequiredError where the user must sign in again: hand its `claims` to your caller as a challenge
        (docs/on-behalf-of.md). Raises ServiceError, ProtocolError, TransportError and CacheError as
        `acquire_token_silent` does. Follows MSAL.NET's AcquireTokenOnBehalfOf; RFC 7523, section 2.1.
        """
        from warmtoken.protocol.user_assertion import assertion_hash

        scopes = unchanging(scopes)
        keep = self._keep_in_session(assertion_hash(user_assertion), scopes, tenant_id, client_claims)
        is_plain = not force_refresh and claims is None and min_validity is None and correlation_id is None
        if is_plain and refresh_if_sha256 is None and (kept := self._kept(keep)) is not None:
            return kept
        from warmtoken.flows.on_behalf_of import acquire_on_behalf_of
        from warmtoken.flows.requests import TokenRequest

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
        token: TokenT = self._run(acquire_on_behalf_of(self._context, user_assertion, request))
        return token

    def initiate_long_running_on_behalf_of(
        self,
        user_assertion: str,
        scopes: Iterable[str],
        *,
        session_key: str | None = None,
        search_in_cache: bool = False,
        tenant_id: str | None = None,
        claims: str | None = None,
        correlation_id: str | None = None,
    ) -> SessionT:
        """Begin a session that goes on when the user's call has ended, and return it: a LongRunningSession.

        Its `session_key` is the hash of the assertion unless you give one, which must be of one user alone and
        unguessable. A refresh token is kept under it. With `search_in_cache` a session that is under way and has a
        usable token is gone on with; without, each call asks the provider. Raises what `acquire_token_on_behalf_of`
        raises. Follows MSAL.NET's InitiateLongRunningProcessInWebApi.
        """
        from warmtoken.flows.long_running import initiate, initiate_or_go_on
        from warmtoken.flows.requests import TokenRequest

        request = TokenRequest(scopes, tenant_id=tenant_id, claims=claims, correlation_id=correlation_id)
        begin = initiate_or_go_on if search_in_cache else initiate
        session: SessionT = self._run(begin(self._context, user_assertion, session_key, request))
        return session

    def acquire_token_in_long_running_on_behalf_of(
        self,
        session_key: str,
        scopes: Iterable[str],
        *,
        tenant_id: str | None = None,
        force_refresh: bool = False,
        claims: str | None = None,
        min_validity: float | None = None,
        correlation_id: str | None = None,
    ) -> TokenT:
        """Return a token of a session that was begun: from the cache, else by the session's refresh token.

        The arguments are those of `acquire_token_silent`. Raises ClientError `obo_cache_key_not_in_cache_error` where
        the session has no tokens, else what `acquire_token_silent` raises. Follows MSAL.NET's
        AcquireTokenInLongRunningProcess.
        """
        scopes = unchanging(scopes)
        keep = self._keep_in_session(session_key, scopes, tenant_id, None)
        is_plain = not force_refresh and claims is None and min_validity is None and correlation_id is None
        if is_plain and (kept := self._kept(keep)) is not None:
            return kept
        from warmtoken.flows.long_running import acquire_in_long_running
        from warmtoken.flows.requests import TokenRequest

        request = TokenRequest(scopes, None, None, tenant_id, force_refresh, claims, min_validity, correlation_id, keep)
        token: TokenT = self._run(acquire_in_long_running(self._context, session_key, request))
        return token

    def stop_long_running_on_behalf_of(self, session_key: str) -> StoppedT:
        """Delete a session's access and refresh tokens, for all processes, and return whether it had any.

        Raises CacheError where the cache cannot be written. Follows MSAL.NET's StopLongRunningProcessInWebApiAsync.
        """
        from warmtoken.flows.long_running import stop

        stopped: StoppedT = self._run(stop(self._context, session_key))
        return stopped

    def _view_of_sessions(self) -> _engine.View:
        if self._sessions is None or not self._sessions.is_live:
            self._sessions = self._context.cache.view()
        return self._sessions

    def _keep_in_session(
        self, session: str, scopes: Iterable[str], tenant_id: str | None, client_claims: str | None
    ) -> Remember | None:
        keep = keep_in(self._view_of_sessions, scopes, tenant_id, client_claims)
        if keep is None or not isinstance(session, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            return None
        # In the place of a tenant stands the session, and how long its key is: no other pair makes the same text.
        tenant = "" if tenant_id is None else f"@{tenant_id}"
        return keep._replace(variant=f"{len(session)}:{session}{tenant}")

    def _kept(self, keep: Remember | None) -> TokenT | None:
        if keep is None or self._sessions is None:
            return None
        found = self._sessions.lookup(keep.scopes, None, keep.variant)
        return None if found is None else self._dressed(found)
