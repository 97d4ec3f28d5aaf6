"""One refresh per expiry and host, at a provider that ends the session when a refresh token is used twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from isolated.support import finish, start
from support.world import SCOPES, World, eventually, held_replies, new_world

from warmtoken.testing import UserAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.world import Client

PROCESSES, THREADS, TASKS = 8, 8, 8
CALLERS = PROCESSES * THREADS * TASKS
Answers = dict[str, Counter[str]]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


class Crowd:
    """Processes with threads and tasks that all ask at the same time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ahead = 0.0
        arguments = world.idp.issuer, world.directory, THREADS, TASKS
        self._processes = [start("callers.py", *arguments) for _ in range(PROCESSES)]
        assert [self._line(process) for process in self._processes] == ["ready\n"] * PROCESSES

    def ask(
        self, wish: str = "user", *, after: float = 0.0, once_answered: Callable[[], object] = lambda: None
    ) -> Answers:
        """Let time pass, have all ask, and return how often each token, error and reason came.

        `once_answered` is called when all have their answers, while refreshes in the background may go on.
        """
        self.world.clock.advance(after)
        self.ahead += after
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"ahead": self.ahead, "wish": wish}) + "\n")
            process.stdin.flush()
        assert [self._line(process) for process in self._processes] == ["answered\n"] * PROCESSES
        once_answered()
        total: Answers = {"tokens": Counter(), "errors": Counter(), "reasons": Counter()}
        for process in self._processes:
            for what, counts in json.loads(self._line(process)).items():
                total[what].update(counts)
        return total

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    def end(self) -> None:
        for process in self._processes:
            finish(process)


@pytest.fixture
def crowd(world: World) -> Iterator[Crowd]:
    world.sign_in(world.public())
    made = Crowd(world)
    yield made
    made.end()


def all_got_one_token(answers: Answers) -> bool:
    return answers["errors"] == {} and list(answers["tokens"].values()) == [CALLERS]


def test_one_request_for_a_missing_token(world: World, crowd: Crowd) -> None:
    world.idp.token_delay = 0.2
    assert all_got_one_token(crowd.ask("client"))
    assert world.idp.counters.grants == {"client_credentials": 1}


def test_one_refresh_for_each_expiry(world: World, crowd: Crowd) -> None:
    tokens: set[str] = set()
    for number in range(SCALE.expiries):
        answers = crowd.ask(after=3600)
        assert all_got_one_token(answers), (number, answers)
        tokens |= set(answers["tokens"])
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.refreshes_refused) == (SCALE.expiries, 0)
    assert (counters.replays_detected, counters.sign_ins, counters.most_in_flight) == (0, 0, 1)
    assert len(tokens) == SCALE.expiries


def test_one_refresh_ahead_of_time_while_all_are_served(world: World, crowd: Crowd) -> None:
    world.idp.refresh_in = 1800
    crowd.ask(after=3600)
    world.idp.reset_counters()
    for number in range(SCALE.early_refreshes):
        with held_replies(world.idp) as let_go:
            served = crowd.ask(after=1990, once_answered=let_go)
        assert all_got_one_token(served), (number, served)
        assert served["reasons"] == {"cache, not_applicable": CALLERS}
        eventually(lambda done=number + 1: world.idp.counters.refreshes_granted == done)
        fresh = crowd.ask()
        assert all_got_one_token(fresh)
        assert not set(fresh["tokens"]) & set(served["tokens"])
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.replays_detected) == (SCALE.early_refreshes, 0)


def test_one_request_where_the_provider_asks_to_wait(world: World, crowd: Crowd) -> None:
    world.idp.fail_next("token", CALLERS, status=429, headers={"retry-after": "600"})
    assert crowd.ask(after=3600)["errors"] == {"ThrottledError temporarily_unavailable": CALLERS}
    assert crowd.ask(after=300)["errors"] == {"ThrottledError temporarily_unavailable": CALLERS}
    assert world.token_requests() == 1
    world.idp.clear_faults()
    assert all_got_one_token(crowd.ask(after=300))
    assert world.token_requests() == 2


# --- crashes ---

# Where a process is killed; whether the refresh token that it had sent was spent, and the new one lost with it; and the
# requests that come in, of the dead process and of the next one: its refresh, and a code where that failed.
POINTS = {
    "before the request": (False, 1),
    "while the provider works": (False, 2),
    "when the provider has answered": (True, 3),
    "before the commit": (True, 3),
    "after the commit": (False, 1),
}


SLOW = 30.0  # seconds that nobody waits for: the process is killed meanwhile


class Victim:
    """Kills processes in the middle of a refresh."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ahead = 0.0
        self._parent = start("refresh_and_die.py", world.idp.issuer, world.directory)

    def die(self, point: str) -> None:
        """Let the token expire, and a process die at this point of its refresh."""
        idp = self.world.idp
        self.world.clock.advance(3600)
        self.ahead += 3600
        if point == "while the provider works":
            idp.fail_next("token", delay=SLOW, disconnect="before")
        idp.token_delay = SLOW if point == "when the provider has answered" else 0.0
        pid = self._told(point)
        if point == "while the provider works":
            eventually(lambda: idp.counters.faults_injected)
            os.kill(pid, signal.SIGKILL)
        if point == "when the provider has answered":
            eventually(lambda: idp.counters.refreshes_granted)
            os.kill(pid, signal.SIGKILL)
        assert self._read() == -signal.SIGKILL
        idp.token_delay = 0.0

    def _told(self, point: str) -> int:
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{self.ahead} {point}\n")
        self._parent.stdin.flush()
        return self._read()

    def _read(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())

    def end(self) -> None:
        finish(self._parent)


@pytest.fixture
def victim(world: World) -> Iterator[Victim]:
    made = Victim(world)
    yield made
    with contextlib.suppress(BrokenPipeError):
        made.end()


def prompts_of(app: Client) -> int:
    """How often the user is asked until there is a token."""
    prompts: list[UserAgent] = []

    def ask(url: str) -> None:
        prompts.append(UserAgent())
        prompts[-1](url)

    assert app.acquire_token(SCOPES, open_browser=ask).access_token
    for agent in prompts:
        agent.join()
    return len(prompts)


def test_a_crash_costs_a_sign_in_only_where_the_new_refresh_token_was_lost(
    world: World, victim: Victim, seed: int
) -> None:
    app = world.public()
    signed_in = world.sign_in(app)
    points = list(POINTS) * SCALE.refresh_crashes
    random.Random(seed).shuffle(points)
    for point in points:
        world.idp.reset_counters()
        victim.die(point)
        is_lost, requests = POINTS[point]
        assert prompts_of(app) == is_lost, point
        counters = world.idp.counters
        assert (counters.replays_detected, counters.refreshes_granted) == (is_lost, 1), point
        assert world.token_requests() == requests, point
    again = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert again.account == signed_in.account
