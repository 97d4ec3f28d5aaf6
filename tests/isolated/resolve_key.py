"""Resolves a key file once a line comes, and prints the key as hex; no argument: the user's own key file."""

from __future__ import annotations

import sys
from pathlib import Path

from warmtoken.cache.key_sources import resolve_key

print("ready", flush=True)
sys.stdin.readline()
print(resolve_key(Path(sys.argv[1]) if len(sys.argv) > 1 else None).hex())
