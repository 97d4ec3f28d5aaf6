"""All endpoints but the two big ones: discovery, keys, device authorization, revocation, user info; and the routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warmtoken.testing.authorization import authorize
from warmtoken.testing.core import Core
from warmtoken.testing.exchange import OAuthError, PageError, Reply, Request, json_reply, page_reply
from warmtoken.testing.grants import authenticated_client, grants, token
from warmtoken.testing.issuing import audience_of
from warmtoken.testing.pages import device_page, message_page

Endpoint = Callable[[Core, Request], Reply]


def metadata(core: Core) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2."""
    issuer = core.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "device_authorization_endpoint": f"{issuer}/device_authorization",
        "revocation_endpoint": f"{issuer}/revoke",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": list(grants(core)),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["sub", "preferred_username", "name", "email", "auth_time"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "authorization_response_iss_parameter_supported": True,
        "prompt_values_supported": ["none", "login", "consent", "select_account", "create"],
    }


def discovery(core: Core, _request: Request) -> Reply:
    return json_reply(metadata(core))


def jwks(core: Core, _request: Request) -> Reply:
    return json_reply(core.keys.jwks())


def device_authorization(core: Core, request: Request) -> Reply:
    """RFC 8628, section 3.2."""
    form = request.parameters()
    client = authenticated_client(core, request, form)
    lifetime, interval = core.settings.device_code_lifetime, core.settings.device_interval
    expires_at = core.clock.time() + lifetime
    scope, audience = form.get("scope", ""), audience_of(form)
    code, asked = core.device_requests.add(
        client.client_id, scope, expires_at=expires_at, interval=interval, audience=audience
    )
    page = f"{core.issuer}/device"
    return json_reply(
        {
            "device_code": code,
            "user_code": asked.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={asked.user_code}",
            "expires_in": lifetime,
            "interval": interval,
        }
    )


def device(core: Core, request: Request) -> Reply:
    """The page at the verification URI."""
    parameters = request.parameters()
    user_code, username = parameters.get("user_code", ""), parameters.get("username", "").strip()
    approved = parameters.get("action") == "approve"
    if request.method == "GET" or (approved and not username):
        return page_reply(device_page(user_code))
    try:
        decide_device(core, user_code, username if approved else None)
    except ValueError as error:
        raise PageError(str(error)) from error
    return page_reply(message_page("Device connected" if approved else "Cancelled", "You may close this page."))


def decide_device(core: Core, user_code: str, username: str | None) -> None:
    """Approve a device as this user, or deny it with None; raises ValueError for a code that does not wait."""
    now = core.clock.time()
    core.device_requests.decide(user_code, None if username is None else (username, int(now)), now=now)
    if username is not None:
        core.recorder.event("sign_ins")


def revoke(core: Core, request: Request) -> Reply:
    """RFC 7009: an unknown token is no error."""
    form = request.parameters()
    client = authenticated_client(core, request, form)
    if "token" not in form:
        raise OAuthError("invalid_request", "expected the parameter 'token'")
    core.tokens.revoke(form["token"], client.client_id)
    return Reply(200)


def userinfo(core: Core, request: Request) -> Reply:
    """OpenID Connect Core, section 5.3."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    found = core.tokens.access_token(value, now=core.clock.time()) if scheme.lower() == "bearer" else None
    if found is None or found.sign_in is None:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # RFC 6750, section 3
        return json_reply({"error": "invalid_token"}, status=401, headers=challenge)
    return json_reply(core.users.claims(found.sign_in.username))


ROUTES: dict[tuple[str, str], tuple[str, Endpoint]] = {
    ("GET", "/.well-known/openid-configuration"): ("discovery", discovery),
    ("GET", "/.well-known/oauth-authorization-server"): ("discovery", discovery),
    ("GET", "/jwks"): ("jwks", jwks),
    ("GET", "/authorize"): ("authorize", authorize),
    ("POST", "/authorize"): ("authorize", authorize),
    ("POST", "/token"): ("token", token),
    ("POST", "/device_authorization"): ("device_authorization", device_authorization),
    ("GET", "/device"): ("device", device),
    ("POST", "/device"): ("device", device),
    ("POST", "/revoke"): ("revoke", revoke),
    ("GET", "/userinfo"): ("userinfo", userinfo),
    ("POST", "/userinfo"): ("userinfo", userinfo),
}


def answer(core: Core, request: Request) -> Reply | None:
    """The reply to any request but those to the control endpoint; None means: hang up without one."""
    name, endpoint = ROUTES.get((request.method, request.path), ("", None))
    if endpoint is None:
        return json_reply({"error": "not_found"}, status=404)
    core.recorder.request(name)
    if name != "token":
        return _with_faults(core, name, endpoint, request)
    with core.recorder.in_flight():
        reply = _with_faults(core, name, endpoint, request)
        core.stopping.wait(core.settings.token_delay)
        return reply


def _with_faults(core: Core, name: str, endpoint: Endpoint, request: Request) -> Reply | None:
    fault = core.faults.take(name)
    if fault is None:
        return _refusals_answered(core, endpoint, request)
    core.recorder.event("faults_injected")
    core.stopping.wait(fault.delay)
    if fault.disconnect == "before":
        return None
    reply = fault.reply() or _refusals_answered(core, endpoint, request)
    return None if fault.disconnect == "after" else reply


def _refusals_answered(core: Core, endpoint: Endpoint, request: Request) -> Reply:
    try:
        return endpoint(core, request)
    except OAuthError as error:
        return error.reply()
    except PageError as error:
        return page_reply(message_page("This cannot be done", str(error)), status=400)
