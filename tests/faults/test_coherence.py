"""Processes that read what others write all the time: no answer is older than a write that had returned before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from isolated.support import run

if TYPE_CHECKING:
    from pathlib import Path


def test_no_process_serves_what_another_has_replaced_or_removed(tmp_path: Path) -> None:
    """Two processes write, six look up; that a token is not there is an answer as well."""
    said = run("soak.py", tmp_path, SCALE.checks, 500, timeout=SCALE.timeout)
    checks, hits, misses, stale, commits = map(int, said.split())
    print(f"{checks} checks, {hits} hits, {misses} misses, {stale} stale, {commits} commits")
    assert checks >= SCALE.checks
    assert commits >= 500
    assert hits > checks / 2
    assert misses > 0
    assert stale == 0


@pytest.mark.parametrize("time", range(SCALE.growths))
def test_nobody_reads_anything_wrong_while_the_map_grows(tmp_path: Path, time: int) -> None:
    """From 1 MiB, below eight readers in threads, forked and spawned processes."""
    answers, used = map(int, run("growth.py", tmp_path, SCALE.map_bytes, timeout=SCALE.timeout).split())
    assert answers > 0
    assert used >= SCALE.map_bytes
