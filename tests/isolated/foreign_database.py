"""Writes an LMDB file as another program would."""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb

with lmdb.open(sys.argv[1], subdir=False, mode=0o600, max_dbs=2, lock=False) as env:
    database = env.open_db(b"theirs")
    with env.begin(write=True) as txn:
        txn.put(b"key", b"value", db=database)
Path(sys.argv[1]).chmod(0o600)
