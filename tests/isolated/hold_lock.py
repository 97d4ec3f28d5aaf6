"""Locks a byte of a lock file, says so, and holds it until its stdin ends or it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from warmtoken.cache.byte_locks import ByteLocks

locks = ByteLocks(Path(sys.argv[1]))
assert locks.try_lock(int(sys.argv[2]))
print("locked", flush=True)
sys.stdin.read()
