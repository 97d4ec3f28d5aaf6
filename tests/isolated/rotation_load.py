"""Saves and finds tokens until a line comes: a cache, the file with its key, this worker's number, how many reads.

Makes a file beside the key after so many reads. Prints how many there were, the misses and the records refused.
A miss is a token that this worker saved and does not find, or finds older than saved.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path

from isolated.oracle import secret
from isolated.support import find, new_tokens, slot_of

from warmtoken.cache import byte_locks
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Replacing, Vault

USERS = 5
STILL = 200  # tokens that nobody writes while the keys change
STILL_READ = 20  # of them after each write


def is_missing(vault: Vault, user: str, access: str, identity: str) -> bool:
    found = find(vault, user=user)
    return found is None or (found.secret, found.id_token) != (access, identity)


def main(directory: str, key_file: Path, worker: str, at_least: int) -> None:
    byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
    vault = TokenCache(directory, key=key_file).vault()
    rounds = reads = misses = 0
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for number in range(USERS):
            user = f"{worker}-{number}"
            old = vault.find_refresh_token(slot_of(user).owner)
            if rounds:
                misses += old is None or old.record.secret != secret(f"refresh {rounds - 1}")
            access, identity = secret(f"access {rounds}"), secret(f"id {rounds}")
            tokens = new_tokens(access, user=user, refresh=secret(f"refresh {rounds}"), identity=identity)
            vault.save(tokens._replace(replacing=Replacing(old)))
            misses += is_missing(vault, user, access, identity)
            for still in range(STILL_READ):
                name = f"still-{(rounds * STILL_READ + still) % STILL}"
                misses += is_missing(vault, name, secret(name), secret("i"))
            reads += 2 + STILL_READ
            if reads - 2 - STILL_READ < at_least <= reads:
                key_file.with_name(f"enough-{worker}").touch()
        rounds += 1
    print(reads, misses, vault.sealer.refused)


main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
