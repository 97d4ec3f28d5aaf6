"""What the identity provider remembers: users, clients, sign-ins, codes and tokens; safe to use from many threads."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any, TypeVar

from warmtoken.testing.exchange import OAuthError

REMEMBERED = 100_000  # of each kind; a provider that ran under load for days must not fill the memory
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the provider; one without a secret is public (RFC 6749, section 2.1)."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()

    def knows(self, secret: str) -> bool:
        return self.secret is not None and hmac.compare_digest(self.secret.encode(), secret.encode())


@dataclass(slots=True)
class SignIn:
    """What a user once allowed to a client; every refresh token of one sign-in is of one family."""

    client_id: str
    username: str
    scope: str
    auth_time: int
    revoked: bool = False
    audience: str = ""


@dataclass(slots=True)
class AuthorizationCode:
    sign_in: SignIn
    redirect_uri: str
    code_challenge: str | None
    nonce: str | None
    expires_at: float
    redeemed: bool = False


@dataclass(slots=True)
class RefreshToken:
    sign_in: SignIn
    expires_at: float
    spent: bool = False


@dataclass(slots=True)
class AccessToken:
    client_id: str
    sign_in: SignIn | None
    scope: str
    expires_at: float
    revoked: bool = False


class Users:
    """The users, made at their first sign-in; the same name has the same `sub` at every provider."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, dict[str, Any]] = {}

    def claims(self, username: str) -> dict[str, Any]:
        with self._lock:
            return dict(self._user(username))

    def set_claims(self, username: str, claims: dict[str, Any]) -> None:
        with self._lock:
            self._user(username).update(claims)

    def _user(self, username: str) -> dict[str, Any]:
        return self._claims.setdefault(username, _first_claims(username))


def _first_claims(username: str) -> dict[str, Any]:
    name = username.partition("@")[0].replace(".", " ").title()
    claims = {"sub": hashlib.sha256(username.encode()).hexdigest()[:32], "preferred_username": username, "name": name}
    return claims | {"email": username} if "@" in username else claims


class Clients:
    """The clients: those that were added, and every other client id as a public client."""

    def __init__(self) -> None:
        self._known: dict[str, Client] = {}

    def add(self, client: Client) -> None:
        self._known[client.client_id] = client

    def get(self, client_id: str) -> Client:
        return self._known.get(client_id) or Client(client_id)


class Tokens:
    """Codes and tokens. A refresh token is spent in one step, whatever the number of threads that try."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, AuthorizationCode] = {}
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}
        self._sessions: dict[str, SignIn] = {}

    def add_code(self, code: AuthorizationCode) -> str:
        return self._add(self._codes, code)

    def add_refresh_token(self, token: RefreshToken) -> str:
        return self._add(self._refresh_tokens, token)

    def add_session(self, sign_in: SignIn) -> str:
        return self._add(self._sessions, sign_in)

    def session(self, session_id: str) -> SignIn | None:
        return self._sessions.get(session_id)

    def add_access_token(self, value: str, token: AccessToken) -> None:
        with self._lock:
            _remember(self._access_tokens, value, token)

    def redeem_code(self, value: str, client_id: str, *, now: float) -> AuthorizationCode:
        """Spend a code; raises OAuthError, and at a second use revokes what the first one gave (RFC 6749, 4.1.2)."""
        with self._lock:
            code = self._codes.get(value)
            if code is None or code.sign_in.client_id != client_id:
                raise OAuthError("invalid_grant", "the code is unknown, or was issued to another client")
            if code.redeemed:
                code.sign_in.revoked = True
                raise OAuthError("invalid_grant", "the code was used before; what it gave is now revoked")
            code.redeemed = True
        if code.expires_at <= now:
            raise OAuthError("invalid_grant", "the code has expired")
        return code

    def redeem_refresh_token(
        self, value: str, client_id: str, *, scope: str | None, wider: bool, rotate: bool, now: float
    ) -> SignIn:
        """Check a refresh token and, with `rotate`, spend it; raises ReplayError at the second use, else OAuthError."""
        with self._lock:
            token = self._refresh_tokens.get(value)
            if token is None or token.sign_in.client_id != client_id:
                raise OAuthError("invalid_grant", "the refresh token is unknown, or was issued to another client")
            if token.spent:
                token.sign_in.revoked = True  # the whole family: RFC 9700, section 4.14.2
                raise ReplayError
            if token.sign_in.revoked:
                raise OAuthError("invalid_grant", "the refresh token was revoked")
            if token.expires_at <= now:
                raise OAuthError("invalid_grant", "the refresh token has expired")
            if scope and not wider and not set(scope.split()) <= set(token.sign_in.scope.split()):
                raise OAuthError("invalid_scope", "the scope is wider than what the user allowed")
            token.spent = rotate
            return token.sign_in

    def access_token(self, value: str, *, now: float) -> AccessToken | None:
        """The access token, if it is still good."""
        with self._lock:
            token = self._access_tokens.get(value)
            if token is None or token.revoked or token.expires_at <= now:
                return None
            return None if token.sign_in and token.sign_in.revoked else token

    def revoke(self, value: str, client_id: str) -> None:
        """Revoke a token of this client, a refresh token with all its family (RFC 7009, section 2.1)."""
        with self._lock:
            refresh_token, access_token = self._refresh_tokens.get(value), self._access_tokens.get(value)
            if refresh_token and refresh_token.sign_in.client_id == client_id:
                refresh_token.sign_in.revoked = True
            if access_token and access_token.client_id == client_id:
                access_token.revoked = True

    def revoke_sign_ins(self, username: str | None) -> int:
        """Revoke all sign-ins of this user, or of all users with None; returns how many sign-ins that ended."""
        with self._lock:
            holders: list[AuthorizationCode | RefreshToken] = [*self._codes.values(), *self._refresh_tokens.values()]
            found = {id(holder.sign_in): holder.sign_in for holder in holders if not holder.sign_in.revoked}
            ended = [sign_in for sign_in in found.values() if username in (None, sign_in.username)]
            sessions = [session for session in self._sessions.values() if username in (None, session.username)]
            for sign_in in ended + sessions:
                sign_in.revoked = True
            return len(ended)

    def _add(self, table: dict[str, T], value: T) -> str:
        key = secrets.token_urlsafe(32)
        with self._lock:
            _remember(table, key, value)
        return key


class ReplayError(OAuthError):
    """A spent refresh token came again: two parties hold it, and one of them may be a thief."""

    def __init__(self) -> None:
        super().__init__("invalid_grant", "the refresh token was used before; its whole family is now revoked")


def _remember(table: dict[str, T], key: str, value: T) -> None:
    table[key] = value
    if len(table) > REMEMBERED:
        del table[next(iter(table))]
