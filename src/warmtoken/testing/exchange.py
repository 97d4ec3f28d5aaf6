"""What the endpoints of the identity provider take and give: requests, replies, refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names are in lower case, bodies have been read."""

    method: str
    path: str
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    body: bytes = field(default=b"", repr=False)

    def parameters(self) -> dict[str, str]:
        """The OAuth parameters: of the query for a GET, of the form for a POST."""
        if self.method == "GET":
            return _parameters(self.query)
        if self.media_type() != "application/x-www-form-urlencoded":
            raise OAuthError("invalid_request", "expected a body of type application/x-www-form-urlencoded")
        return _parameters(self.body.decode("utf-8", errors="replace"))

    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    then: Callable[[], None] | None = field(default=None, repr=False)  # called when it has been sent


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, section 5.2; the endpoint answers with it."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status

    def reply(self) -> Reply:
        headers = {"WWW-Authenticate": 'Basic realm="warmtoken.testing"'} if self.status == 401 else {}
        content = {"error": self.error, "error_description": self.description}
        return json_reply(content, status=self.status, headers=headers)


class PageError(Exception):
    """A refusal that the user sees on a page, since there is no redirect URI that can be trusted."""


def json_reply(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    body = json.dumps(content).encode()
    return Reply(status, body, {"Content-Type": "application/json", **NO_STORE, **(headers or {})})


def page_reply(page: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, page.encode(), {**PAGE_HEADERS, **NO_STORE, **(headers or {})})


def redirect(location: str, *, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(302, b"", {"Location": location, **NO_STORE, **(headers or {})})


def _parameters(text: str) -> dict[str, str]:
    pairs = parse_qsl(text)  # drops empty values, which count as omitted: RFC 6749, section 3.1
    several = " ".join(value for name, value in pairs if name == "resource")  # RFC 8707, section 2: URIs have no blanks
    pairs = [pair for pair in pairs if pair[0] != "resource"] + ([("resource", several)] if several else [])
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise OAuthError("invalid_request", f"the parameter {name!r} is there more than once")
    return dict(pairs)
