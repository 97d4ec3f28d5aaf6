"""Managed identities: one request for all processes of a host."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from support.managed_identity_endpoint import VARIABLES, serving_identities
from support.managed_identity_workers import ask_together

from warmtoken.testing import Clock

PROCESSES = 8
SPAWN = multiprocessing.get_context("spawn")


def test_eight_processes_ask_the_endpoint_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    barrier = SPAWN.Barrier(PROCESSES)
    with serving_identities("imds", Clock(), tmp_path) as endpoint:
        endpoint.delay = 0.2
        for name, value in endpoint.environ.items():
            monkeypatch.setenv(name, value)
        pipes = [SPAWN.Pipe() for _ in range(PROCESSES)]
        workers = [
            SPAWN.Process(target=ask_together, args=(tmp_path / "cache", barrier, theirs)) for _, theirs in pipes
        ]
        for worker in workers:
            worker.start()
        try:
            answers = [ours.recv() for ours, _ in pipes if ours.poll(60)]
        finally:
            for worker in workers:
                worker.join(60)
                worker.kill()
        assert len(endpoint.seen) == 1
    assert {token for token, _ in answers} == set(endpoint.granted)
    sources = [source for _, source in answers]
    assert (len(sources), sources.count("identity_provider")) == (PROCESSES, 1)
