"""The token endpoint (RFC 6749, section 3.2): who asks, and what for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from warmtoken.testing.counters import TokenRequest
from warmtoken.testing.exchange import OAuthError, Reply, Request, json_reply
from warmtoken.testing.issuing import audience_of, new_refresh_token, tokens_of, user_tokens
from warmtoken.testing.on_behalf_of import JWT_BEARER_GRANT, TOKEN_EXCHANGE_GRANT, on_behalf_of, token_exchange
from warmtoken.testing.signing import base64url
from warmtoken.testing.state import Client, ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from warmtoken.testing.core import Core
    from warmtoken.testing.settings import OnBehalfOf

    _Grant: TypeAlias = Callable[[Core, Client, dict[str, str]], dict[str, Any]]

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# The parameters of the grants; of others, those that hold secrets: the log has none.
STANDARD = frozenset(
    {
        "actor_token",
        "assertion",
        "claims",
        "client_assertion",
        "client_assertion_type",
        "client_id",
        "client_info",
        "client_secret",
        "code",
        "code_verifier",
        "device_code",
        "grant_type",
        "password",
        "redirect_uri",
        "refresh_token",
        "requested_token_type",
        "requested_token_use",
        "scope",
        "subject_token",
        "subject_token_type",
        "user_federated_identity_credential",
        "username",
    }
)
CODE_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z")  # RFC 7636, section 4.1


def token(core: Core, request: Request) -> Reply:
    """Answer a token request; each one is logged, whatever comes of it."""
    form, client_id, outcome = dict[str, str](), "", "granted"
    try:
        form = request.parameters()
        client_id = form.get("client_id", "")
        client = authenticated_client(core, request, form)
        client_id = client.client_id
        return json_reply(_grant(core, form)(core, client, form))
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


def _grant(core: Core, form: dict[str, str]) -> _Grant:
    grant_type = _required(form, "grant_type")
    known = grants(core)
    if grant_type not in known:
        raise OAuthError("unsupported_grant_type", f"expected one of {', '.join(known)}")
    return known[grant_type]


def _required(form: dict[str, str], name: str) -> str:
    if name not in form:
        raise OAuthError("invalid_request", f"expected the parameter {name!r}")
    return form[name]


def _log(core: Core, form: dict[str, str], client_id: str, outcome: str) -> None:
    grant_type = form.get("grant_type", "")
    scope, claims, others = form.get("scope", ""), form.get("claims"), form.keys() - STANDARD
    more = {name: form[name] for name in sorted(others)}
    entry = TokenRequest(core.clock.time(), grant_type, client_id, scope, claims, outcome, more)
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
    return user_tokens(core, code.sign_in, code.sign_in.scope, nonce=code.nonce)


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
    reply = tokens_of(core, client.client_id, scope or sign_in.scope, sign_in, audience=sign_in.audience)
    return reply | (new_refresh_token(core, sign_in) if rotate else {})


def _client_credentials(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    if client.secret is None:
        raise OAuthError("unauthorized_client", "a public client has no credentials: RFC 6749, section 4.4")
    return tokens_of(core, client.client_id, form.get("scope", ""), None, audience=audience_of(form))


def _device_code(core: Core, client: Client, form: dict[str, str]) -> dict[str, Any]:
    device_code = _required(form, "device_code")
    sign_in = core.device_requests.poll(device_code, client.client_id, now=core.clock.time())
    return user_tokens(core, sign_in, sign_in.scope)


def grants(core: Core) -> dict[str, _Grant]:
    """What the provider grants tokens for, by grant_type."""
    return _GRANTS | _ON_BEHALF_OF[core.settings.on_behalf_of]


_GRANTS: dict[str, _Grant] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
    "client_credentials": _client_credentials,
    DEVICE_CODE_GRANT: _device_code,
}
_ON_BEHALF_OF: dict[OnBehalfOf, dict[str, _Grant]] = {
    "jwt-bearer": {JWT_BEARER_GRANT: on_behalf_of},
    "token-exchange": {TOKEN_EXCHANGE_GRANT: token_exchange},
}
