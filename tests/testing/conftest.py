"""A provider for each test, and a hand-written client that talks to it over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from warmtoken.testing import IdentityProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

REDIRECT_URI = "http://127.0.0.1:51234/callback"
SCOPE = "openid offline_access orders.read"
ALICE = "alice@example.test"


class MovableTime:
    """The provider's time, moved by the test alone."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


class App:
    """A public client that makes each protocol step by hand, so that a test can spoil any of them."""

    def __init__(self, http: httpx2.Client, client_id: str = "app") -> None:
        self.http = http
        self.client_id = client_id
        self.verifier = secrets.token_urlsafe(48)

    def authorization_parameters(self, **changes: str | None) -> dict[str, str]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, str | None] = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "state": "state-1",
            "nonce": "nonce-1",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (parameters | changes).items() if value is not None}

    def open(self, **changes: str | None) -> httpx2.Response:
        return self.http.get("/authorize", params=self.authorization_parameters(**changes))

    def submit(self, username: str = ALICE, **changes: str | None) -> httpx2.Response:
        form = self.authorization_parameters(**changes) | {"username": username}
        return self.http.post("/authorize", data={"action": "sign_in"} | form)

    def code(self, username: str = ALICE, **changes: str | None) -> str:
        return answer_of(self.submit(username, **changes))["code"]

    def token(self, grant_type: str, **form: str) -> httpx2.Response:
        return self.http.post("/token", data={"grant_type": grant_type, "client_id": self.client_id, **form})

    def redeem(self, code: str, **changes: str) -> httpx2.Response:
        form = {"code": code, "redirect_uri": REDIRECT_URI, "code_verifier": self.verifier}
        return self.token("authorization_code", **(form | changes))

    def sign_in(self, username: str = ALICE, **changes: str | None) -> dict[str, Any]:
        reply = self.redeem(self.code(username, **changes))
        assert reply.status_code == 200, reply.text
        return reply.json()

    def refresh(self, refresh_token: str, **form: str) -> httpx2.Response:
        return self.token("refresh_token", refresh_token=refresh_token, **form)


def answer_of(redirect: httpx2.Response) -> dict[str, str]:
    """The parameters of an authorization response."""
    location = redirect.headers["location"]
    assert location.startswith(REDIRECT_URI)
    return dict(parse_qsl(urlsplit(location).query))


def error_of(reply: httpx2.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]


@pytest.fixture
def clock() -> MovableTime:
    return MovableTime()


@pytest.fixture
def idp(clock: MovableTime) -> Iterator[IdentityProvider]:
    with IdentityProvider(clock=clock) as provider:
        yield provider


@pytest.fixture
def http(idp: IdentityProvider) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=idp.issuer, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def app(http: httpx2.Client) -> App:
    return App(http)
