"""The applications' methods, defined once for both worlds: arguments, and which flow runs where memory has no answer.

What a method returns depends on how flows are run: the result itself in `application`, an awaitable in `aio`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from warmtoken import _engine
from warmtoken.cache.lookup_keys import partition_of
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import UiRequiredError
from warmtoken.flows.cached import find_cached
from warmtoken.flows.context import Context, Remember
from warmtoken.imports import wait_for_imports
from warmtoken.models import Account
from warmtoken.protocol.authority import parse_authority
from warmtoken.protocol.client_authentication import Client

if TYPE_CHECKING:
    from typing import NoReturn, TypeGuard

    from warmtoken.cache.vault import Vault
    from warmtoken.credentials import ClientCredential
    from warmtoken.flows.effects import Flow
    from warmtoken.notices import BackgroundRefresh
    from warmtoken.protocol.parameters import Parameters

# Flows are imported where they begin: a process that finds its token in the cache needs none of them.

DEFAULT_AUTHORITY = "https://login.microsoftonline.com/common"

TokenT = TypeVar("TokenT")
AccountsT = TypeVar("AccountsT")
AccountT = TypeVar("AccountT")
NothingT = TypeVar("NothingT")
ProfilesT = TypeVar("ProfilesT")
AuthCodeFlowT = TypeVar("AuthCodeFlowT")
TransportT = TypeVar("TransportT")


class Application(_engine.ResultPath[TokenT], Generic[TokenT, TransportT]):
    """An application's window on the cache, and how its flows are run, which the two worlds define."""

    _context: Context

    @property
    def cache(self) -> TokenCache:
        """The token cache of this application."""
        return self._context.cache

    def _use(self, transport: TransportT | None) -> None:
        raise NotImplementedError

    def _run(self, flow: Flow[Any]) -> Any:
        raise NotImplementedError

    def _open_vault(self) -> Vault | None:
        raise NotImplementedError

    # Results for users and for the client itself lie apart: no request for one can hit the other's.

    def _view_of_own(self) -> _engine.View:
        if self._own is None or not self._own.is_live:
            self._own = self._context.cache.view()
        return self._own


