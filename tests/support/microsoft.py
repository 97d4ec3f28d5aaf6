"""A transport that answers as a service of Microsoft's does: its metadata where it is asked for them, else tokens."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse


@dataclass
class Microsoft:
    """What the service says next, and what it was asked.

    `issuer` may hold `{tenant}`, which stands for the third part of the path that was asked, as `claims` may.
    """

    clock: Clock
    issuer: str
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    client_info: dict[str, str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    refresh_token: str | None = "rt"
    refusal: dict[str, Any] | None = None
    omitted: frozenset[str] = frozenset()  # fields that token replies leave out
    requests: list[HttpRequest] = field(default_factory=list[HttpRequest])

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        self.requests.append(request)
        if request.method == "GET":
            return _reply(200, {"issuer": self.issuer, **self.metadata})
        if self.refusal is not None:
            return _reply(400, self.refusal)
        return _reply(200, self._tokens())

    def urls(self) -> list[str]:
        """The URLs that were asked since the last call."""
        asked = [request.url for request in self.requests]
        self.requests.clear()
        return asked

    def form(self) -> dict[str, str]:
        """The fields of the last request."""
        return {name: values[0] for name, values in parse_qs(self.requests[-1].body.decode()).items()}

    def _tokens(self) -> dict[str, Any]:
        tenant = self.requests[-1].url.split("/")[3]
        now = int(self.clock.time())
        named = {"iss": self.issuer, "aud": "cli", "sub": "sub-1", "iat": now, "exp": now + 3600, **self.claims}
        claims = {
            name: value.replace("{tenant}", tenant) if isinstance(value, str) else value
            for name, value in named.items()
        }
        tokens = {
            "token_type": "Bearer",
            "access_token": f"at-{len(self.requests)}-{now}-{tenant}",
            "refresh_token": self.refresh_token,
            "expires_in": 3600,
            "id_token": f"{_segment({'alg': 'RS256'})}.{_segment(claims)}.c2ln",
            "client_info": _segment(self.client_info) if self.client_info else None,
        }
        return {name: value for name, value in tokens.items() if value is not None and name not in self.omitted}


class AsyncMicrosoft:
    """The same for asyncio."""

    def __init__(self, service: Microsoft) -> None:
        self._service = service

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        return self._service.send(request, timeout=timeout)


def _reply(status: int, body: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, json.dumps(body).encode())


def _segment(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
