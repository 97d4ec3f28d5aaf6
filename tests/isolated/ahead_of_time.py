"""Takes a token from the cache that is due for a refresh, and ends at once, or forks while it is being refreshed.

Arguments: how ("sync", "async", "fork"), the issuer, the cache's directory, how many seconds ahead the clock is. A fork
prints what the child did, the parent what it did itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from isolated.support import KEY

from warmtoken import PublicClientApplication, TokenCache, aio
from warmtoken.flows import driver
from warmtoken.testing import Clock

SCOPES = ["orders.read", "orders.write"]


def blocking(app: PublicClientApplication) -> str:
    return app.acquire_token_silent(SCOPES, app.get_accounts()[0]).metadata.token_source


async def awaiting(issuer: str, cache: TokenCache) -> None:
    async with aio.PublicClientApplication("cli", authority=issuer, cache=cache) as app:
        await app.acquire_token_silent(SCOPES, (await app.get_accounts())[0])


def forking(app: PublicClientApplication) -> None:
    assert blocking(app) == "cache"
    assert len(driver._room.threads) == 1
    child = os.fork()
    if child == 0:
        rooms = len(driver._room.threads), driver._room.left._value  # type: ignore[attr-defined]
        app.close()  # waits for nobody: the thread is the parent's
        print("child", *rooms, blocking(app), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    app.close()
    print("parent", len(driver._room.threads), blocking(app), flush=True)


def main(how: str, issuer: str, directory: str, ahead: str) -> None:
    clock = Clock()
    clock.advance(float(ahead))
    cache = TokenCache(Path(directory), key=KEY, clock=clock)
    if how == "async":
        asyncio.run(awaiting(issuer, cache))
        return
    app = PublicClientApplication("cli", authority=issuer, cache=cache)
    forking(app) if how == "fork" else blocking(app)


if __name__ == "__main__":
    main(*sys.argv[1:])
