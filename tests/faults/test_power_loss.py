"""The power fails at any moment of a commit: nothing acknowledged is lost, nothing is broken."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from isolated import shim
from isolated.support import run

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(bool(shim.why_not()), reason=shim.why_not() or "there is one")
MEMORY = Path("/dev/shm")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is such a thing: the files are many and nobody keeps them."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="warmtoken-", dir=MEMORY))
    yield made
    shutil.rmtree(made)


def states(place: Path, count: int, seed: int, syncs: str) -> tuple[int, int, int]:
    """Return how many files were looked at, in how many a write was lost, and how many were damaged."""
    said = run("power_loss.py", place / "cache", count, seed, syncs, timeout=SCALE.timeout, variables=shim.preload())
    looked_at, lost, damaged = map(int, said.split())
    return looked_at, lost, damaged


def test_nothing_is_lost_or_broken(place: Path, seed: int) -> None:
    assert states(place, SCALE.crash_states, seed, "keep") == (SCALE.crash_states, 0, 0)


def test_the_method_finds_loss_where_syncs_do_nothing(place: Path, seed: int) -> None:
    looked_at, lost, damaged = states(place, SCALE.lost_syncs, seed, "ignore")
    print(f"syncs ignored: {lost} of {looked_at} files lost a write, {damaged} were damaged")
    assert lost > 0
    assert damaged > 0
