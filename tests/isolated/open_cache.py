"""Opens a cache with a key given as hex, once a line comes, and prints what tells its keyring apart."""

from __future__ import annotations

import sys

from support import open_vault, secret_of

from warmtoken.cache import byte_locks

byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
print("ready", flush=True)
sys.stdin.readline()
vault = open_vault(sys.argv[1], bytes.fromhex(sys.argv[2]))
print(vault._sealer.active.hex(), vault.keys._index_key.hex(), secret_of(vault))
