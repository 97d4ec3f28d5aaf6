"""Locks between processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from isolated.support import environment, finish, start
from support.interrupts import interrupted_everywhere

from warmtoken.cache import byte_locks
from warmtoken.cache.byte_locks import GATE, ByteLocks
from warmtoken.errors import CacheRefusedError


def holder(path: Path, offset: int) -> subprocess.Popen[str]:
    process = start("hold_lock.py", path, offset)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("offset", [GATE, 1, 12345, 2**62])
def test_a_byte_is_locked_by_one_process_at_a_time(tmp_path: Path, offset: int) -> None:
    locks = ByteLocks(tmp_path / "gate")
    other = holder(tmp_path / "gate", offset)
    assert not locks.try_lock(offset)
    assert locks.try_lock(offset + 1)
    finish(other)
    assert locks.try_lock(offset)


def test_a_byte_let_go_of_is_free_for_others(tmp_path: Path) -> None:
    locks = ByteLocks(tmp_path / "gate")
    assert locks.try_lock(5)
    locks.unlock(5)
    finish(holder(tmp_path / "gate", 5))


def test_a_lock_ends_with_its_process_also_by_kill(tmp_path: Path) -> None:
    locks = ByteLocks(tmp_path / "gate")
    other = holder(tmp_path / "gate", 7)
    assert not locks.try_lock(7)
    other.kill()
    deadline = time.monotonic() + 60
    while not locks.try_lock(7):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    other.communicate()


def try_elsewhere(path: Path, offset: int) -> bool:
    """Tell whether another process can lock a byte."""
    script = f"from warmtoken.cache.byte_locks import *; print(ByteLocks(Path({str(path)!r})).try_lock({offset}))"
    out = subprocess.run([sys.executable, "-c", script], env=environment(), check=True, timeout=60, capture_output=True)
    return out.stdout == b"True\n"


def test_the_gate_is_shut_while_any_thread_of_the_process_is_behind_it(tmp_path: Path) -> None:
    """The kernel knows processes only: who leaves would let go of the byte for those who are still there."""
    locks, others = ByteLocks(tmp_path / "gate"), ByteLocks(tmp_path / "gate")
    with locks.gate():
        with others.gate():
            assert locks.is_gate_free()
        assert locks.is_gate_free()
        assert not try_elsewhere(tmp_path / "gate", GATE)
    assert try_elsewhere(tmp_path / "gate", GATE)


def test_an_interrupt_leaves_the_gate_as_it_was(tmp_path: Path) -> None:
    locks = ByteLocks(tmp_path / "gate")

    def pass_through() -> None:
        with locks.gate():
            pass

    for _ in interrupted_everywhere(pass_through, byte_locks, but_in=("_leave", "unlock")):
        assert byte_locks._descriptors.inside == {}
        assert try_elsewhere(tmp_path / "gate", GATE)


def test_the_file_is_private_closed_in_started_programs_and_no_link(tmp_path: Path) -> None:
    locks = ByteLocks(tmp_path / "gate")
    assert (tmp_path / "gate").stat().st_mode & 0o777 == 0o600
    assert not os.get_inheritable(locks._fd)
    (tmp_path / "link").symlink_to("gate")
    with pytest.raises(CacheRefusedError):
        ByteLocks(tmp_path / "link")


def test_locks_outlive_other_objects_on_the_same_file(tmp_path: Path) -> None:
    """Closing any descriptor of a file would drop all locks of this process on it."""
    kept, other = ByteLocks(tmp_path / "gate"), ByteLocks(tmp_path / "gate")
    assert kept.try_lock(7)
    del other
    ByteLocks(tmp_path / "another").try_lock(1)
    process = start("hold_lock.py", tmp_path / "gate", 7)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 1


def open_descriptors(directory: Path) -> int:
    """How many descriptors lead to files in a directory."""
    return sum(file.resolve().is_relative_to(directory) for file in Path("/proc/self/fd").iterdir())


def test_descriptors_of_files_that_nobody_uses_are_closed(tmp_path: Path) -> None:
    for number in range(20):
        ByteLocks(tmp_path / str(number))
    assert open_descriptors(tmp_path) <= 2
