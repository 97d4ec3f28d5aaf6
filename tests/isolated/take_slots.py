"""Takes slots of a cache's table of readers with py-lmdb, each within a snapshot; says how many, and keeps them."""

from __future__ import annotations

import os
import sys

import lmdb

environment = lmdb.open(sys.argv[1], subdir=False, max_readers=4096, max_dbs=16, map_size=1 << 20)
kept = []
try:
    while len(kept) < int(sys.argv[2]):
        kept.append(environment.begin())
except lmdb.ReadersFullError:
    pass
print(len(kept), os.getpid(), flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        kept.pop().abort()
    print(len(kept), flush=True)
