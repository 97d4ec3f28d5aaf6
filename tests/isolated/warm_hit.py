"""Prepares a cache with a token, or takes that token from it and prints what modules were loaded."""

from __future__ import annotations

import sys

from warmtoken import Account, PublicClientApplication, TokenCache

after_import = sorted(sys.modules)
ALICE = Account("alice", "idp.example.test")
AUTHORITY = "https://idp.example.test"


def main(what: str, directory: str, key: str) -> None:
    app = PublicClientApplication("client", authority=AUTHORITY, cache=TokenCache(directory, key=bytes.fromhex(key)))
    if what == "prepare":
        prepare(app)
        return
    results = [app.acquire_token_silent(["orders.read"], ALICE) for _ in range(2)]
    while results[1].metadata.cache_level != "L1":  # a second was over, and the file was looked at again
        results[1] = app.acquire_token_silent(["orders.read"], ALICE)
    after_hit = sorted(sys.modules)
    import json

    metadata = [result.metadata for result in results]
    print(
        json.dumps(
            {
                "after_import": after_import,
                "after_hit": after_hit,
                "sources": [one.token_source for one in metadata],
                "levels": [one.cache_level for one in metadata],
            }
        )
    )


def prepare(app: PublicClientApplication) -> None:
    import time

    from warmtoken.cache.records import AccessTokenRecord
    from warmtoken.cache.vault import NewTokens

    context, now = app._context, int(time.time())
    slot = context.slot(ALICE.home_account_id, context.authority)
    owner = slot.owner
    record = AccessTokenRecord(
        "alice", owner.authority, owner.client_id, slot.realm, "orders.read", "secret", now, now + 36_000
    )
    app.cache.vault().save(NewTokens(slot, ("orders.read",), record))


if __name__ == "__main__":
    main(*sys.argv[1:])
