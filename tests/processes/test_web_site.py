"""A web site with several worker processes: who signs a user in need not be who serves the user."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolated.support import finish, start
from support.web_site import landing
from support.world import World, new_world


class Worker:
    """A worker process that answers one request after the other."""

    def __init__(self, world: World) -> None:
        self.process = start("web_worker.py", world.idp.issuer, world.directory)

    def ask(self, what: str, *arguments: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        yield made


@pytest.fixture
def workers(world: World) -> Iterator[tuple[Worker, Worker, Worker]]:
    first, second, third = (Worker(world) for _ in range(3))
    try:
        yield first, second, third
        for worker in (first, second, third):
            finish(worker.process)
    finally:
        for worker in (first, second, third):
            with contextlib.suppress(OSError):
                worker.process.kill()


def test_one_worker_begins_a_sign_in_another_ends_it_and_a_third_serves(
    world: World, workers: tuple[Worker, Worker, Worker]
) -> None:
    first, second, third = workers
    with landing() as site:
        flow = first.ask("begin", site.redirect_uri)
        home_account_id, access_token = second.ask("finish", flow, site.visit(flow["auth_uri"]))
    for worker in (third, first, second):
        assert worker.ask("serve", home_account_id) == ["cache", access_token]
    assert world.idp.counters.grants == {"authorization_code": 1}
