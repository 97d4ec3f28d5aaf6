"""What the processes of the tests run: each opens the cache and asks for alice's token."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.program import KEY, READ
from integration.worlds import World, WorldName, open_world
from warmtoken import TokenCache
from warmtoken.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

SPAWN = multiprocessing.get_context("spawn")
START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
_start: Barrier | None = None


@dataclass(frozen=True)
class Job:
    """Ask `callers` times at once, `late` seconds after the real time."""

    world: WorldName
    issuer: str
    cache: Path
    late: int
    callers: int


def ask_in_processes(job: Job, processes: int) -> list[list[str]]:
    """Run a job in as many spawned processes, none before all are ready; return the access tokens by process."""
    barrier = SPAWN.Barrier(processes)
    with ProcessPoolExecutor(processes, SPAWN, initializer=_keep, initargs=(barrier,)) as pool:
        futures: list[Future[list[str]]] = [pool.submit(_ask_with_the_others, job) for _ in range(processes)]
        return [future.result(ANSWER_SECONDS) for future in futures]


def _keep(barrier: Barrier) -> None:
    global _start
    _start = barrier


def _ask_with_the_others(job: Job) -> list[str]:
    assert _start is not None
    return _ask(job, _wait_for(_start))


def _wait_for(barrier: Barrier) -> Callable[[], object]:
    return lambda: barrier.wait(START_SECONDS)


def _ask(job: Job, when_ready: Callable[[], object]) -> list[str]:
    world = open_world(job.world)
    clock = Clock()
    clock.advance(job.late)
    try:
        with TokenCache(job.cache, key=KEY, clock=clock) as cache:
            return _tokens(job, world, world.public(job.issuer, cache), when_ready)
    finally:
        world.close()


def _tokens(job: Job, world: World, app: Any, when_ready: Callable[[], object]) -> list[str]:
    (account,) = world.run(app.get_accounts())  # opens the cache: from here on all ask at once
    when_ready()
    results = world.run_at_once([lambda: app.acquire_token_silent([READ], account)] * job.callers)
    return [result.access_token for result in results]


class Worker:
    """A spawned process that does a job when told to; its answer is the access tokens."""

    def __init__(self, job: Job) -> None:
        self._ours, theirs = SPAWN.Pipe()
        self.process: SpawnProcess = SPAWN.Process(target=_work, args=(job, theirs), daemon=True)
        self.process.start()
        theirs.close()
        assert self._answer(START_SECONDS) == "ready"

    def begin(self) -> None:
        """Let it ask."""
        self._ours.send("begin")

    def is_waiting(self, seconds: float) -> bool:
        """Tell whether there is still no answer after so many seconds."""
        return not self._ours.poll(seconds)

    def tokens(self, timeout: float) -> list[str]:
        """Return its answer; TimeoutError after `timeout` seconds."""
        answer = self._answer(timeout)
        assert isinstance(answer, list), answer
        return answer

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self.process.kill()
        self.process.join(ANSWER_SECONDS)

    def close(self) -> None:
        """End it, however far it is."""
        self.kill()
        self.process.close()
        self._ours.close()

    def _answer(self, timeout: float) -> Any:
        if not self._ours.poll(timeout):
            raise TimeoutError(f"expected an answer of the process within {timeout:g} s")
        return self._ours.recv()


def _work(job: Job, told: Connection) -> None:
    def report_and_wait() -> None:
        told.send("ready")
        told.recv()

    told.send(_ask(job, report_and_wait))
