"""What one process has got on behalf of a caller serves all others: real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes.test_refresh_once import SPAWN, process, received
from support.on_behalf_of import GRANT, caller, grants
from support.workers import Place, ask_on_behalf_of, go_on_with_session
from support.world import SCOPES, World, new_world

from warmtoken import AuthenticationResult, ClientError

PROCESSES = 5


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


def in_processes(target: Any, place: Place, argument: str) -> list[Any]:
    """What processes send that all begin at the same moment."""
    barrier = SPAWN.Barrier(PROCESSES)
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(process(target, place, argument, barrier)) for _ in range(PROCESSES)]
        return [received(pipe) for _, pipe in started]


def test_one_request_for_all_processes_that_have_the_same_assertion(world: World) -> None:
    assertion = caller(world)
    world.idp.token_delay = 0.3
    answers: list[list[AuthenticationResult]] = in_processes(
        ask_on_behalf_of, Place(world.idp.issuer, world.directory), assertion
    )
    results = [result for answer in answers for result in answer]
    assert len(results) == 3 * PROCESSES
    assert len({(result.access_token, result.account, result.id_token) for result in results}) == 1
    assert [result.metadata.token_source for result in results].count("identity_provider") == 1
    assert {answer[2].metadata.cache_level for answer in answers} == {"L1"}
    assert grants(world) == {GRANT: 1}


def test_one_refresh_for_all_processes_of_a_long_running_session(world: World) -> None:
    api = world.confidential()
    session = api.initiate_long_running_on_behalf_of(caller(world), SCOPES)
    world.clock.advance(3600)
    world.idp.token_delay = 0.3
    place = Place(world.idp.issuer, world.directory, ahead=3600)
    results: list[AuthenticationResult] = in_processes(go_on_with_session, place, session.session_key)
    assert len({result.access_token for result in results}) == 1
    assert {result.account for result in results} == {session.result.account}
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.refreshes_refused, counters.replays_detected) == (1, 0, 0)
    assert api.stop_long_running_on_behalf_of(session.session_key) is True
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of(session.session_key, SCOPES)
