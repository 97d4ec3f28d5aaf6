"""Celery's prefork pool: a busy parent with the cache open, and children that it replaces after a few tasks.

None is killed here: a child of Celery's pool (billiard 4.3) waits for tasks with the lock of all children in its hand.
One that is killed then leaves the others waiting for ever, whatever the tasks do. Gunicorn's workers are killed, by
test_servers.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from isolated.support import HERE, FileReader, environment
from support.world import World, new_world

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILDREN, TASKS_PER_CHILD, TASKS = 4, 5, 40
LIFETIME = 3600
LONG = 90.0  # seconds, for what must happen but may take its time on a busy machine
WORKER = (
    sys.executable, "-m", "celery", "--app=celery_app:tasks", "worker", "--pool=prefork", f"--concurrency={CHILDREN}",
    f"--max-tasks-per-child={TASKS_PER_CHILD}", "--without-gossip", "--without-mingle", "--without-heartbeat",
)  # fmt: skip


class Pool:
    """A running Celery worker."""

    def __init__(self, world: World, home: Path) -> None:
        for name in ("state", "sent", "tasks", "control", "results"):
            (home / name).mkdir()
        self._environment = environment() | {
            "SERVER_ISSUER": world.idp.issuer,
            "SERVER_CACHE": str(world.directory),
            "SERVER_STATE": str(home / "state"),
            "SERVER_QUEUE": str(home),
            "SERVER_BUSY": "1",
        }
        self._log = home / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(WORKER, env=self._environment, cwd=home, stdout=log, stderr=log)
        self.parent = self._process.pid

    def run(self, ahead: float = 0) -> list[dict[str, Any]]:
        """Have many tasks done, each so many seconds ahead, and return what the tasks answered."""
        command = [sys.executable, HERE / "celery_app.py", str(TASKS), str(ahead)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=LONG)
        assert done.returncode == 0, (done.stderr, self._log.read_text())
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        assert len(answers) == TASKS
        assert {answer["opened_in"] for answer in answers} == {self.parent}
        return answers

    def stop(self) -> None:
        self._process.terminate()
        assert self._process.wait(LONG) == 0, self._log.read_text()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        made.idp.id_token_lifetime = 100 * LIFETIME  # the workers' clocks go ahead of the provider's
        made.sign_in(made.public())
        yield made


@pytest.fixture
def pool(world: World, tmp_path: Path) -> Iterator[Pool]:
    (tmp_path / "pool").mkdir()
    started = Pool(world, tmp_path / "pool")
    try:
        yield started
        started.stop()
    finally:
        started.kill()


def test_children_that_come_and_go_share_one_refresh_per_expiry(
    pool: Pool, world: World, file_reader: FileReader
) -> None:
    answers = pool.run()
    assert len({answer["worker"] for answer in answers}) >= TASKS // TASKS_PER_CHILD
    assert len({answer["token"] for answer in answers}) == 1
    assert world.token_requests() == 0
    world.idp.token_delay = 0.2  # others come while the first one's refresh is under way
    for expiry in (1, 2):
        answers = pool.run(ahead=expiry * LIFETIME)
        assert len({answer["token"] for answer in answers}) == 1
        counters = world.idp.counters
        assert counters.grants == {"refresh_token": expiry}
        assert (counters.refreshes_granted, counters.replays_detected) == (expiry, 0)
        slots = file_reader.readers(world.directory / "tokens-v1.mdb")
        assert slots.count(pool.parent) == 1
