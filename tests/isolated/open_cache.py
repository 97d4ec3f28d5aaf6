"""Opens a cache with a key given as hex, once a line comes, and prints what tells its keyring apart."""

from __future__ import annotations

import sys

from support import open_vault, secret_of

print("ready", flush=True)
sys.stdin.readline()
vault = open_vault(sys.argv[1], bytes.fromhex(sys.argv[2]))
print(vault._sealer.active.hex(), vault.keys._index_key.hex(), secret_of(vault))
