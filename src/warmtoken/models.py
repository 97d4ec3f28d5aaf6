"""What goes in and comes out at every hit: accounts and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast

TokenSource = Literal["cache", "identity_provider"]
CacheLevel = Literal["L1", "store", "L2", "none"]
CacheRefreshReason = Literal[
    "not_applicable", "force_refresh_or_claims", "no_cached_access_token", "expired", "proactively_refreshed"
]


def claims_of(jwt: str) -> dict[str, Any]:
    """Return the payload of a JSON Web Token without checking its signature (RFC 7519, section 7.2).

    Raises ValueError where the text is no JWT with a JSON object inside.
    """
    import base64
    import json

    parts = jwt.split(".")
    if len(parts) != 3:
        raise ValueError("expected a JWT of three parts")
    payload = parts[1]
    claims: object = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if not isinstance(claims, dict):
        raise ValueError("expected a JSON object as the payload of the JWT")
    return cast("dict[str, Any]", claims)


@dataclass(frozen=True, slots=True)
class Account:
    """A signed-in user, as `get_accounts()` lists it and `acquire_token_silent()` takes it.

    `home_account_id` identifies the user: `{oid}.{tid}` at Microsoft Entra, `sub` at any other issuer.
    `environment` is the authority's host; `tenant_id` the tenant of the sign-in, "" where there are none;
    `local_account_id` the user's id in that tenant (`oid`, else `sub`). Raises TypeError where one of the first two
    is no str.
    """

    home_account_id: str
    environment: str
    username: str = ""
    tenant_id: str = ""
    local_account_id: str = ""
    name: str = ""
    account_source: str = ""

    def __post_init__(self) -> None:
        # Here, and not where it is used: that may be long after, in another function.
        if not isinstance(self.home_account_id, str) or not isinstance(self.environment, str):
            kinds = f"{type(self.home_account_id).__name__} and {type(self.environment).__name__}"
            raise TypeError(f"expected home_account_id and environment of an Account to be str, got {kinds}")


@dataclass(frozen=True, slots=True)
class ResultMetadata:
    """How a result came about.

    Durations are in milliseconds; an L1 hit takes under a microsecond and reports 0.0. `refresh_on` is in Unix
    seconds, as the provider named it. `token_endpoint` is None where no request was made. Callers that waited for one
    request all get its metadata.
    """

    token_source: TokenSource
    cache_refresh_reason: CacheRefreshReason = "not_applicable"
    cache_level: CacheLevel = "none"
    refresh_on: int | None = None
    duration_total_ms: float = 0.0
    duration_http_ms: float = 0.0
    token_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class AuthenticationResult:
    """An access token and what is known about it.

    `expires_on` is in Unix seconds. `scopes` are the granted ones, which may be more than were asked for.
    `correlation_id` is None on a cache hit for which the caller gave none. `more` are the pairs that
    `additional_response_parameters` is made of. The repr shows no token.
    """

    access_token: str = field(repr=False)
    expires_on: int
    scopes: tuple[str, ...]
    token_type: str = "Bearer"
    account: Account | None = None
    id_token: str | None = field(default=None, repr=False)
    tenant_id: str = ""
    unique_id: str = ""
    correlation_id: str | None = None
    metadata: ResultMetadata = ResultMetadata("cache")
    more: tuple[tuple[str, str | int | float | bool], ...] = field(default=(), repr=False)

    @property
    def additional_response_parameters(self) -> dict[str, str | int | float | bool]:
        """What the provider said besides, by name: texts, numbers and truth values; empty from the cache (MSAL.NET)."""
        return dict(self.more)

    @property
    def id_token_claims(self) -> dict[str, Any]:
        """The claims of the id token, decoded anew at each access; empty without an id token."""
        return claims_of(self.id_token) if self.id_token else {}

    def authorization_header(self) -> str:
        """The value for an `Authorization` header, such as `Bearer eyJ…` (RFC 6750, section 2.1)."""
        return f"{self.token_type} {self.access_token}"
