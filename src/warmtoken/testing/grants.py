"""The token endpoint (RFC 6749, section 3.2): who asks, what for, and the tokens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from warmtoken.testing.counters import TokenRequest
from warmtoken.testing.exchange import OAuthError, Reply, Request, json_reply
from warmtoken.testing.signing import base64url
from warmtoken.testing.state import AccessToken, Client, RefreshToken, ReplayError, SignIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from warmtoken.testing.core import Core

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
CODE_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z")  # RFC 7636, section 4.1


def token(core: Core, request: Request) -> Reply:
    """Answer a token request; each one is logged, whatever comes of it."""
    form, client_id, outcome = dict[str, str](), "", "granted"
    try:
        form = request.parameters()
        client_id = form.get("client_id", "")
        client = authenticated_client(core, request, form)
        client_id = client.client_id
        return json_reply(_grant(form)(core, client, form))
    except OAuthError as error:
        outcome = error.error
        return error.reply()
    finally:
        _log(core, form, client_id, outcome)


def authenticated_client(core: Core, request: Request, form: dict[str, str]) -> Client:
    """The client that asks, proved by its secret where it has one (RFC 6749, section 2.3.1)."""
    client_id, secret = _credentials(request, form)
    if not client_id:
        raise OAuthError("invalid_request", "expected a client_id")
    client = core.clients.get(client_id)
    if client.secret is None and secret is None:
        return client
    if client.secret is None or secret is None or not client.knows(secret):
        raise OAuthError("invalid_client", f"client authentication failed for {client_id!r}", status=401)
    return client


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str | None]:
    header = request.headers.get("authorization")
    if header is None:
        return form.get("client_id", ""), form.get("client_secret")
    client_id, secret = _basic_credentials(header)
    if "client_secret" in form or form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "expected one way of client authentication, not two")
    return client_id, secret


def _basic_credentials(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = client_id = secret = ""
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client", "expected client credentials as HTTP Basic", status=401)
    return unquote_plus(client_id), unquote_plus(secret)


def _grant(form: dict[str, str]) -> Callable[[Core, Client, dict[str, str]], dict[str, Any]]:
    grant_type = _required(form, "grant_type")
    if grant_type not in GRANTS:
        raise OAuthError("unsupported_grant_type", f"expected one of {', '.join(GRANTS)}")
    return GRANTS[grant_type]


def _required(form: dict[str, str], name: str) -> str:
    if name not in form:
        raise OAuthError("invalid_request", f"expected the parameter {name!r}")
    return form[name]


def _log(core: Core, form: dict[str, str], client_id: str, outcome: str) -> None:
    grant_type = form.get("grant_type", "")
    entry = TokenRequest(core.clock.time(), grant_type, client_id, form.get("scope", ""), form.get("claims"), outcome)
    core.recorder.token_request(entry)
    if outcome == "granted":
        core.recorder.event("tokens_issued")
    if grant_type == "refresh_token":
        core.recorder.event("refreshes_granted" if outcome == "granted" else "refreshes_refused")


def _authorization_code(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    code = core.tokens.redeem_code(_required(form, "code"), client.client_id, now=core.clock.time())
    if form.get("redirect_uri") != code.redirect_uri:
        raise OAuthError("invalid_grant", "the redirect_uri is not that of the authorization request")
    _check_code_verifier(form.get("code_verifier"), code.code_challenge)
    return _user_tokens(core, code.sign_in, code.sign_in.scope, nonce=code.nonce)


def _check_code_verifier(verifier: str | None, challenge: str | None) -> None:
    if challenge is None and verifier is None:
        return
    if challenge is None or verifier is None or not CODE_VERIFIER.match(verifier):
        raise OAuthError("invalid_grant", "the code_verifier is missing or malformed, or there was no code_challenge")
    if base64url(hashlib.sha256(verifier.encode()).digest()) != challenge:
        raise OAuthError("invalid_grant", "the code_verifier does not fit the code_challenge (RFC 7636)")


def _refresh_token(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    settings, value, scope = core.settings, _required(form, "refresh_token"), form.get("scope")
    rotate = settings.rotation == "always" and not settings.omit_refresh_token
    try:
        sign_in = core.tokens.redeem_refresh_token(
            value, client.client_id, scope=scope, wider=settings.allow_wider_scope, rotate=rotate, now=core.clock.time()
        )
    except ReplayError:
        core.recorder.event("replays_detected")
        raise
    reply = _tokens(core, client.client_id, scope or sign_in.scope, sign_in)
    return reply | (_new_refresh_token(core, sign_in) if rotate else {})


def _client_credentials(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    if client.secret is None:
        raise OAuthError("unauthorized_client", "a public client has no credentials: RFC 6749, section 4.4")
    return _tokens(core, client.client_id, form.get("scope", ""), None)


def _device_code(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    device_code = _required(form, "device_code")
    sign_in = core.device_requests.poll(device_code, client.client_id, now=core.clock.time())
    return _user_tokens(core, sign_in, sign_in.scope)


def _user_tokens(core: Core, sign_in: SignIn, scope: str, *, nonce: str | None = None) -> dict[str, Any]:
    if sign_in.revoked:
        raise OAuthError("invalid_grant", "the sign-in was revoked")
    reply = _tokens(core, sign_in.client_id, scope, sign_in, nonce=nonce)
    offline = "offline_access" in scope.split() and not core.settings.omit_refresh_token
    return reply | (_new_refresh_token(core, sign_in) if offline else {})


def _tokens(
    core: Core, client_id: str, scope: str, sign_in: SignIn | None, *, nonce: str | None = None
) -> dict[str, Any]:
    settings = core.settings
    granted = scope if settings.granted_scope is None else settings.granted_scope
    reply: dict[str, Any] = {
        "access_token": _new_access_token(core, client_id, granted, sign_in),
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


def _new_refresh_token(core: Core, sign_in: SignIn) -> dict[str, str]:
    expires_at = core.clock.time() + core.settings.refresh_token_lifetime
    return {"refresh_token": core.tokens.add_refresh_token(RefreshToken(sign_in, expires_at))}


def _new_access_token(core: Core, client_id: str, scope: str, sign_in: SignIn | None) -> str:
    now, value = core.clock.time(), secrets.token_urlsafe(32)
    if core.settings.access_token_format == "jwt":
        value = core.keys.encode(_access_token_claims(core, client_id, scope, sign_in, value), typ="at+jwt")
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


GRANTS: dict[str, Callable[[Core, Client, dict[str, str]], dict[str, Any]]] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
    "client_credentials": _client_credentials,
    DEVICE_CODE_GRANT: _device_code,
}