# A call of a compiled method looks for its class among the bases in their order: so that class comes first.
class ClientApplication(
    _engine.HitPath[TokenT],
    Application[TokenT, TransportT],
    Generic[TokenT, AccountsT, AccountT, NothingT, ProfilesT, AuthCodeFlowT, TransportT],
):
    """One client at one authority, with its window on the cache. Making one costs no request and opens no file."""

    def __init__(
        self,
        client_id: str,
        credential: ClientCredential | None,
        authority: str,
        cache: TokenCache | None,
        client_capabilities: Sequence[str],
        expiry_margin: float | None,
        on_background_refresh: Callable[[BackgroundRefresh], object] | None,
    ) -> None:
        check_client(client_id, cache, client_capabilities)
        self._context = Context(
            Client(client_id, credential),
            parse_authority(authority),
            cache if cache is not None else TokenCache(),
            tuple(client_capabilities),
            expiry_margin,
            on_background_refresh=on_background_refresh,
        )

    def _keep_apart(self, partition: str, parameters: Mapping[str, str | Sequence[str]] | None) -> None:
        self._partition = check_partition(partition)
        pairs: Parameters = ()
        if parameters is not None:
            from warmtoken.protocol.parameters import checked_parameters

            pairs = checked_parameters(parameters)
        self._context.parameters = pairs
        self._context.partition = partition_of(partition, pairs)

    def __repr__(self) -> str:
        context = self._context
        partition = f", partition={self._partition!r}" if self._partition else ""
        names = ", ".join(f"{name!r}: …" for name in dict(context.parameters))  # what they say is nobody's business
        parameters = f", parameters={{{names}}}" if names else ""
        client_id, authority = context.client.client_id, context.authority.url
        return f"{type(self).__name__}({client_id!r}, authority={authority!r}{partition}{parameters})"

    def __reduce__(self) -> NoReturn:
        refuse_to_pickle(self)

    def _view_of_users(self) -> _engine.View:
        if self._users is None or not self._users.is_live:
            self._users = self._context.cache.view()
        return self._users

    def get_accounts(self, username: str | None = None) -> AccountsT:
        """Return the accounts that are signed in to this client, by username; `username` is compared without case.

        Signed in is who has a refresh token (MSAL.NET's rule) or a usable access token: whom acquire_token_silent
        can serve. Raises CacheError where the cache cannot be opened.
        """
        from warmtoken.flows.accounts import list_accounts

        accounts: AccountsT = self._run(list_accounts(self._context, username))
        return accounts

    def get_account(self, home_account_id: str) -> AccountT:
        """Return the account with this id if it is signed in, else None; Microsoft's ids are compared without case."""
        from warmtoken.flows.accounts import find_account

        account: AccountT = self._run(find_account(self._context, home_account_id))
        return account

    def remove_account(self, account: Account) -> NothingT:
        """Sign an account out of this client: delete its tokens in all tenants in one commit, for all processes.

        The user's session at the identity provider stays. Raises CacheError where the cache cannot be written.
        """
        from warmtoken.flows.accounts import remove_account

        nothing: NothingT = self._run(remove_account(self._context, account))
        return nothing

    def get_tenant_profiles(self, account: Account) -> ProfilesT:
        """Return what each tenant that the account signed in to says of it, a list of TenantProfile, its own first.

        There is one for each id token of this client (MSAL.NET's rule), so none without the scope `openid`. Raises
        CacheError where the cache cannot be opened.
        """
        from warmtoken.flows.accounts import list_tenant_profiles

        profiles: ProfilesT = self._run(list_tenant_profiles(self._context, account))
        return profiles

    def _refuse(self, error: UiRequiredError) -> TokenT:
        def refuse() -> Flow[Any]:
            raise copy.copy(error)
            yield

        token: TokenT = self._run(refuse())
        return token

    def _acquire_token_silent(
        self,
        scopes: Iterable[str],
        account: Account | None,
        login_hint: str | None,
        tenant_id: str | None,
        force_refresh: bool,
        claims: str | None,
        min_validity: float | None,
        correlation_id: str | None,
        client_claims: str | None,
        refresh_if_sha256: str | None,
    ) -> TokenT:
        scopes = unchanging(scopes)
        is_plain = not force_refresh and claims is None and min_validity is None and correlation_id is None
        is_plain = is_plain and client_claims is None and refresh_if_sha256 is None and login_hint is None
        if is_plain and account is not None and is_rememberable(scopes, tenant_id):
            vault = self._open_vault()
            if vault is not None:
                found = find_cached(self._context, vault, scopes, account, tenant_id, self._view_of_users)
                if found is not None:
                    return self._dressed(found)
        from warmtoken.flows.requests import TokenRequest
        from warmtoken.flows.silent import acquire_silent

        keep = keep_in(self._view_of_users, scopes, tenant_id, client_claims)
        request = TokenRequest(
            scopes,
            account,
            login_hint,
            tenant_id,
            force_refresh,
            claims,
            min_validity,
            correlation_id,
            keep,
            client_claims,
            refresh_if_sha256,
        )
        token: TokenT = self._run(acquire_silent(self._context, request))
        return token

    def initiate_auth_code_flow(
        self,
        scopes: Iterable[str],
        redirect_uri: str,
        *,
        login_hint: str | None = None,
        domain_hint: str | None = None,
        prompt: str | None = None,
        claims: str | None = None,
        max_age: int | None = None,
        response_mode: Literal["query", "form_post"] | None = None,
        correlation_id: str | None = None,
    ) -> AuthCodeFlowT:
        """Begin a user's sign-in at a web site and return an AuthCodeFlow, a dict to keep in the user's session.

        Send the browser to its `auth_uri`; it comes back to `redirect_uri`, which is https, or http on loopback, and
        registered with the provider: by GET, or by POST with `response_mode="form_post"`. `max_age` is in seconds: a
        user who signed in longer ago does so again, which is checked. Asks the provider for its metadata once a day.
        Raises ProtocolError `pkce_not_supported`, ServiceError and TransportError where there are none.
        """
        from warmtoken.flows.auth_code_flow import initiate
        from warmtoken.flows.requests import AuthCodeRequest

        request = AuthCodeRequest(
            scopes, redirect_uri, login_hint, domain_hint, prompt, claims, max_age, response_mode, correlation_id
        )
        flow: AuthCodeFlowT = self._run(initiate(self._context, request))
        return flow

    def acquire_token_by_auth_code_flow(
        self, flow: Mapping[str, object] | None, params: Mapping[str, object] | Iterable[tuple[str, str]]
    ) -> TokenT:
        """Redeem what the browser brought back to a web site, keep what it brings, and return an access token.

        `flow` is what initiate_auth_code_flow returned at most an hour ago, None where the session has none: take it
        out of the session first, since it serves once. `params` are the query's parameters, or the form's. The cache
        is not read. Raises ClientError where the redirect is not the answer to this sign-in (`state_mismatch`), comes
        too late (`auth_code_flow_expired`) or the user refused (`access_denied`), UiRequiredError, ServiceError,
        ProtocolError and TransportError where the provider says no or fails (RFC 6749, section 4.1; RFC 9207).
        """
        from warmtoken.flows.auth_code_flow import redeem

        token: TokenT = self._run(redeem(self._context, flow, params))
        return token

    def acquire_token_by_refresh_token(self, refresh_token: str, scopes: Iterable[str]) -> TokenT:
        """Redeem a refresh token of another library and keep what it brings, such as its account.

        Raises UiRequiredError where the provider takes the token no more.
        """
        from warmtoken.flows.refresh import import_refresh_token
        from warmtoken.flows.requests import TokenRequest

        token: TokenT = self._run(import_refresh_token(self._context, refresh_token, TokenRequest(scopes)))
        return token


