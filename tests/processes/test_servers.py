"""Web servers with several worker processes, forked before and after the cache was opened: one refresh per expiry."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from isolated.support import FileReader, environment
from support.world import World, eventually, new_world

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = "tokens-v1.mdb"
LIFETIME = 3600
LONG = 90.0  # seconds, for what must happen but may take its time on a busy machine

WSGI, ASGI = "server_app:wsgi", "server_app:asgi"
GUNICORN = (
    sys.executable, "-m", "gunicorn", "--graceful-timeout=60", "--timeout=120",
    "--no-control-socket", "--worker-tmp-dir=/dev/shm",
)  # fmt: skip
UVICORN = (sys.executable, "-m", "uvicorn", ASGI, "--log-level=info", "--timeout-worker-healthcheck=60")


@dataclass(frozen=True)
class Kind:
    """A way to serve: the command without its address, and whether its parent has the cache open when it forks."""

    command: tuple[str, ...]
    workers: int
    preloads: bool


KINDS = {
    "gunicorn": Kind((*GUNICORN, WSGI, "--workers=4"), 4, preloads=False),
    "gunicorn preload": Kind((*GUNICORN, WSGI, "--workers=4", "--preload"), 4, preloads=True),
    "gunicorn preload threads": Kind(
        (*GUNICORN, WSGI, "--workers=2", "--preload", "-k=gthread", "--threads=4"), 2, True
    ),
    "gunicorn preload asyncio": Kind((*GUNICORN, ASGI, "--workers=2", "--preload", "-k=asgi"), 2, preloads=True),
    "uvicorn": Kind((*UVICORN, "--workers=2"), 2, preloads=False),
}


@dataclass(frozen=True)
class Answer:
    token: str
    worker: int
    opened_in: int


class Server:
    """A running server, and clients that ask it over HTTP."""

    def __init__(self, kind: Kind, world: World, home: Path, reader: FileReader) -> None:
        self.kind = kind
        self._reader, self._data, self._home = reader, world.directory / DATA, home
        self._state = home / "state"
        self._state.mkdir()
        variables = {
            "SERVER_ISSUER": world.idp.issuer, "SERVER_CACHE": str(world.directory), "SERVER_STATE": str(self._state),
        }  # fmt: skip
        if kind.preloads:
            variables["SERVER_BUSY"] = "1"
        uses_gunicorn = "gunicorn" in kind.command
        address = ("--bind", f"unix:{home}/socket") if uses_gunicorn else ("--uds", f"{home}/socket")
        with (home / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*kind.command, *address], env=environment() | variables, stdout=log, stderr=log
            )
        self.parent = self._process.pid

    def ask(self, ahead: float = 0) -> Answer:
        """Ask as one client of many does: over a connection of its own."""
        transport = httpx2.HTTPTransport(uds=f"{self._home}/socket")
        with httpx2.Client(transport=transport, trust_env=False, timeout=LONG) as client:
            reply = client.get("http://server/", params={"ahead": ahead})
        assert reply.status_code == 200, (reply.text, self.log)
        return Answer(**reply.json())

    def _ask_patiently(self, ahead: float) -> Answer:
        """Ask again where a worker that ends dropped a connection that it had just taken (it had not read the request).

        The request left unread makes that a reset; read and not answered it is an end. No answer that came is dropped.
        """
        for _ in range(self.kind.workers):
            with suppress(httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                return self.ask(ahead)
        return self.ask(ahead)

    def ask_all(self, ahead: float = 0, *, without: frozenset[int] = frozenset()) -> list[Answer]:
        """Ask from many clients at once until all workers have answered, and those in `without` do no more."""
        answers: list[Answer] = []
        with ThreadPoolExecutor(8) as clients:

            def have_answered() -> bool:
                batch = list(clients.map(self._ask_patiently, [ahead] * 16))
                answers.extend(batch)
                newest = {answer.worker for answer in batch} & without
                return not newest and len({answer.worker for answer in answers} - without) >= self.kind.workers

            eventually(have_answered, LONG)
        return answers

    def is_up(self) -> bool:
        assert self._process.poll() is None, self.log
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"{self._home}/socket") == 0

    def at_work(self) -> set[int]:
        """The processes that have a request of a client before them."""
        return {int(mark.name.split("-")[0]) for mark in self._state.iterdir()}

    def reader_slots(self, pid: int) -> int:
        return self._reader.readers(self._data).count(pid)

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it as its operator does: it must end by itself, and well."""
        self._process.terminate()
        assert self._process.wait(LONG) in (0, -signal.SIGTERM), self.log

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        return (self._home / "log").read_text()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as made:
        made.idp.id_token_lifetime = 100 * LIFETIME  # the workers' clocks go ahead of the provider's
        yield made


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, world: World, file_reader: FileReader) -> Iterator[Server]:
    world.sign_in(world.public())
    home = Path(tempfile.mkdtemp(prefix="wt-"))  # the address of a socket has to be short
    started = Server(KINDS[request.param], world, home, file_reader)
    try:
        eventually(started.is_up, LONG)
        yield started
        started.stop()
    finally:
        started.kill()
        shutil.rmtree(home)


