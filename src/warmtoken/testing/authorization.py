"""The authorization endpoint (RFC 6749, section 3.1; OpenID Connect Core, section 3.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from warmtoken.testing.exchange import OAuthError, PageError, Reply, Request, page_reply, redirect
from warmtoken.testing.issuing import audience_of
from warmtoken.testing.pages import form_post_page, sign_in_page
from warmtoken.testing.state import AuthorizationCode, Client, SignIn

if TYPE_CHECKING:
    from warmtoken.testing.core import Core

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
PROMPTS = frozenset({"none", "login", "consent", "select_account", "create"})
CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # RFC 7636, section 4.2: SHA-256 as base64url


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    client: Client
    redirect_uri: str
    parameters: dict[str, str]

    def get(self, name: str) -> str | None:
        return self.parameters.get(name)

    def prompts(self) -> set[str]:
        return set(self.parameters.get("prompt", "").split())


def authorize(core: Core, request: Request) -> Reply:
    """Show the sign-in page, or take the form that comes from it."""
    asked = _authorization_request(core, request)
    try:
        _check(asked)
        return _submitted(core, asked) if request.method == "POST" else _opened(core, request, asked)
    except OAuthError as error:
        return _respond(core, asked, {"error": error.error, "error_description": error.description})


def _authorization_request(core: Core, request: Request) -> AuthorizationRequest:
    try:
        parameters = request.parameters()
    except OAuthError as error:
        raise PageError(error.description) from error
    if "client_id" not in parameters:
        raise PageError("expected a client_id")
    client = core.clients.get(parameters["client_id"])
    redirect_uri = parameters.get("redirect_uri", "")
    if redirect_uri not in client.redirect_uris and not _is_loopback(redirect_uri):
        raise PageError("expected a redirect_uri on loopback, or one that was added with the client")
    return AuthorizationRequest(client, redirect_uri, parameters)


def _is_loopback(redirect_uri: str) -> bool:
    """Any port and any path: RFC 8252, section 7.3."""
    try:
        parts = urlsplit(redirect_uri)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS and not (parts.username or parts.fragment)


def _check(asked: AuthorizationRequest) -> None:
    if asked.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "expected response_type=code")
    if asked.parameters.get("response_mode", "query") not in {"query", "form_post"}:
        raise OAuthError("invalid_request", "expected response_mode query or form_post")
    if not asked.prompts() <= PROMPTS or ("none" in asked.prompts() and len(asked.prompts()) > 1):
        raise OAuthError("invalid_request", f"expected prompt to be none, or some of {', '.join(sorted(PROMPTS))}")
    challenge = asked.get("code_challenge")
    if challenge is None and asked.client.secret is None:
        raise OAuthError("invalid_request", "expected a code_challenge: a public client must use PKCE")
    if challenge is not None:
        _check_challenge(challenge, asked.get("code_challenge_method"))


def _check_challenge(challenge: str, method: str | None) -> None:
    if method != "S256" or not CODE_CHALLENGE.match(challenge):
        raise OAuthError("invalid_request", "expected code_challenge_method=S256 and a challenge of 43 characters")


def _opened(core: Core, request: Request, asked: AuthorizationRequest) -> Reply:
    session = core.tokens.session(_session_id(core, request))
    hint = asked.parameters.get("login_hint", "")
    known = session is not None and not session.revoked and hint in {"", session.username}
    if session and known and asked.prompts() <= {"none"}:
        return _signed_in(core, asked, session.username, session.auth_time)
    if "none" in asked.prompts():
        raise OAuthError("login_required", "prompt=none, and nobody is signed in")
    return page_reply(sign_in_page(asked.client.client_id, asked.parameters, login_hint=hint))


def _submitted(core: Core, asked: AuthorizationRequest) -> Reply:
    if asked.get("action") != "sign_in":
        raise OAuthError("access_denied", "the user cancelled the sign-in")
    if not (username := asked.parameters.get("username", "").strip()):
        return page_reply(sign_in_page(asked.client.client_id, asked.parameters, login_hint=""))
    auth_time = int(core.clock.time())
    session_id = core.tokens.add_session(SignIn(asked.client.client_id, username, "", auth_time))
    cookie = f"{_cookie_name(core)}={session_id}; Path=/; HttpOnly; SameSite=Lax"
    return _signed_in(core, asked, username, auth_time, cookie=cookie)


def _signed_in(
    core: Core, asked: AuthorizationRequest, username: str, auth_time: int, *, cookie: str | None = None
) -> Reply:
    core.recorder.event("sign_ins")
    scope, audience = asked.parameters.get("scope", ""), audience_of(asked.parameters)
    sign_in = SignIn(asked.client.client_id, username, scope, auth_time, audience=audience)
    expires_at = core.clock.time() + core.settings.code_lifetime
    code = AuthorizationCode(sign_in, asked.redirect_uri, asked.get("code_challenge"), asked.get("nonce"), expires_at)
    return _respond(core, asked, {"code": core.tokens.add_code(code)}, cookie=cookie)


def _respond(core: Core, asked: AuthorizationRequest, answer: dict[str, str], *, cookie: str | None = None) -> Reply:
    everything = {**answer, "state": asked.get("state"), "iss": core.issuer}  # iss: RFC 9207
    everything |= core.settings.authorization_response
    answer = {name: str(value) for name, value in everything.items() if value is not None}
    headers = {"Set-Cookie": cookie} if cookie else {}
    if asked.get("response_mode") == "form_post":
        return page_reply(form_post_page(asked.redirect_uri, answer), headers=headers)
    joint = "&" if urlsplit(asked.redirect_uri).query else "?"
    return redirect(f"{asked.redirect_uri}{joint}{urlencode(answer)}", headers=headers)


def _cookie_name(core: Core) -> str:
    return f"warmtoken_testing_{urlsplit(core.issuer).port}"  # cookies of one host are shared by all its ports


def _session_id(core: Core, request: Request) -> str:
    try:
        morsel = SimpleCookie(request.headers.get("cookie", "")).get(_cookie_name(core))
    except CookieError:
        return ""
    return morsel.value if morsel else ""
