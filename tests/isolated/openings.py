"""Opens and closes one file again and again: a directory, how many times. Prints the errors.

Each time a record is read; each fiftieth time the whole cache is opened, with its checks and its key.
"""

from __future__ import annotations

import sys
from pathlib import Path

from isolated.oracle import DATA, secret
from isolated.support import open_vault, secret_of

from warmtoken import _engine
from warmtoken.errors import CacheError


def open_once(directory: Path, number: int) -> None:
    if number % 50 == 0:
        assert secret_of(open_vault(directory)) == secret(1)
        return
    store = _engine.open_store(str(directory / DATA), 1 << 30)
    assert len(_engine.scan(store, _engine.REFRESH, b"")) == 1


def main(directory: Path, times: int) -> None:
    errors = []
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(times):
        try:
            open_once(directory, number)
        except CacheError as error:
            errors.append(error.code)
    print(*errors)


main(Path(sys.argv[1]), int(sys.argv[2]))
