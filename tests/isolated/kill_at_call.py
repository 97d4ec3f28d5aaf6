"""Kills a writer at each system call of one commit: a directory, how often each.

strace is attached between opening and writing, so only the calls of the commit count. Prints how many calls there are
and how many of the writers were killed.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from isolated.oracle import Ledger, number_of, secret
from isolated.support import find, new_tokens, open_vault, secret_of

USER = "user-1"
LONG = "x" * 9000  # more pages, more calls
# What ends the process anyway, and what the allocator asks for, which differs from run to run.
LEFT_OUT = frozenset({"exit_group", "brk", "mmap", "munmap", "mremap", "madvise", "mprotect"})
PR_SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1 & 0xFFFFFFFFFFFFFFFF)


def write(directory: Path, number: int, ready: int, go: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)  # only one's own descendants may be traced, else
    vault = open_vault(directory)
    text = f"{secret(number)} {LONG}"
    tokens = new_tokens(text, refresh=text, identity=text)
    os.write(ready, b".")
    os.read(go, 1)
    vault.save(tokens)
    os._exit(0)


def traced_write(directory: Path, number: int, *options: str) -> int:
    """Make one write under strace, and return the writer's exit status."""
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        write(directory, number, ready[1], go[0])
    os.read(ready[0], 1)
    command = ["strace", "-f", "-p", str(pid), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        line = strace.stderr.readline()
        assert "attached" in line, line
        os.write(go[1], b".")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        strace.stderr.read()
    for end in (*ready, *go):
        os.close(end)
    return status


def calls_of_a_write(directory: Path, number: int, log: Path) -> list[tuple[str, int]]:
    """Return the system calls of a write, each by its name and as the how manieth of that name."""
    assert traced_write(directory, number, "-o", str(log)) == 0
    names = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
    counts = Counter(name for name in names if name not in LEFT_OUT)
    return [(name, n + 1) for name, count in counts.items() for n in range(count)]


def check(directory: Path, ledger: Ledger) -> int:
    """Return the number that is there now."""
    vault = open_vault(directory)
    vault.shared.commit([])  # makes a commit visible that its writer left unseen
    ledger.check(lambda user: secret_of(vault, user=user), [USER])
    found = find(vault)
    refresh = vault.find_refresh_token(new_tokens("").slot.owner)
    assert found is not None
    assert refresh is not None
    assert found.secret == found.id_token == refresh.record.secret
    assert vault.refused_records == 0
    return number_of(found.secret)


def in_child(directory: Path, ledger: Ledger) -> int:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write_end, b"%d" % check(directory, ledger))
        os._exit(0)
    os.close(write_end)
    said = os.read(read_end, 32)
    os.close(read_end)
    assert os.waitpid(pid, 0)[1] == 0
    return int(said)


def main(directory: Path, rounds: int) -> None:
    open_vault(directory)
    number = in_file = 1
    calls = calls_of_a_write(directory, number, directory.with_suffix(".strace"))
    kills = 0
    for name, nth in calls * rounds:
        number += 1
        inject = f"inject={name}:signal=SIGKILL:when={nth}"
        status = traced_write(directory, number, "-e", inject, "-o", "/dev/null")
        assert status in (0, -signal.SIGKILL), status
        kills += status != 0
        in_file = in_child(directory, Ledger({USER: number if status == 0 else in_file}, {number}))
    print(len(calls), kills)


main(Path(sys.argv[1]), int(sys.argv[2]))
