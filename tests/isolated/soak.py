"""Two writers replace and remove tokens, six readers look them up and compare each answer with what was written.

Arguments: a directory, how many checks in all, how many commits at least. Prints checks, hits, misses, stale answers,
commits. A miss is an answer too, and kept in memory like one. An answer is stale unless it is that of a write which
had returned before the lookup, or of a later one that had begun before its end.
"""

from __future__ import annotations

import mmap
import os
import sys
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from struct import pack, unpack_from

from warmtoken import _engine

TOKENS = 8
WRITERS, READERS = 2, 6
FAR_MS = 4_000_000_000_000
ROUND = 16  # of so many writes a quarter removes
NONE = -1
BETWEEN = 200  # checks between two looks at the file's identity


def key(number: int) -> bytes:
    return bytes(16) + blake2b(b"%d" % number, digest_size=16).digest()


def scopes(number: int) -> bytes:
    return bytes(8) + blake2b(b"s%d" % number, digest_size=8).digest()


def board(path: Path) -> memoryview:
    """Return memory that all processes share: for each token the last write that returned, then the last that began."""
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 4096)).cast("q")


def removes(number: int) -> bool:
    return number % ROUND < ROUND // 4


def write(directory: Path, writer: int, stop: object) -> None:
    store = _engine.open_store(str(directory / "tokens"), 1 << 26)
    done = board(directory / "board")
    begun = done[TOKENS:]
    number = 0
    while not stop.is_set():  # type: ignore[attr-defined]
        number += 1
        token = writer + WRITERS * (number % (TOKENS // WRITERS))
        if removes(number):
            operation = (_engine.DELETE_TOKEN, _engine.ACCESS, key(token))
        else:
            value = bytes(16) + pack("<q", FAR_MS) + bytes(16) + os.urandom(12) + bytes(12) + pack("<q", number)
            operation = (_engine.PUT_TOKEN, _engine.ACCESS, key(token), value + os.urandom(16), scopes(token))
        begun[token] = number
        _engine.commit(store, [[operation]])
        done[token] = number


def is_right_miss(token: int, at_least: int, at_most: int) -> bool:
    """Tell whether the token was removed by a write from `at_least` to `at_most`, or not written before."""
    if at_least == 0:
        return True
    number = token // WRITERS  # writes of one token are four apart, each fourth of them removes
    return at_most - (at_most - number) % ROUND >= at_least


class Reader:
    """A process's results in memory, and what it counted."""

    def __init__(self, directory: Path) -> None:
        self.store = _engine.open_store(str(directory / "tokens"), 1 << 26)
        self.hits = _engine.Hits(self.store, _engine.Clock(), 64, 1 << 20)
        self.view = self.hits.view()
        self.requests = [(f"scope {token}",) for token in range(TOKENS)]

    def look_up(self, token: int) -> int:
        """Look into the file, and keep what was found in memory."""
        txnid, found, value, _ = _engine.find_token(self.store, key(token), scopes(token)[8:], 0, None)
        number = NONE if value is None else unpack_from("<q", value, 64)[0]
        if value is None:
            self.view.remember_absence(self.requests[token], None, None, number, txnid)
        else:
            witnesses = _engine.Witnesses([(_engine.ACCESS, found, value)])
            self.view.remember(self.requests[token], None, None, number, FAR_MS, txnid, witnesses, 100)
        return number

    def anew(self) -> None:
        self.hits.clear()
        self.hits.checked()  # the file stays where it is


def read(directory: Path, checks: int, commits: int, results: object) -> None:
    reader = Reader(directory)
    done = board(directory / "board")
    begun = done[TOKENS:]
    lookup, absence, requests = reader.view.lookup, reader.view.absence, reader.requests
    made = hits = misses = stale = 0
    while made < checks or reader.store.newest < commits:
        if made % (BETWEEN * TOKENS) == 0:
            reader.anew()
        for token in range(TOKENS):
            at_least = done[token]
            number = lookup(requests[token])
            if number is None:
                number = absence(requests[token])
            if number is None:
                number = reader.look_up(token)
            else:
                hits += 1
            if number == NONE:
                misses += 1
                stale += not is_right_miss(token, at_least, begun[token])
            elif number != at_least:
                stale += not at_least <= number <= begun[token]
        made += TOKENS
    results.put((made, hits, misses, stale))  # type: ignore[attr-defined]


def main(directory: Path, checks: int, commits: int) -> None:
    (directory / "board").write_bytes(bytes(4096))
    context = get_context("spawn")
    stop, results = context.Event(), context.SimpleQueue()
    writers = [context.Process(target=write, args=(directory, n, stop)) for n in range(WRITERS)]
    share = -(-checks // READERS)
    readers = [context.Process(target=read, args=(directory, share, commits, results)) for _ in range(READERS)]
    for process in writers + readers:
        process.start()
    for process in readers:
        process.join()
        assert process.exitcode == 0
    stop.set()
    totals = [results.get() for _ in readers]
    for process in writers:
        process.join()
        assert process.exitcode == 0
    made = _engine.open_store(str(directory / "tokens"), 1 << 26).newest
    print(*map(sum, zip(*totals, strict=True)), made)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
