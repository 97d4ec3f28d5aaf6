"""Kills a tight loop of the engine's commits, again and again: a directory, how many kills, the seed.

Each commit replaces four records with the same number, and says so in memory that outlives the writer. Prints how many
commits were acknowledged.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path
from struct import pack, unpack_from

from warmtoken import _engine

KEYS = [b"%032d" % n for n in range(4)]
MAP_SIZE = 1 << 26


def record(number: int) -> bytes:
    return bytes(64) + pack("<q", number) + os.urandom(16 + number % 3000)


def write(path: Path, said: mmap.mmap, number: int) -> None:
    store = _engine.open_store(str(path), MAP_SIZE)
    while True:
        number += 1
        operations = [(_engine.PUT, _engine.NOTE, key, record(number)) for key in KEYS]
        _engine.commit(store, [operations])
        said[:8] = pack("<q", number)


def check(path: Path, acknowledged: int) -> int:
    """Return the number in the file: the one acknowledged or the next, the same in all records."""
    store = _engine.open_store(str(path), MAP_SIZE)
    # A commit that no reader sees is healed by the next write transaction, here of a commit without a change.
    _engine.commit(store, [[(_engine.DELETE, _engine.NOTE, b"none")]])
    numbers = {unpack_from("<q", value, 64)[0] for _, value in _engine.scan(store, _engine.NOTE, b"")}
    assert len(numbers) <= 1, f"torn: {numbers}"
    found: int = numbers.pop() if numbers else 0
    assert acknowledged <= found <= acknowledged + 1, f"acknowledged {acknowledged}, found {found}"
    return found


def main(path: Path, kills: int, seed: int) -> None:
    random.seed(seed)
    said = mmap.mmap(-1, 4096)
    number = 0
    for _ in range(kills):
        pid = os.fork()
        if pid == 0:
            write(path, said, number)
        before = unpack_from("<q", said)[0]
        deadline = time.monotonic() + 30
        while unpack_from("<q", said)[0] <= before:
            assert time.monotonic() < deadline, "the writer does not write"
            time.sleep(0.0002)
        time.sleep(random.uniform(0, 0.004))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        checker = os.fork()
        if checker == 0:
            said[8:16] = pack("<q", check(path, unpack_from("<q", said)[0]))
            os._exit(0)
        assert os.waitpid(checker, 0)[1] == 0
        number = unpack_from("<q", said, 8)[0]
        said[:8] = pack("<q", number)
    print(number)


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
