"""Is stopped again and again while it reads, and goes on after other commits: a directory, how many times, the seed.

Records of one commit have one number, in each of their words. Prints how many reads there were and how many were wrong:
torn, of two commits, or older than what had been acknowledged when they began.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path
from struct import pack, unpack

from warmtoken import _engine

KEYS = [b"%032d" % n for n in range(4)]
WORDS = 500
COMMITS = 3  # while the reader is stopped: enough for LMDB to use again the pages that the reader may look at


def commit(store: _engine.Store, board: mmap.mmap, number: int) -> None:
    operations = [(_engine.PUT, _engine.NOTE, key, pack("<q", number) * WORDS) for key in KEYS]
    _engine.commit(store, [operations])
    board[:8] = pack("<q", number)


def read(path: Path, board: mmap.mmap) -> None:
    store = _engine.open_store(str(path), 1 << 26)
    reads = wrong = 0
    while not board[8]:
        (at_least,) = unpack("<q", board[:8])
        found = _engine.scan(store, _engine.NOTE, b"")
        numbers = {number for _, value in found for number in unpack(f"<{WORDS}q", value)}
        wrong += len(found) != len(KEYS) or len(numbers) != 1 or min(numbers) < at_least
        reads += 1
        board[16:32] = pack("<qq", reads, wrong)


def main(path: Path, times: int, seed: int) -> None:
    random.seed(seed)
    board = mmap.mmap(-1, 4096)
    store = _engine.open_store(str(path), 1 << 26)
    commit(store, board, 1)
    pid = os.fork()
    if pid == 0:
        read(path, board)
        os._exit(0)
    for number in range(times):
        time.sleep(random.uniform(0, 0.002))
        os.kill(pid, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        for one in range(COMMITS):
            commit(store, board, 2 + number * COMMITS + one)
        os.kill(pid, signal.SIGCONT)
    before = unpack("<q", board[16:24])[0]
    deadline = time.monotonic() + 30
    while unpack("<q", board[16:24])[0] <= before:
        assert time.monotonic() < deadline, "the reader does not go on"
        time.sleep(0.001)
    board[8] = 1
    assert os.waitpid(pid, 0)[1] == 0
    print(*unpack("<qq", board[16:32]))


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
