"""The grant by which a web API acts for its caller: a user's access token for another one (RFC 7523, section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmtoken.testing.exchange import OAuthError
from warmtoken.testing.issuing import user_tokens
from warmtoken.testing.state import Client, SignIn

if TYPE_CHECKING:
    from warmtoken.testing.core import Core

JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def on_behalf_of(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    """Give a confidential client tokens of the user whose access token it holds, as Microsoft Entra does."""
    if client.secret is None:
        raise OAuthError("unauthorized_client", "a public client cannot act for its callers")
    if form.get("requested_token_use") != "on_behalf_of":
        raise OAuthError("invalid_request", "expected requested_token_use=on_behalf_of")
    if "assertion" not in form:
        raise OAuthError("invalid_request", "expected the parameter 'assertion'")
    sign_in = _caller(core, form["assertion"])
    scope = form.get("scope", "")
    # A sign-in of its own: what the API gets is the API's, and is not revoked with the caller's client.
    return user_tokens(core, SignIn(client.client_id, sign_in.username, scope, sign_in.auth_time), scope)


def _caller(core: Core, assertion: str) -> SignIn:
    found = core.tokens.access_token(assertion, now=core.clock.time())
    if found is None:
        raise OAuthError(
            "invalid_grant", "the assertion is no access token of this provider, has expired or was revoked"
        )
    if found.sign_in is None:
        raise OAuthError("invalid_grant", "the assertion is a client's own access token, and names no user")
    return found.sign_in
