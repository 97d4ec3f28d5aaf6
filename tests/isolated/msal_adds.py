"""Adds tokens of one user after the other to a cache, as MSAL does: a directory, how many. Says "adding N" before each.

Without a number it goes on until it is killed.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from support import KEY  # beside this file

from warmtoken import TokenCache
from warmtoken.cache import byte_locks
from warmtoken.interop import msal as interop


def main(directory: Path, count: int | None) -> None:
    # Here, since tests/ is a path for imports too, whose `support` is a package.
    from msal_events import signed_in

    byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
    cache = interop.TokenCache(TokenCache(directory, key=KEY))
    for number in itertools.count() if count is None else range(count):
        print(f"adding {number}", flush=True)
        cache.add(signed_in(f"user{number}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
