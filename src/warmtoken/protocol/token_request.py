"""Requests to a provider's endpoints: one builder a grant."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode

from warmtoken.errors import ClientError, ProtocolError
from warmtoken.protocol.client_authentication import Client, authenticate
from warmtoken.protocol.entra_headers import entra_headers
from warmtoken.protocol.scopes import RESERVED, lookup_scopes, wire_scopes
from warmtoken.protocol.token_exchange import exchange_fields, knows_token_exchange
from warmtoken.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from warmtoken.protocol.authority import Authority
    from warmtoken.protocol.discovery import ProviderMetadata
    from warmtoken.protocol.parameters import Parameters

SECRET_FIELDS = frozenset(
    {
        "refresh_token",
        "code",
        "code_verifier",
        "device_code",
        "client_secret",
        "client_assertion",
        "assertion",
        "subject_token",
        "user_federated_identity_credential",
    }
)
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What all requests of one flow share; `now` is in Unix seconds, `mailbox` one of `entra_headers`.

    `parameters` are the program's own, sent behind those of the protocol. Raises ValueError for a correlation id that
    cannot stand in a header.
    """

    authority: Authority
    metadata: ProviderMetadata
    client: Client
    correlation_id: str
    now: float
    mailbox: str = ""
    parameters: Parameters = field(default=(), repr=False)

    def __post_init__(self) -> None:
        correlation_id = self.correlation_id
        is_plain = correlation_id.isascii() and correlation_id.isprintable() and correlation_id != ""
        if not is_plain or correlation_id != correlation_id.strip():  # RFC 9110, section 5.5
            raise ValueError("expected a correlation id of printable ASCII without blanks at its ends, such as a UUID")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What the browser takes to the provider; `scopes` as typed, `code_challenge` S256.

    `domain_hint` names the user's organization at Entra; `max_age` is in seconds; `response_mode` says how the answer
    comes back, "query" or "form_post", None as the provider does by itself. `instance_aware` asks Entra
    to say in which of its clouds the user's account is.
    """

    redirect_uri: str
    scopes: Sequence[str]
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    code_challenge: str
    login_hint: str | None = None
    prompt: str | None = None
    claims: str | None = None
    instance_aware: bool = False
    domain_hint: str | None = None
    max_age: int | None = None
    response_mode: str | None = None


def authorization_url(context: RequestContext, request: AuthorizationRequest) -> str:
    """Return the URL to open in the browser (RFC 6749, section 4.1.1; RFC 7636, section 4.3).

    Raises ProtocolError `pkce_not_supported` where the provider lists its code challenge methods without S256.
    """
    methods = context.metadata.code_challenge_methods
    if methods and "S256" not in methods:
        raise ProtocolError(
            "pkce_not_supported",
            "expected a provider with PKCE S256, its metadata list other code challenge methods only",
            correlation_id=context.correlation_id,
        )
    endpoint = context.metadata.authorization_endpoint
    query = urlencode([*_authorization_parameters(context, request).items(), *context.parameters], quote_via=quote)
    return f"{endpoint}{_joint(endpoint)}{query}"


def authorization_code_request(
    context: RequestContext,
    code: str,
    *,
    redirect_uri: str,
    code_verifier: str,
    scopes: Sequence[str] = (),
    claims: str | None = None,
) -> HttpRequest:
    """Return the request that trades a code for tokens (RFC 6749, section 4.1.3; RFC 7636, section 4.5)."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
        **_entra_fields(context),
        **_filled(claims=claims),
    }
    if context.authority.speaks_entra:  # elsewhere the code alone says what was granted
        fields["scope"] = wire_scopes(scopes)
    return _token_request(context, fields)


def refresh_request(
    context: RequestContext, refresh_token: str, scopes: Sequence[str], *, claims: str | None = None
) -> HttpRequest:
    """Return the request that trades a refresh token for an access token (RFC 6749, section 6)."""
    # Nothing that was not granted. A sign-in always grants `openid`; `profile` and `offline_access` it may not.
    return _refresh_request(context, refresh_token, ["openid", *scopes], claims)


def session_refresh_request(
    context: RequestContext, refresh_token: str, scopes: Sequence[str], *, claims: str | None = None
) -> HttpRequest:
    """Return the same for a refresh token that was got on behalf of a user, to which not even `openid` is granted."""
    return _refresh_request(context, refresh_token, scopes, claims)