def check_client(client_id: object, cache: object, client_capabilities: object) -> None:
    """Refuse arguments that cannot be with TypeError or ValueError."""
    if not isinstance(client_id, str):
        raise TypeError(f"expected client_id to be a str, got {type(client_id).__name__}")
    if not client_id.strip():
        raise ValueError("expected client_id to have something in it, got an empty or blank str")
    if not client_id.isprintable():  # RFC 6749, appendix A.1
        raise ValueError("expected client_id without control characters, such as a line break at its end")
    if cache is not None and not isinstance(cache, TokenCache):
        raise TypeError(f"expected cache to be a TokenCache or None, got {type(cache).__name__}")
    if not isinstance(client_capabilities, list | tuple):
        raise TypeError(
            f'expected client_capabilities to be a list such as ["cp1"], got {type(client_capabilities).__name__}'
        )
    if not all(isinstance(capability, str) for capability in cast("Sequence[object]", client_capabilities)):
        raise TypeError('expected client_capabilities to be a list of str such as ["cp1"], got one of another type')


def refuse_to_pickle(application: Application[Any, Any]) -> NoReturn:
    """Say with TypeError what to do instead of pickling or copying an application."""
    raise TypeError(
        f"expected no {type(application).__name__} to pickle or copy, since it holds connections, credentials and a "
        "cache; make one where it is needed: that costs no request, and the same cache path has the same tokens"
    )


def check_transport(transport: object) -> None:
    """Refuse what can send nothing with TypeError, before a token is needed."""
    if transport is not None and not callable(getattr(transport, "send", None)):
        raise TypeError(
            f"expected transport to be None or to have a method send(request, *, timeout), "
            f"got {type(transport).__name__}"
        )


def check_partition(partition: object) -> str:
    """Return the name of a partition; refuse what cannot be one with TypeError or ValueError."""
    if not isinstance(partition, str):
        raise TypeError(f"expected partition to be a str, got {type(partition).__name__}")
    if not partition.isascii():
        from warmtoken.texts import is_unicode

        if not is_unicode(partition):
            raise ValueError("expected partition to be text that UTF-8 can encode, got a lone surrogate")
    return partition


def unchanging(scopes: Iterable[str]) -> Iterable[str]:
    """Return scopes that stay as they are while the call runs, whatever becomes of the caller's list."""
    # Else what was looked up for the scopes of before would be kept in memory for those of after.
    return tuple(scopes) if isinstance(scopes, list) else scopes


def keep_in(
    view: Callable[[], _engine.View], scopes: Iterable[str], tenant_id: str | None, client_claims: str | None
) -> Remember | None:
    """Return how memory keeps what answers a request, None where it cannot."""
    # In memory a request with client claims would look like one without.
    if client_claims is not None or not is_rememberable(scopes, tenant_id):
        return None
    return Remember(view, scopes, tenant_id)


def is_rememberable(scopes: Iterable[str], tenant_id: str | None) -> TypeGuard[Sequence[str]]:
    """Tell whether memory can keep what answers a request for these."""
    # What is no list or tuple may be used up by now; what is no text is refused by the flow.
    return isinstance(scopes, (list, tuple)) and (tenant_id is None or isinstance(tenant_id, str))


os.register_at_fork(before=wait_for_imports)  # a thread may be importing a flow
