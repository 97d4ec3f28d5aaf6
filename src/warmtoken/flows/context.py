"""What the flows of one application have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from warmtoken import _engine
from warmtoken.cache.lookup_keys import Owner, PlainRequest, Slot
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.errors import ClientError
from warmtoken.protocol.authority import CLOUDS, Authority, cloud_name, request_authority

if TYPE_CHECKING:
    from warmtoken.flows.effects import Flow
    from warmtoken.notices import BackgroundRefresh
    from warmtoken.protocol.client_authentication import Client
    from warmtoken.protocol.discovery import ProviderMetadata
    from warmtoken.protocol.managed_identity import ManagedIdentity
    from warmtoken.protocol.parameters import Parameters
    from warmtoken.protocol.token_request import RequestContext

HTTP_TIMEOUT = 30.0  # seconds, for all requests of one call
_KEPT_AUTHORITIES = 1024


@dataclass(slots=True)
class Context:
    """An application's client, authority and cache.

    `expiry_margin` is in seconds; None is the rule of `freshness`. `redirect_path` None is the provider's custom.
    `on_background_refresh` is told what came of refreshes that nobody waits for. `multi_cloud` says that users of all
    Entra clouds are the application's, whichever the authority is of. `managed_identity` is who the client is where it
    is no registered one. `partition` is what applications have in common that see each other's tokens
    (`lookup_keys.partition_of`), `parameters` what they send along with each request.
    `metadata` keeps discovered endpoints by authority, each with the monotonic time of its arrival. Raises TypeError
    and ValueError where one of them cannot be.
    """

    client: Client
    authority: Authority
    cache: TokenCache
    client_capabilities: Sequence[str] = ()
    expiry_margin: float | None = None
    redirect_path: str | None = None
    on_background_refresh: Callable[[BackgroundRefresh], object] | None = None
    multi_cloud: bool = False
    managed_identity: ManagedIdentity | None = None
    partition: str = field(default="", repr=False)
    parameters: Parameters = field(default=(), repr=False)
    metadata: dict[str, tuple[float, ProviderMetadata]] = field(default_factory=lambda: {})  # noqa: PIE807 (typed)
    _home_authorities: dict[str, Authority] = field(default_factory=lambda: {}, repr=False)  # noqa: PIE807 (typed)
    _clouds: dict[str, Context] = field(default_factory=lambda: {}, repr=False)  # noqa: PIE807 (typed)

    def __post_init__(self) -> None:
        if self.expiry_margin is not None:
            from warmtoken.flows.requests import check_seconds

            check_seconds("expiry_margin", self.expiry_margin)
        if self.on_background_refresh is not None:
            from warmtoken.flows.requests import check_function

            check_function("on_background_refresh", self.on_background_refresh)

    @property
    def is_public(self) -> bool:
        """Whether the client is a program on its user's device, with nothing to prove itself by."""
        return self.client.credential is None and self.managed_identity is None

    def check_credential(self) -> None:
        """Refuse to ask the authority for a client whose program gets its tokens elsewhere, with a ClientError."""
        if self.client.credential is None:
            return
        from warmtoken.credentials import AppTokenProvider

        if isinstance(self.client.credential, AppTokenProvider):
            raise ClientError(
                "client_credential_required",
                "expected a credential that the authority takes, such as a ClientSecret, got an AppTokenProvider, with "
                "which there is acquire_token_for_client alone; make another application for what users are needed for",
            )

    @property
    def vault(self) -> Vault:
        """The open cache; CacheError where it cannot be opened."""
        return self.cache.vault()

    def now(self) -> float:
        """Return the wall clock in Unix seconds."""
        return self.cache.clock.time()

    def owner(self, home_account_id: str | None) -> Owner:
        """Return whose tokens a request is about: a user's, or the client's own (None)."""
        return Owner(self.authority.cache_name, self.client.client_id, home_account_id, "", self.partition)

    def issues_for(self, environment: str) -> bool:
        """Tell whether accounts of this environment are the authority's."""
        return environment == self.authority.environment or self.authority.issues_for(environment)

    def at(self, environment: str) -> Context:
        """Return the context of the cloud that an account is of: this one, unless the application is of all clouds."""
        if not self.multi_cloud:
            return self
        host = environment.lower()
        cloud = cloud_name(host)
        if cloud is None or cloud == self.authority.cache_name:
            return self
        found = self._clouds.get(cloud)
        if found is None:
            authority = self.authority.in_cloud(host)
            found = self._clouds[cloud] = replace(self, authority=authority, _home_authorities={}, _clouds={})
        return found

    def of_all_clouds(self) -> tuple[Context, ...]:
        """Return the contexts of all clouds whose users are the application's, its own first."""
        if not self.multi_cloud:
            return (self,)
        others = (cloud.issuer_host for cloud in CLOUDS if cloud.preferred_cache != self.authority.cache_name)
        return (self, *map(self.at, others))

    def request_authority(self, home_account_id: str, tenant_id: str | None) -> Authority:
        """Return the authority for one user's request, as `protocol.authority.request_authority` says."""
        if tenant_id is None and not self.authority.is_tenantless:
            return self.authority
        _, dot, home_tenant = home_account_id.rpartition(".")
        if tenant_id is not None or not dot:
            return request_authority(self.authority, home_account_id, tenant_id)
        found = self._home_authorities.get(home_tenant)
        if found is None:
            found = request_authority(self.authority, home_account_id, None)
            if len(self._home_authorities) < _KEPT_AUTHORITIES:
                self._home_authorities[home_tenant] = found
        return found

    def slot(self, home_account_id: str | None, authority: Authority, extended_key: str = "") -> Slot:
        """Return where the tokens of a request lie."""
        return Slot(self.owner(home_account_id), authority.tenant, "Bearer", "", extended_key)

    def plain_request(self, vault: Vault, realm: str, scopes: tuple[str, ...]) -> PlainRequest:
        """Return what the client's users look for in a realm who ask for these scopes, folded and sorted, alone."""
        authority, client_id = self.authority.cache_name, self.client.client_id
        return vault.keys.plain_request(authority, client_id, self.partition, realm, scopes)

    def session_slot(
        self, session: str, authority: Authority, extended_key: str, home_account_id: str | None = None
    ) -> Slot:
        """Return where the tokens of a session lie; whose they are is not known before they are found.

        In the tenant that was asked for, be it `common`: who asks so again gets what that brought.
        """
        owner = self.owner(home_account_id)._replace(session=session)
        return Slot(owner, authority.tenant, extended_key=extended_key)

    def request(
        self, authority: Authority, metadata: ProviderMetadata, correlation_id: str, mailbox: str = ""
    ) -> RequestContext:
        """Return what the protocol needs to build a request; `mailbox` is the user's, as far as is known."""
        from warmtoken.protocol.token_request import RequestContext

        return RequestContext(authority, metadata, self.client, correlation_id, self.now(), mailbox, self.parameters)


def open_cache(context: Context) -> Flow[None]:
    """Open the cache file where it was not used before, which may block; CacheError where it cannot be opened."""
    from warmtoken.flows.effects import Call

    if not context.cache.is_open:
        yield Call(context.cache.vault)


class Remember(NamedTuple):
    """How a result read from the file is kept in memory, for the same request of the account that it is for.

    `view` opens the application's window on what is kept.
    """

    view: Callable[[], _engine.View]
    scopes: Sequence[str]
    variant: str | None


class Stopwatch:
    """Measures a call, in milliseconds: all of it, and the part spent waiting for the provider."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.http_ms = 0.0

    def total_ms(self) -> float:
        """Return the milliseconds since the call began."""
        return (time.perf_counter() - self._start) * 1000

    def count_http(self, since: float) -> None:
        """Add the time since `since`, in seconds of time.perf_counter, to the provider's part."""
        self.http_ms += (time.perf_counter() - since) * 1000
