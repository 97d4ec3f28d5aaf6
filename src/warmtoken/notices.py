"""What a program is told besides tokens; loaded where there is something to tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypedDict

from warmtoken.models import Account, AuthenticationResult, ResultMetadata, claims_of


@dataclass(frozen=True, slots=True)
class TenantProfile:
    """What one tenant says of a user, as `get_tenant_profiles()` lists it (MSAL.NET's TenantProfile).

    `tenant_id` is "" where there are no tenants; `local_account_id` is the user's id in this tenant (`oid`, else
    `sub`); `is_home` tells the user's own tenant from those that invited the user. The repr shows no token.
    """

    tenant_id: str
    local_account_id: str
    is_home: bool
    id_token: str = field(repr=False)

    @property
    def id_token_claims(self) -> dict[str, Any]:
        """The claims of the id token, decoded anew at each access."""
        return claims_of(self.id_token)


@dataclass(frozen=True, slots=True)
class BackgroundRefresh:
    """What came of a refresh that nobody waited for, since the cached token was still good.

    `scopes` are those asked for, `account` is None for a client's own token. Either `metadata`, of the new token, or
    `error` is there.
    """

    scopes: tuple[str, ...]
    account: Account | None
    metadata: ResultMetadata | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What to show the user who signs in on another device (RFC 8628, section 3.3).

    `message` says it in English. `verification_uri_complete`, where there is one, holds the user code already: good
    for a link or a QR code. `expires_on` is in Unix seconds.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_on: int
    message: str


class AuthCodeFlow(TypedDict):
    """A sign-in at a web site, under way: to be kept in the user's session, which stores it as JSON, and nowhere else.

    `auth_uri` is where to send the browser; it need not be kept. `state`, `nonce` and `code_verifier` are secrets of
    this browser's session. `partition` is a mark of the application's, "" for none. `created_at` is in Unix seconds,
    `max_age` in seconds.
    """

    auth_uri: str
    state: str
    nonce: str
    code_verifier: str
    redirect_uri: str
    scope: list[str]
    claims_challenge: str | None
    login_hint: str | None
    prompt: str | None
    max_age: int | None
    correlation_id: str
    client_id: str
    authority: str
    partition: str
    created_at: int


@dataclass(frozen=True, slots=True)
class LongRunningSession:
    """What `initiate_long_running_on_behalf_of` began: the first token, and the key by which to get others.

    Whoever has the key gets the user's tokens from this client: keep it as you keep a token. The repr shows neither.
    """

    session_key: str = field(repr=False)
    result: AuthenticationResult
