"""Opens a cache, says so, then saves and finds tokens of the users that come as lines, until its stdin ends."""

from __future__ import annotations

import os
import sys

from support import new_tokens, open_vault, secret_of

from warmtoken.errors import CacheError

try:
    vault = open_vault(sys.argv[1])
except CacheError as error:
    print(error.code, flush=True)
    raise SystemExit(0) from None
if sys.argv[2:] == ["in a child that never uses it"]:
    if os.fork() == 0:
        print("child", os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
    os._exit(0)
print("open", os.getpid(), flush=True)
for line in sys.stdin:
    user = line.strip()
    vault.save(new_tokens(user, user=user))
    print(secret_of(vault, user=user), flush=True)
