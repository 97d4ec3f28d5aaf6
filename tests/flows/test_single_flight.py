"""One fetch for all callers of a process: threads, tasks, errors, cancellation."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from support.fault_server import FaultyProvider, faulty_provider
from support.on_behalf_of import API, caller
from support.waiters import Waiters
from support.world import ALICE, BOB, SCOPES, Client, Hook, World, new_world

from warmtoken import AuthenticationResult, ClientError, ClientSecret, ConfidentialClientApplication, ServiceError, aio
from warmtoken.errors import CacheLockedError
from warmtoken.flows import async_driver, driver, single_flight
from warmtoken.transport import HttpRequest

CALLERS = 64
T = TypeVar("T")


@pytest.fixture
def blocking(tmp_path: Path) -> Iterator[World]:
    with new_world("sync", tmp_path) as world:
        yield world


@pytest.fixture
def awaiting(tmp_path: Path) -> Iterator[World]:
    with new_world("async", tmp_path) as world:
        yield world


def in_threads(call: Callable[[int], T], count: int = CALLERS) -> list[T | Exception]:
    """Call in threads that all start at the same moment, and return what each got."""
    barrier = threading.Barrier(count)

    def one(number: int) -> T | Exception:
        barrier.wait()
        try:
            return call(number)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def in_tasks(world: World, call: Callable[[int], Any], count: int = CALLERS) -> list[Any]:
    """Await all at once on one event loop, and return what each got."""

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(call(number) for number in range(count)), return_exceptions=True)

    results: list[Any] = world.run(all_at_once)
    return results


def at_once(world: World, app: Client, ask: Callable[[Any, int], Any], count: int = CALLERS) -> list[Any]:
    if world.mode == "sync":
        return in_threads(lambda number: ask(app.application, number), count)
    return in_tasks(world, lambda number: ask(app.application, number), count)


def both_are_there() -> Hook:
    """A hook that holds each of two requests until the other is there."""
    barrier = threading.Barrier(2)
    return lambda _: barrier.wait(60)


def tokens_of(results: list[Any]) -> set[str]:
    return {result.access_token for result in results}


def test_one_refresh_for_all_who_find_the_token_expired(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    world.clock.advance(3600)
    world.idp.token_delay = 0.1
    results = at_once(world, app, lambda client, _: client.acquire_token_silent(SCOPES, account))
    assert len(tokens_of(results)) == 1
    counters = world.idp.counters
    assert (counters.grants, counters.replays_detected) == ({"refresh_token": 1}, 0)


def test_one_refresh_for_all_who_force_it_at_the_same_time(world: World, waiters: Waiters) -> None:
    signed_in = world.sign_in(world.public())
    app = world.public(before=waiters.expected(15))
    results = at_once(
        world, app, lambda client, _: client.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True), 16
    )
    assert len(tokens_of(results)) == 1
    assert tokens_of(results) != {signed_in.access_token}
    assert world.token_requests() == 1


def test_one_request_for_all_who_want_the_clients_token(world: World) -> None:
    service = world.confidential()
    world.idp.token_delay = 0.1
    results = at_once(world, service, lambda client, _: client.acquire_token_for_client(["api/.default"]))
    assert len(tokens_of(results)) == 1
    assert world.idp.counters.grants == {"client_credentials": 1}


def test_one_request_for_all_who_had_the_same_token_refused(world: World, app: Client) -> None:
    refused = world.sign_in(app)
    named = hashlib.sha256(refused.access_token.encode()).hexdigest()
    world.idp.token_delay = 0.1
    results = at_once(
        world,
        app,
        lambda client, _: client.acquire_token_silent(SCOPES, refused.account, refresh_if_sha256=named),
    )
    assert len(tokens_of(results)) == 1
    assert tokens_of(results) != {refused.access_token}
    assert world.token_requests() == 1


def test_all_share_the_error_of_the_one_request(world: World, waiters: Waiters) -> None:
    account = world.sign_in(world.public()).account
    app = world.public(before=waiters.expected(CALLERS - 1))
    world.clock.advance(3600)
    world.idp.fail_next("token", times=CALLERS, status=500)
    results = at_once(world, app, lambda client, _: client.acquire_token_silent(SCOPES, account))
    assert {(type(error), error.code) for error in results} == {(ServiceError, "service_not_available")}
    assert len({id(error) for error in results}) == CALLERS  # each raises an exception of its own
    assert world.token_requests() == 2  # once more after the first failure


class OutOfOrderError(Exception):
    """One that cannot be made from its own arguments, as a program's own transport may raise it."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"{number}: {reason}")


