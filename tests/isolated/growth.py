"""Lets the map grow from 1 MiB while eight readers, made in three ways, look at what is written.

Arguments: a directory, to how many bytes of records. Prints the answers compared and the bytes of records at the end.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from multiprocessing import get_context
from pathlib import Path
from struct import pack, unpack_from

from warmtoken import _engine

MAP_SIZE = 1 << 20
CAP = 1 << 30
NEWEST = b"newest".ljust(32, b"\0")
BODY = 15_000
TOGETHER = 32  # records in a commit


def opened(directory: Path) -> _engine.Store:
    return _engine.open_store(str(directory / "tokens"), MAP_SIZE, CAP)


def board(directory: Path) -> memoryview:
    """Return shared memory: the last commit that returned, whether readers shall end, answers by reader."""
    with (directory / "board").open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 4096)).cast("q")


def name(number: int) -> bytes:
    return b"%032d" % number


def record(number: int) -> bytes:
    return bytes(64) + pack("<q", number) + bytes(BODY) + os.urandom(16)


def read(directory: Path, reader: int) -> None:
    """Compare what is found with what was acknowledged, until told to end."""
    store, said = opened(directory), board(directory)
    answers = 0
    while not said[1] or not answers:
        at_least = said[0]
        value = _engine.read(store, _engine.NOTE, NEWEST)[1]
        number = unpack_from("<q", value, 64)[0] if value else 0
        assert number >= at_least, f"stale: {number} after {at_least}"
        if at_least:
            old = 1 + answers * 7919 % at_least
            value = _engine.read(store, _engine.NOTE, name(old))[1]
            assert value is not None, f"record {old} is gone"
            assert unpack_from("<q", value, 64)[0] == old
        answers += 1
    said[8 + reader] = answers


def in_thread(directory: Path, reader: int, failures: list[BaseException]) -> None:
    try:
        read(directory, reader)
    except BaseException as error:
        failures.append(error)
        raise


def write(directory: Path, until: int) -> None:
    """Commit until that many bytes of records are in the file."""
    store, said, number = opened(directory), board(directory), 0
    while _engine.usage(store)[0] < until:
        numbers = range(number + 1, number + 1 + TOGETHER)
        number = numbers[-1]
        operations = [(_engine.PUT, _engine.NOTE, name(n), record(n)) for n in numbers]
        _engine.commit(store, [[*operations, (_engine.PUT, _engine.NOTE, NEWEST, record(number))]])
        said[0] = number


def main(directory: Path, until: int) -> None:
    (directory / "board").write_bytes(bytes(4096))
    kept, said, failures = opened(directory), board(directory), list[BaseException]()
    assert kept.newest
    methods = ["fork", "fork", "fork", "spawn", "spawn"]
    processes = [get_context(way).Process(target=read, args=(directory, n)) for n, way in enumerate(methods)]
    for process in processes:
        process.start()
    threads = [threading.Thread(target=in_thread, args=(directory, n, failures)) for n in (5, 6, 7)]
    for thread in threads:
        thread.start()
    writer = get_context("spawn").Process(target=write, args=(directory, until))
    writer.start()
    writer.join()
    said[1] = 1
    assert writer.exitcode == 0
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for thread in threads:
        thread.join()
    assert not failures
    print(sum(said[8:16]), _engine.usage(kept)[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
