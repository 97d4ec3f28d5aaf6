"""Clocks that jump: no token is handed out past its end by either clock, and no jump costs more than one refresh."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from support.world import SCOPES, Client, World, new_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from warmtoken import Account, AuthenticationResult

HOUR, DAY = 3600.0, 86_400.0
LIFETIME = 3600
CALLS = 3  # after each step
TICK = 1  # second: clocks are read a moment apart


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        made.idp.access_token_lifetime = LIFETIME
        yield made


@dataclass
class Watch:
    """Asks for the same token in the ways a host does, and looks how old each answer is by both clocks."""

    world: World
    clients: list[Client]
    account: Account
    issued: dict[str, float] = field(default_factory=dict)  # monotonic time by token
    set_back: dict[str, float] = field(default_factory=dict)  # how much the wall clock was set back since, by token
    refreshes: int = 0

    def saw(self, result: AuthenticationResult) -> None:
        if result.metadata.token_source == "identity_provider":
            self.issued[result.access_token] = self.world.clock.monotonic()
            self.set_back[result.access_token] = 0

    def step_wall(self, seconds: float) -> None:
        self.world.clock.step_wall(seconds)
        if seconds < 0:
            self.set_back = {token: so_far - seconds for token, so_far in self.set_back.items()}

    def ask(self, *, allowance: bool) -> None:
        """Ask some times. `allowance`: a clock set back by less than a token's age can make it last as much longer."""
        clock = self.world.clock
        before = self.world.token_requests()
        for client in self.clients * CALLS:
            result = client.acquire_token_silent(SCOPES, self.account)
            self.saw(result)
            assert result.expires_on > clock.time() - TICK
            age = clock.monotonic() - self.issued[result.access_token]
            assert age < LIFETIME + TICK + allowance * self.set_back[result.access_token]
        asked = self.world.token_requests() - before
        assert asked <= 1, "more than one refresh"
        self.refreshes += asked
        assert self.world.idp.counters.replays_detected == 0


def watched(world: World) -> Watch:
    app = world.public()
    first = world.sign_in(app)
    watch = Watch(world, [app, world.public(cache=world.new_cache())], first.account)
    watch.issued[first.access_token] = world.clock.monotonic()
    watch.set_back[first.access_token] = 0
    return watch


@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
@pytest.mark.parametrize("age", [0.0, 1800.0, 3200.0])
def test_a_wall_clock_that_jumps(world: World, jump: float, age: float) -> None:
    watch = watched(world)
    world.clock.advance(age)
    watch.ask(allowance=False)
    watch.step_wall(jump)
    watch.ask(allowance=False)
    # Once a second the file is looked at, and with it whether the token comes from the future.
    for seconds in (2, 900, 900, 900, 900, 900):
        world.clock.advance(seconds)
        watch.ask(allowance=False)
    watch.step_wall(-jump)
    watch.ask(allowance=False)


@pytest.mark.parametrize("asleep", [600.0, HOUR, DAY])
def test_a_machine_that_sleeps(world: World, asleep: float) -> None:
    """The monotonic clock stands still meanwhile, as Linux's does; the wall clock is right again afterwards."""
    watch = watched(world)
    watch.step_wall(asleep)
    watch.ask(allowance=False)
    assert watch.refreshes == (asleep >= HOUR)


def test_any_steps_in_any_order(world: World, seed: int) -> None:
    chance, watch = random.Random(seed), watched(world)
    for _ in range(SCALE.clock_steps):
        kind = chance.choice(["jump", "jump", "slip", "sleep", "pass"])
        if kind == "jump":
            watch.step_wall(chance.choice([HOUR, -HOUR, DAY, -DAY]))
        elif kind == "slip":
            watch.step_wall(chance.uniform(-HOUR, HOUR))
        elif kind == "sleep":
            watch.step_wall(chance.uniform(0, 2 * HOUR))
        else:
            world.clock.advance(chance.uniform(0, HOUR))
        watch.ask(allowance=True)
    assert watch.refreshes > 0