def _refresh_request(
    context: RequestContext, refresh_token: str, scopes: Sequence[str], claims: str | None
) -> HttpRequest:
    scope = wire_scopes(scopes) if context.authority.speaks_entra else _plain_scopes(scopes)
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        **_entra_fields(context),
        **_filled(scope=scope, claims=claims),
    }
    return _token_request(context, fields)


def check_scopes_of_client(authority: Authority, scopes: Sequence[str], correlation_id: str | None) -> None:
    """Raise ClientError `scopes_required_client_credentials` for Entra without scopes; reserved ones are none.

    Before the cache is read (MSAL.NET): there a token for any API would do.
    """
    if authority.speaks_entra and not lookup_scopes(scopes):
        raise ClientError(
            "scopes_required_client_credentials",
            "expected a scope, such as https://graph.microsoft.com/.default, got none",
            correlation_id=correlation_id,
        )


def client_credentials_request(
    context: RequestContext, scopes: Sequence[str], *, claims: str | None = None, fmi_path: str | None = None
) -> HttpRequest:
    """Return the request for a token of the application itself (RFC 6749, section 4.4.2)."""
    path = {"fmi_path": fmi_path} if fmi_path else {}
    fields = {"grant_type": "client_credentials", **_filled(scope=_plain_scopes(scopes), claims=claims), **path}
    return _token_request(context, fields)


def federated_credential_request(
    context: RequestContext, assertion: str, user: Mapping[str, str], scopes: Sequence[str], *, claims: str | None
) -> HttpRequest:
    """Return the request that trades a federated identity credential for a user's tokens (Microsoft Entra's user_fic).

    `user` is the field that names the user: `username`, or `user_id` with the object id.
    """
    fields = {
        "grant_type": "user_fic",
        "user_federated_identity_credential": assertion,
        **user,
        "scope": wire_scopes(scopes),
        **_entra_fields(context),
        **_filled(claims=claims),
    }
    return _token_request(context, fields)


def on_behalf_of_request(
    context: RequestContext, user_assertion: str, scopes: Sequence[str], *, claims: str | None = None
) -> HttpRequest:
    """Return the request that trades a user's access token for one of another API.

    By token exchange (RFC 8693) where the provider has it, with the scopes as typed; else by Microsoft's grant
    (RFC 7523, section 2.1), whose `requested_token_use` says that it is of the client for the user.
    """
    if knows_token_exchange(context.authority, context.metadata):
        scope = _plain_scopes(scopes)
        return _token_request(context, {**exchange_fields(user_assertion), **_filled(scope=scope, claims=claims)})
    fields = {
        "grant_type": JWT_BEARER_GRANT,
        "assertion": user_assertion,
        "requested_token_use": "on_behalf_of",
        "scope": sign_in_scopes(context.metadata, scopes),
        **_entra_fields(context),
        **_filled(claims=claims),
    }
    return _token_request(context, fields)


def device_authorization_request(
    context: RequestContext, scopes: Sequence[str], *, claims: str | None = None
) -> HttpRequest:
    """Return the request for a user code (RFC 8628, section 3.1).

    Raises ClientError `device_code_not_supported` where the provider has no such endpoint.
    """
    endpoint = context.metadata.device_authorization_endpoint
    if endpoint is None:
        raise ClientError(
            "device_code_not_supported",
            f"expected a provider with a device authorization endpoint, {context.authority.url} names none; "
            "sign in with the browser",
            correlation_id=context.correlation_id,
        )
    return _post(context, endpoint, _filled(scope=sign_in_scopes(context.metadata, scopes), claims=claims))


def device_code_request(context: RequestContext, device_code: str, *, claims: str | None = None) -> HttpRequest:
    """Return the request that asks whether the user has entered the code (RFC 8628, section 3.4)."""
    fields = {
        "grant_type": DEVICE_CODE_GRANT,
        "device_code": device_code,
        **_entra_fields(context),
        **_filled(claims=claims),
    }
    return _token_request(context, fields)


