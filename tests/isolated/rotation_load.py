"""Saves and finds tokens until a line comes: a cache, the file with its key, this worker's number. Prints its counts.

A miss is a token that this worker saved and does not find, or finds older than saved.
"""

from __future__ import annotations

import select
import sys
from dataclasses import replace
from pathlib import Path

from support import find, new_tokens, slot_of

from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Replacing

USERS = 5


def main(directory: str, key_file: Path, worker: str) -> None:
    vault = TokenCache(directory, key=key_file).vault()
    rounds = misses = 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for number in range(USERS):
            user = f"{worker}-{number}"
            owner = slot_of(user).owner
            old = vault.find_refresh_token(owner)
            if rounds:
                misses += old is None or old.record.secret != f"refresh {rounds - 1}"
            tokens = new_tokens(f"access {rounds}", user=user, refresh=f"refresh {rounds}", identity=f"id {rounds}")
            vault.save(replace(tokens, replacing=Replacing(old)))
            found = find(vault, user=user)
            misses += found is None or (found.secret, found.id_token) != (f"access {rounds}", f"id {rounds}")
            # What nobody writes while the keys change must be readable with each of them.
            misses += find(vault, user=f"still-{rounds % 200}") is None
        rounds += 1
    print(rounds, misses, vault.sealer.refused)


main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
