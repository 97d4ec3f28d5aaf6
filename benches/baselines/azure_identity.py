"""azure-identity as its users run it: ClientSecretCredential, its token obtained once through a transport of ours.

Behind it is MSAL Python's confidential application, whose cache then holds this one token.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from azure.core.pipeline.transport import HttpTransport
from azure.identity import ClientSecretCredential

from benches.baselines.msal_python import ALIASES, CannedDiscovery, token_endpoint


class CannedReply:
    """A reply with status 200 and a JSON body, as far as azure-core looks at it."""

    status_code = 200
    reason = "OK"
    content_type = "application/json"

    def __init__(self, request: Any, text: str) -> None:
        self.request = request
        self.headers = {"Content-Type": self.content_type}
        self._text = text

    def text(self, encoding: str | None = None) -> str:
        """Return the body."""
        return self._text

    def body(self) -> bytes:
        """Return the body as it came."""
        return self._text.encode()


class OneToken(HttpTransport[Any, Any]):
    """Answers discovery and the first token request, and fails at all else."""

    def __init__(self, authority: str, access_token: str, lifetime: int) -> None:
        self._authority = authority
        self._discovery = CannedDiscovery(authority)
        self._reply = {"access_token": access_token, "token_type": "Bearer", "expires_in": lifetime}
        self.token_requests = 0

    def send(self, request: Any, **_: Any) -> CannedReply:
        """Return the reply to a request."""
        url = request.url.partition("?")[0]
        if url == token_endpoint(self._authority):
            self.token_requests += 1
            assert self.token_requests == 1, "expected the token in the cache, but azure-identity asks for it again"
            return CannedReply(request, json.dumps(self._reply))
        return CannedReply(request, self._discovery.get(url).text)

    def open(self) -> None:
        """Do nothing: there is no connection."""

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        tb: TracebackType | None = None,
    ) -> None:
        self.close()


def credential(client_id: str, authority: str, scopes: tuple[str, ...], transport: OneToken) -> ClientSecretCredential:
    """Return a credential that has its token for these scopes."""
    host, tenant = ALIASES[0], urlsplit(authority).path.strip("/")
    made = ClientSecretCredential(tenant, client_id, "a secret", authority=host, transport=transport)
    made.get_token(*scopes)
    return made