def secrets_of(request: HttpRequest) -> tuple[str, ...]:
    """Return what a request carries that no error may show: tokens, codes, the client's secret or assertion."""
    fields = parse_qsl(request.body.decode("ascii"))
    _, _, credentials = request.headers.get("authorization", "").partition(" ")
    return tuple(value for name, value in fields if name in SECRET_FIELDS) + _basic_secrets(credentials)


def _basic_secrets(credentials: str) -> tuple[str, ...]:
    if not credentials:
        return ()
    _, _, secret = base64.b64decode(credentials).decode("ascii").partition(":")
    return (credentials, unquote_plus(secret))


def _authorization_parameters(context: RequestContext, request: AuthorizationRequest) -> dict[str, str]:
    scope = sign_in_scopes(context.metadata, request.scopes)
    prompt = request.prompt or _needed_prompt(context, scope)
    return {
        "response_type": "code",
        "client_id": context.client.client_id,
        "redirect_uri": request.redirect_uri,
        "scope": scope,
        "state": request.state,
        "nonce": request.nonce,
        "code_challenge": request.code_challenge,
        "code_challenge_method": "S256",
        **_entra_fields(context),
        **({"instance_aware": "true"} if request.instance_aware else {}),
        **_filled(login_hint=request.login_hint, prompt=prompt, claims=request.claims),
        **_web_fields(request),
    }


def _web_fields(request: AuthorizationRequest) -> dict[str, str]:
    max_age = None if request.max_age is None else str(request.max_age)
    given = {"domain_hint": request.domain_hint, "max_age": max_age, "response_mode": request.response_mode}
    return {name: value for name, value in given.items() if value}


def sign_in_scopes(metadata: ProviderMetadata, scopes: Sequence[str]) -> str:
    """Return the `scope` of a sign-in: what was typed, and of the reserved ones those that the provider knows.

    A provider that lists its scopes may refuse the whole request for one that it does not list.
    """
    united = wire_scopes(scopes).split()
    if not metadata.scopes:
        return " ".join(united)
    known = {scope.casefold() for scope in (*metadata.scopes, *scopes, "openid")}
    return " ".join(scope for scope in united if scope.casefold() not in RESERVED or scope.casefold() in known)


def known_scopes(metadata: ProviderMetadata, scopes: Sequence[str]) -> list[str]:
    """Return those of the scopes that a provider lists; all where it lists none."""
    listed = {scope.casefold() for scope in metadata.scopes}
    return [scope for scope in scopes if not listed or scope.casefold() in listed]


def _needed_prompt(context: RequestContext, scope: str) -> str | None:
    # OpenID Connect Core, section 11: without it offline_access may be dropped, and with it the refresh token.
    # (Microsoft's services give one without, and AD FS knows no such prompt.)
    if context.authority.kind != "oidc" or "offline_access" not in scope.casefold().split():
        return None
    return "consent"


def _joint(endpoint: str) -> Literal["?", "&"]:
    return "&" if "?" in endpoint else "?"  # RFC 6749, section 3.1: a query in the endpoint is kept


def _plain_scopes(scopes: Sequence[str]) -> str:
    return " ".join(sorted(dict.fromkeys(scopes), key=str.casefold))


def _entra_fields(context: RequestContext) -> dict[str, str]:
    return {"client_info": "1"} if context.authority.speaks_entra else {}


def _filled(
    *,
    scope: str | None = None,
    login_hint: str | None = None,
    prompt: str | None = None,
    claims: str | None = None,
) -> dict[str, str]:
    given = {"scope": scope, "login_hint": login_hint, "prompt": prompt, "claims": claims}
    return {name: value for name, value in given.items() if value}


def _token_request(context: RequestContext, fields: Mapping[str, str]) -> HttpRequest:
    return _post(context, context.metadata.token_endpoint, fields)


def _post(context: RequestContext, url: str, fields: Mapping[str, str]) -> HttpRequest:
    proof_headers, proof_fields = authenticate(
        context.client, context.metadata, kind=context.authority.kind, now=context.now
    )
    headers = {
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
        "client-request-id": context.correlation_id,
        "return-client-request-id": "true",
        **(entra_headers(context.mailbox) if context.authority.speaks_entra else {}),
        **proof_headers,
    }
    body = urlencode([*proof_fields.items(), *fields.items(), *context.parameters])
    return HttpRequest("POST", url, headers, body.encode("ascii"))
