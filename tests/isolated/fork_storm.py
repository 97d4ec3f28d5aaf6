"""Forks again and again beside eight busy threads; half of the children exit, half are killed.

Arguments: a directory, how many forks, the seed. Fails where a child hangs or fails, where a thread of the parent
fails, or where the parent's slot in the reader table is gone. Prints how many children exited and were killed.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from fork_cases import DATA, exchange, fork
from isolated.oracle import secret
from isolated.support import FileReader, new_tokens, open_vault, secret_of

from warmtoken.cache import byte_locks
from warmtoken.cache.vault import Vault

ALIVE = 20
HANGS = 90  # seconds
READING, WRITING = 6, 2


class Threads:
    """Threads that use the cache until the end."""

    def __init__(self, vault: Vault) -> None:
        self._vault, self._stop = vault, threading.Event()
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(READING + WRITING)]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        try:
            while not self._stop.is_set():
                assert secret_of(self._vault) == secret("parent")
                if number < WRITING:
                    save(self._vault, secret(number), f"busy {number}")
        except BaseException as error:
            self.failures.append(error)
            raise

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.failures


def save(vault: Vault, access: str, user: str) -> None:
    vault.save(new_tokens(access, user=user))


def child(vault: Vault, number: int) -> None:
    save(vault, secret("parent"), f"child {number}")
    assert secret_of(vault) == secret("parent")
    while number % 2:  # it is going to be killed
        exchange(vault, f"child {number}")


class Children:
    """Children that are alive, and the way in which each is to end."""

    def __init__(self) -> None:
        self._alive: list[tuple[int, bool, float]] = []
        self.exited = self.killed = 0

    def add(self, pid: int, to_be_killed: bool) -> None:
        self._alive.append((pid, to_be_killed, time.monotonic()))
        while len(self._alive) > ALIVE:
            self.end_one()

    def end_one(self) -> None:
        pid, to_be_killed, since = self._alive.pop(random.randrange(len(self._alive)))
        if to_be_killed:
            os.kill(pid, signal.SIGKILL)
        while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            assert time.monotonic() < since + HANGS, "a child hangs"
            time.sleep(0.002)
        assert os.waitstatus_to_exitcode(done[1]) == (-signal.SIGKILL if to_be_killed else 0), done
        self.killed += to_be_killed
        self.exited += not to_be_killed

    def end(self) -> None:
        while self._alive:
            self.end_one()


def main(directory: Path, forks: int, seed: int) -> None:
    random.seed(seed)
    byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
    vault, reader = open_vault(directory), FileReader()
    vault.save(new_tokens(secret("parent")))
    threads, children = Threads(vault), Children()
    for number in range(forks):
        children.add(fork(functools.partial(child, vault, number)), number % 2 == 1)
        if number % 10 == 9:
            assert reader.readers(directory / DATA).count(os.getpid()) == 1, "the parent's slot is gone"
        assert not threads.failures
    children.end()
    threads.end()
    assert reader.readers(directory / DATA).count(os.getpid()) == 1, "the parent's slot is gone"
    reader.close()
    assert all(secret_of(vault, user=f"child {n}") == secret("parent") for n in range(0, forks, 2))
    print(children.exited, children.killed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
