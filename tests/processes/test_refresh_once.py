"""One refresh per expiry and host: real processes, spawned, forked and killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from support.workers import Place, ask_together, fork_in_threads, hit_and_be_told, refresh_and_report
from support.world import SCOPES, World, eventually, new_world

from warmtoken import AuthenticationResult

PROCESSES, THREADS = 8, 4
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


@contextlib.contextmanager
def process(target: Any, *arguments: Any) -> Iterator[tuple[BaseProcess, Connection]]:
    """A spawned process and our end of its pipe, which it gets as its last argument."""
    ours, theirs = SPAWN.Pipe()
    started = SPAWN.Process(target=target, args=(*arguments, theirs))
    started.start()
    theirs.close()
    try:
        yield started, ours
        started.join(90)
        assert started.exitcode is not None, "the process did not end"
    finally:
        started.kill()
        started.join()
        started.close()
        ours.close()


def received(pipe: Connection, seconds: float = 90) -> Any:
    assert pipe.poll(seconds), "the process did not answer in time"
    return pipe.recv()


def test_all_processes_and_threads_share_one_refresh(world: World) -> None:
    account = world.sign_in(world.public()).account
    world.clock.advance(3600)
    world.idp.token_delay = 0.2
    place = Place(world.idp.issuer, world.directory, ahead=3600)
    barrier = SPAWN.Barrier(PROCESSES * THREADS)
    with contextlib.ExitStack() as stack:
        pipes = [
            stack.enter_context(process(ask_together, place, account, barrier, THREADS))[1] for _ in range(PROCESSES)
        ]
        results = [result for pipe in pipes for result in received(pipe)]
    assert len(results) == PROCESSES * THREADS
    assert all(isinstance(result, AuthenticationResult) for result in results), results
    assert len({result.access_token for result in results}) == 1
    counters = world.idp.counters
    assert (counters.grants, counters.refreshes_granted, counters.replays_detected) == ({"refresh_token": 1}, 1, 0)
    assert {result.account for result in results} == {account}
    sources = [result.metadata.token_source for result in results]
    assert sources.count("identity_provider") <= THREADS  # the threads of one process; all others found it


def test_another_process_takes_over_from_one_that_was_killed(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    world.idp.fail_next("token", delay=60, disconnect="before")
    place = Place(world.idp.issuer, world.directory)
    with process(refresh_and_report, place, account) as (leader, _):
        eventually(lambda: world.idp.counters.faults_injected)
        locks, keys = world.cache.vault().shared.locks, world.cache.vault().keys
        key = keys.refresh_token(app.application._context.owner(account.home_account_id))
        assert not locks.try_lock(keys.lock_offset(key))  # it holds the lock of this refresh token
        assert leader.pid
        leader.kill()
        since = time.monotonic()
        result = app.acquire_token_silent(SCOPES, account, force_refresh=True)
        assert time.monotonic() - since < 30  # the request that was cut off lasts for a minute
        leader.join()
        assert leader.exitcode == -signal.SIGKILL
    assert result.metadata.token_source == "identity_provider"
    assert (world.idp.counters.refreshes_granted, world.idp.counters.replays_detected) == (1, 0)


def test_a_process_waits_for_another_and_takes_what_it_stored(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    world.clock.advance(3600)
    world.idp.fail_next("token", delay=0.5)
    place = Place(world.idp.issuer, world.directory, ahead=3600)
    with process(refresh_and_report, place, account) as (_, pipe):
        eventually(lambda: world.idp.counters.faults_injected)
        waited = app.acquire_token_silent(SCOPES, account)
        assert waited.access_token == received(pipe).access_token
    assert waited.metadata.token_source == "cache"
    assert waited.metadata.duration_http_ms == 0.0
    assert world.token_requests() == 1


def test_a_removed_account_is_gone_at_once_in_another_process(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    with process(hit_and_be_told, Place(world.idp.issuer, world.directory), account) as (_, pipe):
        assert received(pipe) == "L1"
        app.remove_account(account)
        pipe.send("again")
        assert received(pipe) == "no_tokens_found"
        pipe.send("stop")
    assert world.token_requests() == 0


def test_a_fork_in_the_middle_of_a_refresh_leaves_parent_and_child_working(world: World) -> None:
    account = world.sign_in(world.public()).account
    world.idp.token_delay = 0.5
    with process(fork_in_threads, Place(world.idp.issuer, world.directory), account) as (_, pipe):
        assert received(pipe) == "refreshing"
        eventually(lambda: world.token_requests() == 2)
        pipe.send("fork now")
        of_child, exit_code, of_parent = received(pipe), received(pipe), received(pipe)
    assert exit_code == 0, of_child
    assert of_parent != of_child
    counters = world.idp.counters
    assert (counters.refreshes_refused, counters.replays_detected) == (0, 0)
    assert counters.most_in_flight == 1
