"""Prepares a cache with a managed identity's token, or takes that token from it and prints what modules were loaded."""

from __future__ import annotations

import sys
import time

from warmtoken import ManagedIdentityApplication, TokenCache

RESOURCE = "https://vault.azure.net"


def main(what: str, directory: str, key: str) -> None:
    app = ManagedIdentityApplication(cache=TokenCache(directory, key=bytes.fromhex(key)))
    if what == "prepare":
        prepare(app)
        return
    levels = [app.acquire_token_for_managed_identity(RESOURCE).metadata.cache_level for _ in range(2)]
    while levels[1] != "L1":  # a second was over, and the file was looked at again
        levels[1] = app.acquire_token_for_managed_identity(RESOURCE).metadata.cache_level
    loaded = sorted(sys.modules)
    import json

    print(json.dumps({"levels": levels, "loaded": loaded}))


def prepare(app: ManagedIdentityApplication) -> None:
    from warmtoken.cache.records import AccessTokenRecord
    from warmtoken.cache.vault import NewTokens

    context, now = app._context, int(time.time())
    slot = context.slot(None, context.authority)
    names = ("", slot.owner.authority, slot.owner.client_id, slot.realm)
    record = AccessTokenRecord(*names, RESOURCE, "secret", now, now + 36_000)
    app.cache.vault().save(NewTokens(slot, (RESOURCE,), record))


if __name__ == "__main__":
    main(*sys.argv[1:])
