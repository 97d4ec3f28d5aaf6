"""One refresh per expiry on a host, with real processes, and with one that dies in the middle."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from integration.program import KEY, LIFETIME, READ
from integration.workers import Job, Worker, ask_in_processes
from integration.worlds import SyncWorld
from warmtoken import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp.browser import Browser
    from idp.provider import Provider

    from integration.worlds import WorldName

PROCESSES, CALLERS = 8, 4
TAKEOVER_SECONDS = 30.0  # the request that was cut off lasts for sixty
LATE = LIFETIME + 1


@pytest.fixture
def signed_in(provider: Provider, browser: Browser, tmp_path: Path) -> Path:
    """The cache of a user who signed in just now; the provider's time has gone on until the token has expired."""
    world = SyncWorld()
    with TokenCache(tmp_path / "cache", key=KEY) as cache:
        app = world.public(provider.issuer, cache)
        app.acquire_token_interactive([READ], open_browser=browser, timeout=60)
    world.close()
    provider.pass_time(LATE)
    return tmp_path / "cache"


@pytest.fixture
def start_worker(provider: Provider, signed_in: Path) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(Job("sync", provider.issuer, signed_in, LATE, callers=1)))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


@pytest.mark.parametrize("world_name", ["sync", "async"])
def test_all_processes_at_once_cause_one_refresh(provider: Provider, signed_in: Path, world_name: WorldName) -> None:
    provider.fail(delay_ms=500)  # all others come while the first one's refresh is under way

    tokens = ask_in_processes(Job(world_name, provider.issuer, signed_in, LATE, CALLERS), PROCESSES)

    assert [len(of_process) for of_process in tokens] == [CALLERS] * PROCESSES
    assert len({token for of_process in tokens for token in of_process}) == 1
    counters = provider.counters
    assert counters.grants == {"authorization_code": 1, "refresh_token": 1}
    assert counters.refused_refreshes == 0
    assert counters.token_requests == 2


def test_each_expiry_costs_one_refresh(provider: Provider, signed_in: Path) -> None:
    seen = set()
    for expiry in range(1, 4):
        provider.pass_time(expiry * LATE)
        tokens = ask_in_processes(Job("sync", provider.issuer, signed_in, expiry * LATE, CALLERS), 3)
        seen |= {token for of_process in tokens for token in of_process}

    assert len(seen) == 3
    assert provider.counters.refreshes == 3
    assert provider.counters.refused_refreshes == 0


def test_a_killed_process_does_not_keep_the_others_from_refreshing(
    provider: Provider, start_worker: Callable[[], Worker]
) -> None:
    doomed, heir = start_worker(), start_worker()
    # The reset comes long after the test: the provider never sees the doomed process's refresh token.
    provider.fail(delay_ms=60_000, reset=True)
    doomed.begin()
    wait_until(lambda: provider.counters.token_requests == 2)
    heir.begin()
    assert heir.is_waiting(0.5)
    assert provider.counters.token_requests == 2

    doomed.kill()
    killed = time.monotonic()
    tokens = heir.tokens(timeout=60)
    took = time.monotonic() - killed

    assert len(tokens) == 1
    assert took < TAKEOVER_SECONDS
    assert provider.counters.token_requests == 3
    assert provider.counters.refreshes == 1
    assert provider.counters.refused_refreshes == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "expected this to come true within 60 s"
        time.sleep(0.01)
