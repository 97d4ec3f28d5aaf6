"""Rotates the data key of a cache whose key is given as hex, and is killed once it has written n transactions."""

from __future__ import annotations

import os
import signal
import sys

from support import KEY

from warmtoken.cache.shared_store import SharedStore
from warmtoken.cache.token_cache import TokenCache

left = int(sys.argv[2])
commit = SharedStore.commit


def commit_and_count(shared: SharedStore, operations: list[tuple[object, ...]]) -> tuple[int, bool]:
    global left
    done = commit(shared, operations)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return done


cache = TokenCache(sys.argv[1], key=KEY)
cache.vault()
SharedStore.commit = commit_and_count  # type: ignore[method-assign]
cache.rotate_data_key()
