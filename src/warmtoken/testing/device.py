"""Device authorization requests, as they wait for their user (RFC 8628)."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass

from warmtoken.testing.exchange import OAuthError
from warmtoken.testing.state import SignIn

USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, section 6.1: no vowels, so no words
SLOW_DOWN_SECONDS = 5  # RFC 8628, section 3.5


@dataclass(slots=True)
class DeviceRequest:
    client_id: str
    scope: str
    user_code: str
    expires_at: float
    interval: int
    polled_at: float | None = None
    denied: bool = False
    redeemed: bool = False
    sign_in: SignIn | None = None
    audience: str = ""


class DeviceRequests:
    """The requests by device code; a user code is found without regard to case and dashes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[str, DeviceRequest] = {}

    def add(
        self, client_id: str, scope: str, *, expires_at: float, interval: int, audience: str = ""
    ) -> tuple[str, DeviceRequest]:
        request = DeviceRequest(client_id, scope, _new_user_code(), expires_at, interval, audience=audience)
        device_code = secrets.token_urlsafe(32)
        with self._lock:
            self._requests[device_code] = request
        return device_code, request

    def decide(self, user_code: str, sign_in_of: tuple[str, int] | None, *, now: float) -> None:
        """Approve with (username, auth_time), or deny with None; raises ValueError for a code that does not wait."""
        with self._lock:
            request = self._waiting(user_code, now)
            if sign_in_of is None:
                request.denied = True
            else:
                username, auth_time = sign_in_of
                request.sign_in = SignIn(
                    request.client_id, username, request.scope, auth_time, audience=request.audience
                )

    def poll(self, device_code: str, client_id: str, *, now: float) -> SignIn:
        """The sign-in, once the user has approved; raises OAuthError until then (RFC 8628, section 3.5)."""
        with self._lock:
            request = self._requests.get(device_code)
            if request is None or request.client_id != client_id or request.redeemed:
                raise OAuthError("invalid_grant", "the device code is unknown, used, or was issued to another client")
            if request.expires_at <= now:
                raise OAuthError("expired_token", "the device code has expired")
            if request.denied:
                raise OAuthError("access_denied", "the user said no")
            if request.sign_in is None:
                raise _not_yet(request, now)
            request.redeemed = True
            return request.sign_in

    def _waiting(self, user_code: str, now: float) -> DeviceRequest:
        for request in self._requests.values():
            open_still = not (request.denied or request.sign_in) and request.expires_at > now
            if open_still and _folded(request.user_code) == _folded(user_code):
                return request
        raise ValueError("expected a user code that waits for its user: this one is unknown, used or expired")


def _not_yet(request: DeviceRequest, now: float) -> OAuthError:
    too_soon = request.polled_at is not None and now - request.polled_at < request.interval
    request.polled_at = now
    if not too_soon:
        return OAuthError("authorization_pending", "the user has not decided yet")
    request.interval += SLOW_DOWN_SECONDS
    return OAuthError("slow_down", f"expected {request.interval} seconds between two requests from now on")


def _new_user_code() -> str:
    letters = "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _folded(user_code: str) -> str:
    return "".join(letter for letter in user_code.upper() if letter.isalnum())
