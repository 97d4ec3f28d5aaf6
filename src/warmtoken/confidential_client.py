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
    _paths: _engine.View | None = None

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
        from warmtoken.credentials import check_credential

        check_credential(credential)  # None too, as of a setting that is missing
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
        fmi_path: str | None,
    ) -> TokenT:
        scopes = unchanging(scopes)
        view = self._view_of_own if fmi_path is None else self._view_of_paths
        keep = keep_in(view, scopes, tenant_id, client_claims)
        if fmi_path is not None:
            keep = _apart(keep, fmi_path)
            is_plain = not force_refresh and claims is None and min_validity is None and correlation_id is None
            if is_plain and refresh_if_sha256 is None and (kept := self._kept(self._paths, keep)) is not None:
                return kept
        from warmtoken.flows.client_credentials import acquire_for_client
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
            fmi_path,
        )
        token: TokenT = self._run(acquire_for_client(self._context, request))
        return token

    def acquire_token_by_user_federated_identity_credential(
        self,
        scopes: Iterable[str],
        assertion: str,
        *,
        username: str | None = None,
        user_object_id: str | None = None,
        tenant_id: str | None = None,
        claims: str | None = None,
        correlation_id: str | None = None,
    ) -> TokenT:
        """Trade a federated identity credential for a user's tokens, keep them, and return an access token.

        So an agent signs its own user in at Microsoft Entra (docs/agent-identities.md): `assertion` is the token that
        it got for `api://AzureADTokenExchange/.default`, and either `username` or `user_object_id` names the user. The
        cache is not read: ask `acquire_token_silent` with the account first. Raises ClientError `tenant_required` where
        the authority names no tenant, `user_mismatch` where the tokens are not those of the user with this object id,
        UiRequiredError, ServiceError, ProtocolError and TransportError where the provider says no or fails. Follows
        MSAL Python's method of this name.
        """
        from warmtoken.flows.federated_credential import acquire_by_federated_credential
        from warmtoken.flows.requests import FederatedCredentialRequest

        request = FederatedCredentialRequest(
            scopes, assertion, username, user_object_id, tenant_id, claims, correlation_id
        )
        token: TokenT = self._run(acquire_by_federated_credential(self._context, request))
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
        if is_plain and refresh_if_sha256 is None and (kept := self._kept(self._sessions, keep)) is not None:
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
        from warmtoken.flows.requests import TokenRequest, check_flag

        check_flag("search_in_cache", search_in_cache)
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
        if is_plain and (kept := self._kept(self._sessions, keep)) is not None:
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

    def _view_of_paths(self) -> _engine.View:
        if self._paths is None or not self._paths.is_live:
            self._paths = self._context.cache.view()
        return self._paths

    def _keep_in_session(
        self, session: str, scopes: Iterable[str], tenant_id: str | None, client_claims: str | None
    ) -> Remember | None:
        return _apart(keep_in(self._view_of_sessions, scopes, tenant_id, client_claims), session)

    def _kept(self, view: _engine.View | None, keep: Remember | None) -> TokenT | None:
        if keep is None or view is None:
            return None
        found = view.lookup(keep.scopes, None, keep.variant)
        return None if found is None else self._dressed(found)


def _apart(keep: Remember | None, name: str) -> Remember | None:
    """Return how a view keeps what is of one session or path; all that is in such a view is kept so."""
    if keep is None or not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return None
    # In the place of a tenant stands the name, and how long it is: no other pair makes the same text.
    tenant = "" if keep.variant is None else f"@{keep.variant}"
    return keep._replace(variant=f"{len(name)}:{name}{tenant}")
