"""In a PID namespace: a process dies inside a snapshot, and the next one with its id opens the cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support import finish, new_tokens, open_vault, start

from warmtoken import _engine

PID = 777


def start_as(pid: int, script: str, *args: object):  # type: ignore[no-untyped-def]
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    process = start(script, *args)
    assert process.pid == pid
    return process


def main(directory: Path) -> None:
    vault = open_vault(directory)  # and keep it open: the table is not made anew
    vault.save(new_tokens("secret"))
    dead = start_as(PID, "take_slots.py", directory / "tokens-v1.mdb", 3)
    assert dead.stdout is not None
    assert dead.stdout.readline().split()[1] == str(PID)
    dead.kill()
    dead.communicate()
    vault.save(new_tokens("newer"))
    before = [row for row in _engine.readers(vault.shared.store) if row[0] == PID]
    assert len(before) == 3, before
    assert all(transaction is not None for _, transaction in before)
    alive = start_as(PID, "hold_cache.py", directory)
    assert alive.stdout is not None
    assert alive.stdin is not None
    assert alive.stdout.readline().split() == ["open", str(PID)]
    alive.stdin.write("user\n")
    alive.stdin.flush()
    assert alive.stdout.readline() == "user\n"
    after = [row for row in _engine.readers(vault.shared.store) if row[0] == PID]
    finish(alive)
    assert after == [(PID, None)], after
    assert [row[0] for row in _engine.readers(vault.shared.store)] == [os.getpid()]
    print("ok")


main(Path(sys.argv[1]))
