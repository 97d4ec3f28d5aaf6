"""Processes die within a snapshot, then many writes follow: a directory, how many processes, how many writes.

Under the preload shim. Prints how many dead readers had a slot, how many were left once another process had opened the
file, and the size of the file after the writes.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from isolated import shim
from isolated.oracle import DATA, secret
from isolated.support import find, new_tokens, open_vault

from warmtoken import _engine
from warmtoken.cache.vault import Vault

USERS = 5
LONG = "x" * 9000


def die_together(vault: Vault, count: int) -> list[int]:
    """Let processes die within a snapshot, all after the last has opened the file: opening clears slots of the dead."""
    opened, go = os.pipe(), os.pipe()
    pids = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            find(vault)
            os.write(opened[1], b".")
            os.read(go[0], 1)
            shim.arm(shim.KILL_BEFORE, shim.GET)
            find(vault)
            os._exit(0)
        pids.append(pid)
        os.read(opened[0], 1)
    os.write(go[1], b"." * count)
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return pids


def in_table(vault: Vault, pids: list[int]) -> int:
    return sum(pid in pids for pid, _ in _engine.readers(vault.shared.store))


def open_in_child(directory: Path) -> None:
    pid = os.fork()
    if pid == 0:
        open_vault(directory)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def main(directory: Path, count: int, writes: int) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens(secret(0)))
    pids = die_together(vault, count)
    before = in_table(vault, pids)
    open_in_child(directory)
    after = in_table(vault, pids)
    for number in range(writes):
        vault.save(new_tokens(f"{secret(number)} {LONG}", user=str(number % USERS), refresh=secret(number)))
    print(before, after, (directory / DATA).stat().st_size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