def refreshes(world: World) -> tuple[dict[str, int], int, int]:
    counters = world.idp.counters
    return counters.grants, counters.refreshes_granted, counters.replays_detected


def check_slots(server: Server, answers: list[Answer]) -> None:
    """Each process has one reader slot of its own, and a parent that had one before it forked has it still."""
    assert server.reader_slots(server.parent) == server.kind.preloads
    alive = {answer.worker for answer in answers if Path(f"/proc/{answer.worker}").exists()}
    assert {server.reader_slots(pid) for pid in alive} == {1}


def test_all_workers_share_one_refresh_per_expiry(server: Server, world: World) -> None:
    answers = server.ask_all()
    assert len({answer.token for answer in answers}) == 1
    assert world.token_requests() == 0
    opened_in = {answer.opened_in for answer in answers}
    assert opened_in == ({server.parent} if server.kind.preloads else {answer.worker for answer in answers})
    seen = {answers[0].token}
    world.idp.token_delay = 0.2  # the other workers come while the first one's refresh is under way
    for expiry in (1, 2):
        answers = server.ask_all(ahead=expiry * LIFETIME)
        assert len({answer.token for answer in answers}) == 1
        seen.add(answers[0].token)
        assert len(seen) == 1 + expiry
        assert refreshes(world) == ({"refresh_token": expiry}, expiry, 0)
        check_slots(server, answers)


def test_a_worker_killed_in_the_middle_of_a_refresh_is_replaced(server: Server, world: World) -> None:
    before = server.ask_all()
    world.idp.fail_next("token", delay=LONG, disconnect="before")
    failed = threading.Event()

    def ask_in_vain() -> None:
        try:
            server.ask(ahead=LIFETIME)
        except httpx2.TransportError:
            failed.set()

    client = threading.Thread(target=ask_in_vain)
    client.start()
    eventually(lambda: world.idp.counters.faults_injected, LONG)
    [leader] = server.at_work()
    os.kill(leader, signal.SIGKILL)
    client.join(LONG)
    assert failed.is_set()
    answers = server.ask_all(ahead=LIFETIME, without=frozenset({leader}))
    assert len({answer.token for answer in answers}) == 1
    assert answers[0].token != before[0].token
    assert world.idp.counters.refreshes_granted == 1
    assert world.idp.counters.replays_detected == 0
    check_slots(server, answers)


def test_a_graceful_reload_goes_on_with_new_workers(server: Server, world: World) -> None:
    before = server.ask_all()
    server.send_signal(signal.SIGHUP)
    old = frozenset(answer.worker for answer in before)
    answers = server.ask_all(without=old)  # asked all through the reload, and none may fail
    assert {answer.token for answer in answers} == {before[0].token}
    assert world.token_requests() == 0
    answers = server.ask_all(ahead=LIFETIME, without=old)
    assert len({answer.token for answer in answers}) == 1
    assert refreshes(world) == ({"refresh_token": 1}, 1, 0)
    check_slots(server, [answer for answer in answers if answer.worker not in old])  # those may be ending just now
