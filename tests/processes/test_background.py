"""A refresh in the background and the life of its process: its end, and a fork."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from isolated.support import finish, run, start
from support.world import SCOPES, World, held_replies, new_world

from warmtoken.flows.effects import MAX_BACKGROUND

AHEAD = 2000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        made.idp.refresh_in = 1800
        made.idp.token_delay = 0.5
        yield made


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_program_that_ends_at_once_does_not_cut_its_refresh_off(world: World, how: str) -> None:
    app = world.public()
    signed_in = world.sign_in(app)
    world.clock.advance(AHEAD)
    run("ahead_of_time.py", how, world.idp.issuer, world.directory, AHEAD)
    granted = world.idp.counters.refreshes_granted
    # From 3.12 on no thread starts while the interpreter ends: what has not been sent by then is left to others.
    assert granted == 1 or (granted == 0 and how == "sync" and sys.version_info >= (3, 12))
    now = app.acquire_token_silent(SCOPES, signed_in.account)
    assert (now.access_token != signed_in.access_token) == (granted == 1)
    assert now.metadata.token_source == "cache"
    app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert world.idp.counters.replays_detected == 0


def test_a_fork_while_a_refresh_is_in_the_background_leaves_it_to_the_parent(world: World) -> None:
    world.sign_in(world.public())
    world.clock.advance(AHEAD)
    with held_replies(world.idp):
        process = start("ahead_of_time.py", "fork", world.idp.issuer, world.directory, AHEAD)
        assert process.stdout is not None
        assert process.stdout.readline() == f"child 0 {MAX_BACKGROUND} cache\n"
    assert finish(process) == "parent 0 cache\n"
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.replays_detected) == (1, 0)
