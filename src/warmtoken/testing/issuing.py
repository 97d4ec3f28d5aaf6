"""The tokens that the token endpoint hands out (RFC 6749, section 5.1)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from warmtoken.testing.exchange import OAuthError
from warmtoken.testing.state import AccessToken, RefreshToken, SignIn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warmtoken.testing.core import Core


def audience_of(parameters: Mapping[str, str]) -> str:
    """The APIs that a token is asked for: `audience`, as some providers call it, or `resource` (RFC 8707)."""
    return parameters.get("audience") or parameters.get("resource", "")


def user_tokens(core: Core, sign_in: SignIn, scope: str, *, nonce: str | None = None) -> dict[str, Any]:
    if sign_in.revoked:
        raise OAuthError("invalid_grant", "the sign-in was revoked")
    reply = tokens_of(core, sign_in.client_id, scope, sign_in, nonce=nonce, audience=sign_in.audience)
    offline = "offline_access" in scope.split() and not core.settings.omit_refresh_token
    return reply | (new_refresh_token(core, sign_in) if offline else {})


def tokens_of(
    core: Core, client_id: str, scope: str, sign_in: SignIn | None, *, nonce: str | None = None, audience: str = ""
) -> dict[str, Any]:
    settings = core.settings
    granted = scope if settings.granted_scope is None else settings.granted_scope
    reply: dict[str, Any] = {
        "access_token": _new_access_token(core, client_id, granted, sign_in, audience),
        "token_type": "Bearer",
        "expires_in": settings.access_token_lifetime,
    }
    if granted and not settings.omit_scope:
        reply["scope"] = granted
    if settings.refresh_in is not None:
        reply["refresh_in"] = settings.refresh_in
    if sign_in and "openid" in scope.split() and not settings.omit_id_token:
        reply["id_token"] = _new_id_token(core, sign_in, nonce)
    return reply


def new_refresh_token(core: Core, sign_in: SignIn) -> dict[str, str]:
    expires_at = core.clock.time() + core.settings.refresh_token_lifetime
    return {"refresh_token": core.tokens.add_refresh_token(RefreshToken(sign_in, expires_at))}


def _new_access_token(core: Core, client_id: str, scope: str, sign_in: SignIn | None, audience: str) -> str:
    now, value = core.clock.time(), secrets.token_urlsafe(32)
    if core.settings.access_token_format == "jwt":
        claims = _access_token_claims(core, client_id, scope, sign_in, value)
        value = core.keys.encode(claims | ({"aud": audience} if audience else {}), typ="at+jwt")
    expires_at = now + core.settings.access_token_lifetime
    core.tokens.add_access_token(value, AccessToken(client_id, sign_in, scope, expires_at))
    return value


def _access_token_claims(core: Core, client_id: str, scope: str, sign_in: SignIn | None, unique: str) -> dict[str, Any]:
    """RFC 9068, section 2.2."""
    issued_at = int(core.clock.time())
    return {
        "iss": core.issuer,
        "sub": core.users.claims(sign_in.username)["sub"] if sign_in else client_id,
        "aud": core.issuer,
        "client_id": client_id,
        "scope": scope,
        "iat": issued_at,
        "exp": issued_at + core.settings.access_token_lifetime,
        "jti": unique,
    }


def _new_id_token(core: Core, sign_in: SignIn, nonce: str | None) -> str:
    issued_at = int(core.clock.time())
    claims = core.users.claims(sign_in.username) | {
        "iss": core.issuer,
        "aud": sign_in.client_id,
        "iat": issued_at,
        "exp": issued_at + core.settings.id_token_lifetime,
        "auth_time": sign_in.auth_time,
        "nonce": nonce,
    }
    claims |= core.settings.id_token_claims
    return core.keys.encode({name: value for name, value in claims.items() if value is not None})
