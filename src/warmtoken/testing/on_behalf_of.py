"""The grants by which a web API acts for its caller: a user's access token for another one (RFC 7523, RFC 8693)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmtoken.testing.exchange import OAuthError
from warmtoken.testing.issuing import audience_of, user_tokens
from warmtoken.testing.state import Client, SignIn

if TYPE_CHECKING:
    from warmtoken.testing.core import Core

JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def on_behalf_of(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    """Give a confidential client tokens of the user whose access token it holds, as Microsoft Entra does."""
    if client.secret is None:
        raise OAuthError("unauthorized_client", "a public client cannot act for its callers")
    if form.get("requested_token_use") != "on_behalf_of":
        raise OAuthError("invalid_request", "expected requested_token_use=on_behalf_of")
    return _traded(core, client, form, "assertion", "invalid_grant")


def token_exchange(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    """Give a confidential client tokens of the user whose access token it holds (RFC 8693)."""
    if client.secret is None:
        raise OAuthError("unauthorized_client", "a public client cannot act for its callers")
    for name in ("subject_token_type", "requested_token_type"):
        if form.get(name, _ACCESS_TOKEN) != _ACCESS_TOKEN or (name == "subject_token_type" and name not in form):
            raise OAuthError("invalid_request", f"expected {name}={_ACCESS_TOKEN}")
    # RFC 8693, section 2.2.2: a token that is worth nothing is an invalid request
    return _traded(core, client, form, "subject_token", "invalid_request") | {"issued_token_type": _ACCESS_TOKEN}


def _traded(core: Core, client: Client, form: dict[str, str], name: str, refusal: str) -> dict[str, Any]:
    if name not in form:
        raise OAuthError("invalid_request", f"expected the parameter {name!r}")
    sign_in = _caller(core, form[name], refusal)
    scope = form.get("scope", "")
    # A sign-in of its own: what the API gets is the API's, and is not revoked with the caller's client.
    own = SignIn(client.client_id, sign_in.username, scope, sign_in.auth_time, audience=audience_of(form))
    return user_tokens(core, own, scope)


def _caller(core: Core, assertion: str, refusal: str) -> SignIn:
    found = core.tokens.access_token(assertion, now=core.clock.time())
    if found is None:
        raise OAuthError(refusal, "the assertion is no access token of this provider, has expired or was revoked")
    if found.sign_in is None:
        raise OAuthError(refusal, "the assertion is a client's own access token, and names no user")
    return found.sign_in
