"""Asks for cached tokens on an event loop, between calls of getppid that mark the rounds in what strace records.

Each round asks for scopes that were not asked for before, from the file, and then for the same again, from memory.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from support import KEY, UnhurriedHits

from warmtoken import Account, TokenCache, _engine
from warmtoken.aio import PublicClientApplication
from warmtoken.cache.records import AccessTokenRecord
from warmtoken.cache.vault import NewTokens

ROUNDS = 3
EACH = 20
ALICE = Account("alice", "idp.example.test")


def save(app: PublicClientApplication, scopes: tuple[str, ...]) -> None:
    context, now = app._context, int(time.time())
    slot = context.slot(ALICE.home_account_id, context.authority)
    record = AccessTokenRecord(
        "alice", slot.owner.authority, slot.owner.client_id, slot.realm, " ".join(scopes), "secret", now, now + 36_000
    )
    app.cache.vault().save(NewTokens(slot, tuple(sorted(scopes)), record))


async def ask(app: PublicClientApplication, names: list[str], level: str) -> None:
    results = [await app.acquire_token_silent([name], ALICE) for name in names]
    os.getppid()
    assert {result.metadata.cache_level for result in results} == {level}


async def main(app: PublicClientApplication, names: list[str]) -> None:
    await ask(app, names[:EACH], "store")  # the file is open, and all code has run
    await ask(app, names[:EACH], "L1")
    for number in range(1, ROUNDS + 1):
        part = names[number * EACH : (number + 1) * EACH]
        await ask(app, part, "store")
        await ask(app, part, "L1")


if __name__ == "__main__":
    _engine.Hits = UnhurriedHits  # type: ignore[misc]
    cache = TokenCache(Path(sys.argv[1]), key=KEY)
    app = PublicClientApplication("client", authority="https://idp.example.test", cache=cache)
    names = [f"scope-{number:03d}" for number in range((ROUNDS + 1) * EACH)]
    save(app, tuple(names))
    asyncio.run(main(app, names))
