"""Disks that fail, and file systems that are none for us; each case in a process with real failing calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.faults import built, run_with

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(
    "case",
    [
        "a_write_after_one_that_failed",
        "a_read_after_a_write_that_failed",
        "a_sweep_after_a_write_that_failed",
        "both_writes_fail",
        "a_disk_that_goes_on_failing",
        "beside_busy_threads",
        "a_refresh_whose_reply_cannot_be_written",
        "no_way_back",
        "a_mapping_that_does_not_follow_the_file",
        "no_mapping_that_follows_the_file",
        "a_network_file_system",
    ],
)
def test_disk_error(case: str, directory: Path, faults: Path) -> None:
    assert run_with(faults, "disk_errors.py", case, directory).split()[-1] == "ok"
