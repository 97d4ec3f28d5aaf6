"""Processes that name different partitions of one cache have nothing in common but the file: real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes.test_refresh_once import SPAWN, process, received
from support.workers import Place, ask_together
from support.world import World, new_world

from warmtoken import AuthenticationResult

PARTITIONS = ("contoso", "contoso", "fabrikam", "fabrikam")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


def test_processes_share_a_refresh_with_those_of_their_partition_alone(world: World) -> None:
    apps = {name: world.public(partition=name) for name in PARTITIONS}
    [account] = {world.sign_in(app).account for app in apps.values()}
    world.clock.advance(3600)
    world.idp.token_delay = 0.2
    barrier = SPAWN.Barrier(len(PARTITIONS))
    with contextlib.ExitStack() as stack:
        pipes = [
            stack.enter_context(
                process(ask_together, Place(world.idp.issuer, world.directory, 3600, name), account, barrier, 1)
            )[1]
            for name in PARTITIONS
        ]
        answers: list[list[AuthenticationResult]] = [received(pipe) for pipe in pipes]
    tokens = [result.access_token for [result] in answers]
    assert (tokens[0], tokens[2]) == (tokens[1], tokens[3])
    assert tokens[0] != tokens[2]
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.refreshes_refused, counters.replays_detected) == (2, 0, 0)
