"""Processes that are killed: what had been acknowledged is there, what is there is whole, and readers go on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from isolated import shim
from isolated.oracle import DATA, assert_sound
from isolated.support import run

if TYPE_CHECKING:
    from pathlib import Path

needs_shim = pytest.mark.skipif(bool(shim.why_not()), reason=shim.why_not() or "there is one")
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed; `make test` installs it where apt-get is at hand"
)


def test_no_write_that_returned_is_lost_when_writers_are_killed(directory: Path, seed: int) -> None:
    written = int(run("kill_loop.py", directory, SCALE.kills, seed, timeout=SCALE.timeout))
    assert written > SCALE.kills
    assert_sound(directory)
    # A reader that the machine lets wait within a snapshot keeps old pages for that long. In all, the writers made
    # hundreds of megabytes of them.
    assert (directory / DATA).stat().st_size < 64 << 20


def test_a_tight_loop_of_commits_is_never_torn(tmp_path: Path, seed: int) -> None:
    written = int(run("engine_kills.py", tmp_path / "tokens", SCALE.engine_kills, seed, timeout=SCALE.timeout))
    assert written >= SCALE.engine_kills


@needs_strace
def test_a_writer_may_be_killed_at_each_system_call_of_a_commit(directory: Path) -> None:
    calls, kills = map(int, run("kill_at_call.py", directory, SCALE.rounds_of_calls, timeout=SCALE.timeout).split())
    assert calls >= 10
    assert kills >= calls - 2  # the last call may be over before the signal is there
    assert_sound(directory, max_live_ratio=2)


@needs_shim
def test_a_commit_that_no_reader_sees_is_healed_and_hits_come_back(directory: Path) -> None:
    """Writers die between the meta page and the moment when readers see it; an application goes on with the file."""
    times = SCALE.unseen_commits
    said = run("unseen.py", directory, times, timeout=SCALE.timeout, variables=shim.preload()).split()
    assert len(said) == times
    print("milliseconds until hits came back:", *sorted(map(int, said))[:: max(1, times // 10)])
    assert_sound(directory)
