"""Opens a cache and prints the token of each user that is named, or None."""

from __future__ import annotations

import sys

from support import open_vault, secret_of

vault = open_vault(sys.argv[1])
for user in sys.argv[2:]:
    print(secret_of(vault, user=user))
