"""A program's own token provider: one call for all processes of a host."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from support.token_provider import ask_together

PROCESSES = 8
SPAWN = multiprocessing.get_context("spawn")


def test_the_function_is_called_once_for_eight_processes(tmp_path: Path) -> None:
    log, barrier = tmp_path / "calls", SPAWN.Barrier(PROCESSES)
    pipes = [SPAWN.Pipe() for _ in range(PROCESSES)]
    workers = [
        SPAWN.Process(target=ask_together, args=(tmp_path / "cache", log, barrier, theirs)) for _, theirs in pipes
    ]
    for worker in workers:
        worker.start()
    try:
        answers = [ours.recv() for ours, _ in pipes if ours.poll(60)]
    finally:
        for worker in workers:
            worker.join(60)
            worker.kill()
    (caller,) = log.read_text().split()
    assert {token for token, _ in answers} == {f"token-of-{caller}"}
    sources = [source for _, source in answers]
    assert (len(sources), sources.count("identity_provider")) == (PROCESSES, 1)
