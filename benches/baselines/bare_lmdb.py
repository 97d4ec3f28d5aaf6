"""The least that a durable write costs: py-lmdb, one record of the same length, one synced transaction."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import lmdb

KEY_SIZE = 32
BATCH = 10_000  # records
PAGE = 4096


@cache
def opened(directory: Path, records: int, record_size: int) -> lmdb.Environment:
    """Return the file of a directory, filled with records under random keys at the first call."""
    room = records * (record_size + 2 * PAGE)
    environment = lmdb.open(str(directory), map_size=max(1 << 30, room))
    value = os.urandom(record_size)
    for done in range(0, records, BATCH):
        with environment.begin(write=True) as txn:
            for _ in range(min(BATCH, records - done)):
                txn.put(os.urandom(KEY_SIZE), value)
    assert environment.stat()["entries"] == records
    return environment


def add(directory: Path, records: int, record_size: int, count: int) -> list[float]:
    """Add records one by one to the file that holds that many, and return the seconds of each commit."""
    environment = opened(directory, records, record_size)
    fresh = [(os.urandom(KEY_SIZE), os.urandom(record_size)) for _ in range(count)]
    seconds = []
    for key, value in fresh:
        start = time.perf_counter()
        with environment.begin(write=True) as txn:
            txn.put(key, value)
        seconds.append(time.perf_counter() - start)
    with environment.begin() as txn:
        assert all(txn.get(key) == value for key, value in fresh)
    return seconds
