"""Fills a cache with tokens of 1 MB, as many as are asked for."""

from __future__ import annotations

import sys

from support import KEY, new_tokens

from warmtoken.cache.token_cache import TokenCache

vault = TokenCache(sys.argv[1], key=KEY).vault()
for number in range(int(sys.argv[2])):
    vault.save(new_tokens("x" * 1_000_000, user=f"filler {number}"))
