"""Forks a child for each line of standard input, which refreshes a token and kills itself on the way, where told to.

Arguments: the issuer and the cache's directory. A line is how many seconds ahead the clock is, and the point of death;
at the points that are not known here the child goes on until it is killed. Prints the child's process id, then its exit
status (negative: the signal).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import httpx2  # noqa: F401 (once, for all children)
from isolated.support import KEY

from warmtoken import PublicClientApplication, TokenCache
from warmtoken.cache.vault import NewTokens, Vault
from warmtoken.default_transport import DefaultTransport
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

SCOPES = ["orders.read", "orders.write"]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingTransport(DefaultTransport):
    """Dies before a token request is sent, or when its reply has come."""

    def __init__(self, point: str) -> None:
        super().__init__()
        self._point = point

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        is_refresh = request.method == "POST"
        if is_refresh and self._point == "before the request":
            die()
        response = super().send(request, timeout=timeout)
        if is_refresh and self._point == "before the commit":
            die()
        return response


class DyingVault(Vault):
    """Dies when a reply has been committed."""

    def save(self, new: NewTokens) -> None:
        super().save(new)
        die()


def refresh(issuer: str, directory: str, ahead: float, point: str) -> None:
    clock = Clock()
    clock.advance(ahead)
    cache = TokenCache(Path(directory), key=KEY, clock=clock)
    app = PublicClientApplication("cli", authority=issuer, cache=cache, transport=DyingTransport(point))
    if point == "after the commit":
        cache.vault().__class__ = DyingVault
    app.acquire_token_silent(SCOPES, app.get_accounts()[0])


def main(issuer: str, directory: str) -> None:
    for line in sys.stdin:
        ahead, point = line.rstrip("\n").split(" ", 1)
        child = os.fork()
        if child == 0:
            try:
                refresh(issuer, directory, float(ahead), point)
            finally:
                os._exit(1)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
