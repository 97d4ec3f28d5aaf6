"""Processes that name different partitions, or send other parameters, have only the file in common: real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes.test_refresh_once import SPAWN, process, received
from support.workers import Place, ask_together
from support.world import World, new_world

from warmtoken import AuthenticationResult


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    "apart",
    [
        pytest.param([{"partition": "contoso"}, {"partition": "fabrikam"}], id="partitions"),
        pytest.param([{"parameters": {"audience": "orders"}}, {"parameters": {"audience": "bills"}}], id="parameters"),
    ],
)
def test_processes_share_a_refresh_with_those_of_their_partition_alone(
    world: World, apart: list[dict[str, Any]]
) -> None:
    [account] = {world.sign_in(world.public(**own)).account for own in apart}
    world.clock.advance(3600)
    world.idp.token_delay = 0.2
    places = [Place(world.idp.issuer, world.directory, 3600, **own) for own in (*apart, *apart)]
    barrier = SPAWN.Barrier(len(places))
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(process(ask_together, place, account, barrier, 1)) for place in places]
        answers: list[list[AuthenticationResult]] = [received(pipe) for _, pipe in started]
    tokens = [result.access_token for [result] in answers]
    assert tokens[:2] == tokens[2:]
    assert tokens[0] != tokens[1]
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.refreshes_refused, counters.replays_detected) == (2, 0, 0)