def test_all_share_an_error_that_cannot_be_copied(world: World, waiters: Waiters) -> None:
    def fail(_: HttpRequest) -> None:
        waiters.expect(3)
        raise OutOfOrderError(7, "lost")

    app = world.public(before=fail)
    account = world.sign_in(world.public()).account
    world.clock.advance(3600)
    results = at_once(world, app, lambda client, _: client.acquire_token_silent(SCOPES, account), 4)
    assert [repr(error) for error in results] == ["OutOfOrderError('7: lost')"] * 4


def test_other_scopes_wait_and_then_use_the_new_refresh_token(world: World, app: Client) -> None:
    account = world.sign_in(app, scopes=["a", "b", "c", "d"]).account
    world.clock.advance(3600)
    world.idp.token_delay = 0.05
    scopes = [["a"], ["b"], ["c"], ["d"]]
    results = at_once(world, app, lambda client, number: client.acquire_token_silent(scopes[number % 4], account), 32)
    assert len(tokens_of(results)) == 4
    counters = world.idp.counters
    assert (counters.refreshes_granted, counters.refreshes_refused, counters.replays_detected) == (4, 0, 0)
    assert counters.most_in_flight == 1


def test_those_who_want_less_are_served_by_the_wider_token(blocking: World, waiters: Waiters) -> None:
    gate = Gate()
    app = blocking.public(before=gate)
    account = blocking.sign_in(app).account
    blocking.clock.advance(3600)
    gate.armed = True
    with ThreadPoolExecutor(2) as pool:
        wide = pool.submit(app.acquire_token_silent, SCOPES, account)
        assert gate.reached.wait(60)
        narrow = pool.submit(app.acquire_token_silent, ["orders.read"], account)
        waiters.expect(1)
        gate.open.set()
        assert wide.result().access_token == narrow.result().access_token
    assert blocking.token_requests() == 1


def test_those_who_were_challenged_for_less_are_served_by_the_wider_token(blocking: World, waiters: Waiters) -> None:
    gate = Gate()
    app = blocking.public(before=gate)
    refused = blocking.sign_in(app)
    ask = {
        "claims": '{"access_token":{"nbf":{"value":"1"}}}',
        "refresh_if_sha256": hashlib.sha256(refused.access_token.encode()).hexdigest(),
    }
    gate.armed = True
    with ThreadPoolExecutor(2) as pool:
        wide = pool.submit(app.acquire_token_silent, SCOPES, refused.account, **ask)
        assert gate.reached.wait(60)
        narrow = pool.submit(app.acquire_token_silent, ["orders.read"], refused.account, **ask)
        waiters.expect(1)
        gate.open.set()
        assert wide.result().access_token == narrow.result().access_token
    assert blocking.token_requests() == 1


def test_users_do_not_wait_for_each_other(world: World) -> None:
    """The request of each is held until that of the other is there."""
    accounts = [world.sign_in(world.public(), user).account for user in (ALICE, BOB)]
    app = world.public(before=both_are_there())
    world.clock.advance(3600)
    results = at_once(world, app, lambda client, number: client.acquire_token_silent(SCOPES, accounts[number]), 2)
    assert [result.account for result in results] == accounts


