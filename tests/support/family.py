"""A stand-in for Microsoft Entra's token endpoint, for clients of a family: its refresh tokens are good once each."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

HOME = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
AUTHORITY = "https://login.microsoftonline.com/common"
IMPORTED = "of another library"
MEMBERS = ("cli", "editor")


class Refused(Exception):
    """What the endpoint answers with status 400."""

    def __init__(self, suberror: str | None, error: str = "invalid_grant") -> None:
        super().__init__(error)
        self.body = {"error": error, "suberror": suberror}


class FamilyProvider:
    """A transport; what it knows lies in a directory, so that several processes have one provider.

    `on_request` is called before each answer, `members` are the clients that are in the family. Where it does not
    rotate, a refresh brings no refresh token, and the old one stays good.
    """

    def __init__(self, directory: Path, clock: Clock, members: tuple[str, ...] = MEMBERS) -> None:
        self.directory = directory
        self.clock = clock
        self.members = members
        self.rotates = True
        self.on_request: Callable[[dict[str, str]], object] = lambda _: None
        directory.mkdir(exist_ok=True)

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.on_request(form)
        try:
            body, status = self._redeemed(form), 200
        except Refused as refused:
            body, status = refused.body, 400
        return HttpResponse(status, {}, json.dumps(body).encode())

    def sent(self) -> list[list[str]]:
        """The refresh requests until now, each as client, refresh token and outcome."""
        with self._state() as state:
            sent: list[list[str]] = state["sent"]
            return sent

    def revoke(self, refresh_token: str) -> None:
        """Let a refresh token be good no more."""
        with self._state() as state:
            del state["live"][refresh_token]

    @contextlib.contextmanager
    def _state(self) -> Iterator[dict[str, Any]]:
        with (self.directory / "state").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            state = json.loads(file.read() or '{"live": {}, "sent": [], "issued": 0}')
            yield state
            file.truncate(0)
            file.write(json.dumps(state))

    def _redeemed(self, form: dict[str, str]) -> dict[str, Any]:
        with self._state() as state:
            client, token = form["client_id"], form["refresh_token"]
            refusal = self._refusal(state, client, token)
            state["sent"].append([client, token, refusal or "granted"])
            if not refusal:
                return self._granted(state, client, token)
        raise Refused(refusal)

    def _refusal(self, state: dict[str, Any], client: str, token: str) -> str:
        if token == IMPORTED:
            return ""
        if token not in state["live"]:
            return "bad_token"  # unknown, or sent a second time
        owner = state["live"][token]
        if owner == "family":
            return "" if client in self.members else "client_mismatch"
        return "" if owner == client else "bad_token"

    def _granted(self, state: dict[str, Any], client: str, token: str) -> dict[str, Any]:
        if self.rotates or token == IMPORTED:
            state["live"].pop(token, None)
            return self._issued(state, client)
        reply = self._issued(state, client)
        del state["live"][reply.pop("refresh_token")]
        return reply

    def _issued(self, state: dict[str, Any], client: str) -> dict[str, Any]:
        state["issued"] += 1
        is_member = client in self.members
        refresh_token = f"{'family' if is_member else client}-{state['issued']}"
        state["live"][refresh_token] = "family" if is_member else client
        return {
            "token_type": "Bearer",
            "access_token": f"at-{client}-{state['issued']}",
            "refresh_token": refresh_token,
            "expires_in": 3600,
            "scope": "User.Read openid profile",
            "id_token": self._id_token(client),
            "client_info": _segment({"uid": "oid-1", "utid": HOME}),
            **({"foci": "1"} if is_member else {}),
        }

    def _id_token(self, client: str) -> str:
        now = int(self.clock.time())
        claims = {
            "iss": f"https://login.microsoftonline.com/{HOME}/v2.0",
            "aud": client,
            "sub": f"pairwise-{client}",
            "oid": "oid-1",
            "tid": HOME,
            "preferred_username": "alice@contoso.example",
            "iat": now,
            "exp": now + 3600,
        }
        return f"{_segment({'alg': 'RS256'})}.{_segment(claims)}.c2ln"


class AsyncFamilyProvider(FamilyProvider):
    """The same for asyncio."""

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:  # type: ignore[override]
        import asyncio

        return await asyncio.to_thread(super().send, request, timeout=timeout)


def _segment(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
