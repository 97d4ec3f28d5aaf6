"""What the processes tests run in other processes: top-level functions, since spawn pickles them by name."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isolated.support import UnhurriedHits
from support.family import AUTHORITY, FamilyProvider
from support.world import KEY, SCOPES

from warmtoken import (
    Account,
    AuthenticationResult,
    ClientSecret,
    ConfidentialClientApplication,
    PublicClientApplication,
    TokenCache,
    UiRequiredError,
    _engine,
)
from warmtoken.cache import byte_locks
from warmtoken.testing import Clock

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process finds the provider and the cache, what time it is there (seconds ahead), and what is its own."""

    issuer: str
    directory: Path
    ahead: float = 0.0
    partition: str = ""
    parameters: dict[str, str] | None = None

    def application(self) -> PublicClientApplication:
        return PublicClientApplication(
            "cli", authority=self.issuer, cache=self._cache(), partition=self.partition, parameters=self.parameters
        )

    def service(self) -> ConfidentialClientApplication:
        credential = ClientSecret("service-secret")
        return ConfidentialClientApplication(
            "service", credential=credential, authority=self.issuer, cache=self._cache()
        )

    def _cache(self) -> TokenCache:
        clock = Clock()
        clock.advance(self.ahead)
        _engine.Hits = UnhurriedHits  # type: ignore[misc]
        byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
        return TokenCache(self.directory, key=KEY, clock=clock)


def ask_together(place: Place, account: Account, barrier: Barrier, threads: int, answers: Connection) -> None:
    """Ask in several threads at the moment when all processes are ready, and send what they got."""
    app = place.application()

    def ask(_: int) -> AuthenticationResult | Exception:
        barrier.wait(60)
        try:
            return app.acquire_token_silent(SCOPES, account)
        except Exception as error:  # noqa: BLE001
            return error

    with app, ThreadPoolExecutor(threads) as pool:
        answers.send(list(pool.map(ask, range(threads))))


def ask_on_behalf_of(place: Place, assertion: str, barrier: Barrier, answers: Connection) -> None:
    """Ask with the caller's token when all processes are ready, then from memory, and send the three results."""
    with place.service() as api:
        barrier.wait(60)
        answers.send([api.acquire_token_on_behalf_of(assertion, SCOPES) for _ in range(3)])


def go_on_with_session(place: Place, session_key: str, barrier: Barrier, answers: Connection) -> None:
    """Go on with a long-running session when all processes are ready, and send the result."""
    with place.service() as api:
        barrier.wait(60)
        answers.send(api.acquire_token_in_long_running_on_behalf_of(session_key, SCOPES))


def refresh_and_report(place: Place, account: Account, answers: Connection) -> None:
    with place.application() as app:
        answers.send(app.acquire_token_silent(SCOPES, account, force_refresh=True))


def hit_and_be_told(place: Place, account: Account, channel: Connection) -> None:
    """Warm up, then ask each time when told, and send what came: a cache level, or an error code."""
    with place.application() as app:
        while True:
            try:
                level = [app.acquire_token_silent(SCOPES, account).metadata.cache_level for _ in range(3)][-1]
                channel.send(level)
            except UiRequiredError as error:
                channel.send(error.code)
            if channel.recv() == "stop":
                return


def fork_in_threads(place: Place, account: Account, channel: Connection) -> None:
    """Fork while threads hit and one is in the middle of a refresh; parent and child both refresh afterwards."""
    app = place.application()
    app.acquire_token_silent(SCOPES, account, force_refresh=True)  # connections and flights are in use
    stop = threading.Event()

    def hit() -> None:
        while not stop.is_set():
            app.acquire_token_silent(SCOPES, account)

    busy = [threading.Thread(target=hit) for _ in range(3)]
    refreshing = threading.Thread(
        target=app.acquire_token_silent, args=(SCOPES, account), kwargs={"force_refresh": True}
    )
    for thread in busy:
        thread.start()
    channel.send("refreshing")
    refreshing.start()
    channel.recv()  # the provider has the request
    child = os.fork()
    if child == 0:
        _answer_and_exit(app, account, channel)
    refreshing.join()
    _, status = os.waitpid(child, 0)
    stop.set()
    for thread in busy:
        thread.join()
    channel.send(os.waitstatus_to_exitcode(status))
    channel.send(app.acquire_token_silent(SCOPES, account, force_refresh=True).access_token)
    app.close()


def _answer_and_exit(app: PublicClientApplication, account: Account, channel: Connection) -> Any:
    try:
        channel.send(app.acquire_token_silent(SCOPES, account, force_refresh=True).access_token)
    except BaseException as error:  # noqa: BLE001  the parent's stack must not run in the child
        channel.send(repr(error))
        os._exit(1)
    os._exit(0)


def ask_as_members(directory: Path, client_id: str, account: Account, barrier: Barrier, answers: Queue[str]) -> None:
    """Ask as a client of a family when all are ready and the token has expired, and send the token or what came."""
    clock = Clock()
    clock.advance(3600)
    cache = TokenCache(directory / "cache", key=KEY, clock=clock)
    provider = FamilyProvider(directory / "idp", clock)
    provider.on_request = lambda _: time.sleep(0.1)  # so that the others come meanwhile
    app = PublicClientApplication(client_id, authority=AUTHORITY, cache=cache, transport=provider)
    barrier.wait(60)
    try:
        answers.put(app.acquire_token_silent(["User.Read"], account).access_token)
    except Exception as error:  # noqa: BLE001
        answers.put(repr(error))
