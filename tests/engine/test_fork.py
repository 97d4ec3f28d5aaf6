"""Processes made by fork and spawn, and interpreters within one; each case has a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from isolated.support import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "case",
    [
        "child_reads_and_writes",
        "child_of_a_child",
        "child_of_an_unused_cache",
        "many_children_at_once",
        "beside_a_busy_reader",
        "beside_a_busy_writer",
        "beside_a_thread_that_opens",
        "reader_slots_stay",
        "slots_stay_when_the_child_lets_go",
        "hits_of_the_parent_go_stale_in_the_child",
        "a_failed_reopen_is_an_error_and_not_the_end",
        "locks_are_not_inherited",
        "started_by_multiprocessing",
        "a_child_that_begins_late_finds_another_file",
        "a_child_that_begins_at_once_writes_nothing_into_another_file",
        "a_daemon_closes_what_it_inherits",
        "the_first_fork_with_an_open_cache_is_logged",
    ],
)
def test_fork(case: str, directory: Path) -> None:
    assert run("fork_cases.py", case, directory).split() == ["ok"]


def test_a_child_does_not_wait_for_what_a_thread_of_its_parent_was_importing(directory: Path) -> None:
    assert run("fork_while_importing.py", directory, timeout=120) == "0\n"


def test_a_sub_interpreter_is_refused_and_does_not_hang() -> None:
    assert run("sub_interpreter.py").startswith("refused: expected the main interpreter of the process")