def test_another_cache_object_and_another_kind_of_application_wait_too(blocking: World) -> None:
    """Threads and tasks of one process share the flights of a directory."""
    signed_in = blocking.sign_in(blocking.public())
    blocking.clock.advance(3600)
    blocking.idp.token_delay = 0.3
    aio = World("async", blocking.directory, blocking.idp, blocking.clock)
    tasks = aio.public()
    threads = blocking.public(cache=blocking.new_cache())
    with ThreadPoolExecutor(8) as pool:
        in_pool = [pool.submit(threads.acquire_token_silent, SCOPES, signed_in.account) for _ in range(8)]
        on_loop = in_tasks(aio, lambda _: tasks.application.acquire_token_silent(SCOPES, signed_in.account), 8)
        results = [future.result() for future in in_pool] + on_loop
    aio.close()
    assert len(tokens_of(results)) == 1
    assert blocking.token_requests() == 1


# --- cancellation ---


class Gate:
    """Holds the first token request until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.armed = False

    def __call__(self, _: HttpRequest) -> None:
        if self.armed:
            self.reached.set()
            assert self.open.wait(60)


def test_a_refusal_of_one_credential_is_not_told_to_who_has_another(blocking: World, waiters: Waiters) -> None:
    """As while a secret is replaced: whoever has the new one asks with it."""
    gate = Gate()
    gate.armed = True
    outdated, current = blocking.confidential(secret="outdated", before=gate), blocking.confidential()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(outdated.acquire_token_for_client, ["api/.default"])
        assert gate.reached.wait(60)
        second = pool.submit(current.acquire_token_for_client, ["api/.default"])
        waiters.expect(1)
        gate.open.set()
        assert second.result().access_token
        with pytest.raises(ServiceError, match="invalid_client"):
            first.result()


def test_a_refusal_of_one_credential_begins_no_session_of_another_in_vain(blocking: World, waiters: Waiters) -> None:
    gate = Gate()
    gate.armed = True
    assertion = caller(blocking)
    outdated, current = blocking.confidential(secret="outdated", before=gate), blocking.confidential()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(outdated.initiate_long_running_on_behalf_of, assertion, API)
        assert gate.reached.wait(60)
        second = pool.submit(current.initiate_long_running_on_behalf_of, assertion, API)
        waiters.expect(1)
        gate.open.set()
        assert second.result().result.access_token
        with pytest.raises(ServiceError, match="invalid_client"):
            first.result()


async def until(event: threading.Event) -> None:
    while not event.is_set():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("cancelled", [[0], [3], [0, 2], [0, 1, 2, 3]], ids=["leader", "waiter", "some", "all"])
def test_cancelling_callers_does_not_cancel_the_refresh(awaiting: World, cancelled: list[int]) -> None:
    gate = Gate()
    app = awaiting.public(after=gate)  # the provider has answered: the old refresh token is spent
    account = awaiting.sign_in(app).account
    awaiting.clock.advance(3600)
    gate.armed = True

    async def cancel_some() -> list[Any]:
        ask = app.application.acquire_token_silent
        tasks = [asyncio.ensure_future(ask(SCOPES, account)) for _ in range(4)]
        await until(gate.reached)
        await asyncio.sleep(0.02)
        for number in cancelled:
            tasks[number].cancel()
        await asyncio.wait([tasks[number] for number in cancelled], timeout=60)
        assert [task.cancelled() for task in tasks] == [number in cancelled for number in range(4)]
        gate.open.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        late = await ask(SCOPES, account)  # what was fetched for nobody is in the cache
        return [result for number, result in enumerate(results) if number not in cancelled] + [late]

    results = awaiting.run(cancel_some)
    assert len(tokens_of(results)) == 1
    assert (awaiting.token_requests(), awaiting.idp.counters.replays_detected) == (1, 0)


def test_a_loop_that_ends_in_a_refresh_leaves_nothing_locked(awaiting: World) -> None:
    gate = Gate()
    app = awaiting.public(before=gate)
    account = awaiting.sign_in(app).account
    awaiting.clock.advance(3600)
    gate.armed = True

    async def leave() -> None:
        task = asyncio.ensure_future(app.application.acquire_token_silent(SCOPES, account))
        await until(gate.reached)
        gate.open.set()
        task.cancel()

    asyncio.run(leave())
    gate.armed = False
    assert app.acquire_token_silent(SCOPES, account).account == account
    assert awaiting.idp.counters.replays_detected == 0


def test_closing_an_application_waits_for_the_refresh_of_a_cancelled_caller(awaiting: World) -> None:
    gate = Gate()
    app = awaiting.public(after=gate)  # the provider has answered: the old refresh token is spent
    account = awaiting.sign_in(app).account
    awaiting.clock.advance(3600)
    gate.armed = True

    async def close() -> None:
        task = asyncio.ensure_future(app.application.acquire_token_silent(SCOPES, account))
        await until(gate.reached)
        task.cancel()
        closing = asyncio.ensure_future(app.application.aclose())
        await asyncio.sleep(0.02)
        assert not closing.done()
        gate.open.set()
        await closing

    asyncio.run(close())
    assert app.acquire_token_silent(SCOPES, account).metadata.token_source == "cache"
    assert awaiting.token_requests() == 1


def test_closing_an_application_waits_for_the_refresh_of_another_thread(blocking: World) -> None:
    gate = Gate()
    app = blocking.public(after=gate)  # the provider has answered: the old refresh token is spent
    account = blocking.sign_in(app).account
    blocking.clock.advance(3600)
    gate.armed = True
    with ThreadPoolExecutor(2) as pool:
        refreshing = pool.submit(app.acquire_token_silent, SCOPES, account)
        assert gate.reached.wait(60)
        closing = pool.submit(app.application.close)
        with pytest.raises(TimeoutError):
            closing.result(0.05)
        gate.open.set()
        closing.result(60)
        assert refreshing.result(60).account == account


class Closing:
    """A provider, and a call that begins while an application is being closed: when those before it have ended."""

    def __init__(self, provider: FaultyProvider) -> None:
        self.issuer = provider.issuer
        self.waited = 0
        self.reached = threading.Event()
        self._open = threading.Event()
        provider.answer = self._answer
        self._grant = provider.grant

    def _answer(self, sock: socket.socket) -> None:
        self.reached.set()
        assert self._open.wait(60)
        self._grant(sock)

    def wait_again(self) -> None:
        """The provider answers when the application waits once more."""
        self.waited += 1
        if self.waited == 2:
            self._open.set()

    def end(self) -> None:
        self._open.set()


@pytest.fixture
def closing(blocking: World) -> Iterator[Closing]:
    with faulty_provider(blocking.clock) as provider:
        closing = Closing(provider)
        yield closing
        closing.end()


def test_closing_waits_for_a_request_of_a_thread_that_came_meanwhile(
    blocking: World, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = ConfidentialClientApplication(
        "service", credential=ClientSecret("secret"), authority=closing.issuer, cache=blocking.cache
    )
    finish = driver.finish
    with ThreadPoolExecutor(1) as pool:
        late: list[Future[AuthenticationResult]] = []

        def wait(transport: Any) -> None:
            closing.wait_again()
            finish(transport)
            if not late:
                late.append(pool.submit(app.acquire_token_for_client, ["a"]))
                assert closing.reached.wait(60)

        monkeypatch.setattr(driver, "finish", wait)
        app.close()
        assert late[0].result(60).access_token
    with pytest.raises(ClientError, match="transport_closed"):
        app.acquire_token_for_client(["b"])


def test_closing_waits_for_a_request_of_a_task_that_came_meanwhile(
    blocking: World, closing: Closing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close() -> None:
        app = aio.ConfidentialClientApplication(
            "service", credential=ClientSecret("secret"), authority=closing.issuer, cache=blocking.cache
        )
        late: list[asyncio.Task[AuthenticationResult]] = []

        async def wait(transport: Any) -> None:
            closing.wait_again()
            await async_driver.finish(transport)
            if not late:
                late.append(asyncio.ensure_future(app.acquire_token_for_client(["a"])))
                await until(closing.reached)

        monkeypatch.setattr(aio, "finish", wait)
        await app.aclose()
        assert (await late[0]).access_token
        with pytest.raises(ClientError, match="transport_closed"):
            await app.acquire_token_for_client(["b"])

    asyncio.run(close())


def test_an_application_can_be_closed_within_its_own_refresh(blocking: World) -> None:
    def close(request: HttpRequest) -> None:
        if b"grant_type=refresh_token" in request.body:
            app.application.close()

    app = blocking.public(after=close)
    account = blocking.sign_in(app).account
    blocking.clock.advance(3600)
    assert app.acquire_token_silent(SCOPES, account).account == account


def test_a_refresh_that_is_cancelled_before_it_begins_keeps_nobody_waiting(awaiting: World) -> None:
    app = awaiting.public()
    account = awaiting.sign_in(app).account
    awaiting.clock.advance(3600)

    async def leave_at_once() -> None:
        await app.application.get_accounts()  # the cache is open: nothing else is waited for
        task = asyncio.ensure_future(app.application.acquire_token_silent(SCOPES, account))
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(others) == 2  # the call, and its refresh, which has not begun
        for other in others:
            other.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(leave_at_once())
    assert not awaiting.cache.vault().shared.flights._by_key
    assert app.acquire_token_silent(SCOPES, account).account == account


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_loop_that_is_closed_in_a_refresh_keeps_nobody_else_waiting(awaiting: World, mode: Any) -> None:
    gate = Gate()
    app = awaiting.public(before=gate)
    account = awaiting.sign_in(app).account
    awaiting.clock.advance(3600)
    gate.armed = True
    loop = asyncio.new_event_loop()
    task = loop.create_task(app.application.acquire_token_silent(SCOPES, account))
    loop.run_until_complete(until(gate.reached))
    gate.armed = False
    gate.open.set()
    loop.close()
    other = World(mode, awaiting.directory, awaiting.idp, awaiting.clock)
    assert other.public().acquire_token_silent(SCOPES, account).account == account
    assert awaiting.idp.counters.replays_detected == 0
    assert not task.done()
    other.close()


def test_a_child_leaves_the_refreshes_of_its_parent_alone(awaiting: World) -> None:
    gate = Gate()
    app = awaiting.public(before=gate)
    account = awaiting.sign_in(app).account
    awaiting.clock.advance(3600)
    gate.armed = True
    loop = asyncio.new_event_loop()
    task = loop.create_task(app.application.acquire_token_silent(SCOPES, account))
    loop.run_until_complete(until(gate.reached))
    child = os.fork()
    if child == 0:
        try:
            loop.is_closed = lambda: True  # as if closed: really closing it would unregister the parent's sockets
            async_driver._close_abandoned()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    gate.open.set()
    assert loop.run_until_complete(task).account == account
    loop.close()


def test_a_wait_has_an_end(blocking: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    app = blocking.public(before=gate)
    account = blocking.sign_in(app).account
    blocking.clock.advance(3600)
    gate.armed = True
    leader = threading.Thread(target=app.acquire_token_silent, args=(SCOPES, account))
    leader.start()
    assert gate.reached.wait(60)
    monkeypatch.setattr(single_flight, "DEADLINE", 0.1)
    with pytest.raises(CacheLockedError) as failed:
        app.acquire_token_silent(SCOPES, account)
    assert failed.value.code == "refresh_lock_timeout"
    gate.open.set()
    leader.join()
    assert app.acquire_token_silent(SCOPES, account).metadata.token_source == "cache"
