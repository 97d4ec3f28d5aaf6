"""Two writers replace and remove tokens, two readers look them up: prints checks, hits, stale answers, commits.

Ends when every reader has made so many checks and so many commits have been made, whichever is later.
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
WRITERS = READERS = 2
FAR_MS = 4_000_000_000_000


def key(number: int) -> bytes:
    return bytes(16) + blake2b(b"%d" % number, digest_size=16).digest()


def scopes(number: int) -> bytes:
    return bytes(8) + blake2b(b"s%d" % number, digest_size=8).digest()


def board(path: Path) -> mmap.mmap:
    """Return memory that all processes share: for each token the number of the last write that had returned."""
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 4096)


def write(directory: Path, writer: int, stop: object) -> None:
    store = _engine.open_store(str(directory / "tokens"), 1 << 26)
    acknowledged = board(directory / "board")
    number = 0
    while not stop.is_set():  # type: ignore[attr-defined]
        number += 1
        token = writer + WRITERS * (number % (TOKENS // WRITERS))
        if number % 16 < 4:
            operation = (_engine.DELETE_TOKEN, _engine.ACCESS, key(token))
        else:
            value = bytes(16) + pack("<q", FAR_MS) + bytes(16) + os.urandom(12) + bytes(12) + pack("<q", number)
            operation = (_engine.PUT_TOKEN, _engine.ACCESS, key(token), value + os.urandom(16), scopes(token))
        _engine.commit(store, [[operation]])
        acknowledged[8 * token : 8 * token + 8] = pack("<q", number)


def read(directory: Path, checks: int, commits: int, results: object) -> None:
    store = _engine.open_store(str(directory / "tokens"), 1 << 26)
    results_in_memory = _engine.Hits(store, _engine.Clock(), 64, 1 << 20)
    view = results_in_memory.view()
    acknowledged = memoryview(board(directory / "board")).cast("q")
    requests = [(f"scope {token}",) for token in range(TOKENS)]
    check = hits = stale = 0
    while check < checks or store.newest < commits:
        check += 1
        token = check % TOKENS
        if check % 200 == 0:
            results_in_memory.clear()
            results_in_memory.checked()  # the file stays where it is
        at_least = acknowledged[token]
        number = view.lookup(requests[token])
        if number is None:
            txnid, found, value, _ = _engine.find_token(store, key(token), scopes(token)[8:], 0, None)
            if value is None:
                continue
            (number,) = unpack_from("<q", value, 64)
            witnesses = _engine.Witnesses([(_engine.ACCESS, found, value)])
            view.remember(requests[token], None, None, number, FAR_MS, txnid, witnesses, 100)
        else:
            hits += 1
        stale += number < at_least
    results.put((check, hits, stale))  # type: ignore[attr-defined]


def main(directory: Path, checks: int, commits: int) -> None:
    (directory / "board").write_bytes(bytes(4096))
    context = get_context("spawn")
    stop, results = context.Event(), context.SimpleQueue()
    writers = [context.Process(target=write, args=(directory, n, stop)) for n in range(WRITERS)]
    readers = [context.Process(target=read, args=(directory, checks, commits, results)) for _ in range(READERS)]
    for process in writers + readers:
        process.start()
    totals = [results.get() for _ in readers]
    stop.set()
    for process in writers + readers:
        process.join()
        assert process.exitcode == 0
    newest = _engine.open_store(str(directory / "tokens"), 1 << 26).newest
    print(*map(sum, zip(*totals, strict=True)), newest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
