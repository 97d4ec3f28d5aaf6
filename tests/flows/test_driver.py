"""Both drivers, with flows made by hand and no I/O at all: what an effect gives or raises goes into the flow."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from warmtoken import TransportError
from warmtoken.cache.flights import Flight
from warmtoken.flows import async_driver, driver
from warmtoken.flows.effects import MAX_BACKGROUND, Background, Call, Detach, Flow, Join, Send, Sleep
from warmtoken.transport import HttpRequest, HttpResponse

REQUEST = HttpRequest("GET", "https://idp.example/")
Drive = Callable[[Flow[Any]], Any]


class Transport:
    """Answers with the time that it was given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        if self.error:
            raise self.error
        return HttpResponse(200, {}, f"{request.url} {timeout}".encode())


class AsyncTransport(Transport):
    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:  # type: ignore[override]
        return super().send(request, timeout=timeout)


@pytest.fixture(params=["sync", "async"])
def drive_with(request: pytest.FixtureRequest) -> Callable[[Exception | None], Drive]:
    def made(error: Exception | None) -> Drive:
        if request.param == "sync":
            return lambda flow: driver.drive(flow, Transport(error))
        return lambda flow: asyncio.run(async_driver.drive(flow, AsyncTransport(error)))

    return made


@pytest.fixture
def drive(drive_with: Callable[[Exception | None], Drive]) -> Drive:
    return drive_with(None)


def test_each_effect_gives_its_outcome(drive: Drive) -> None:
    flight = Flight(None)
    flight.finish()

    def inner() -> Flow[str]:
        return (yield Call(lambda: "inner"))

    def flow() -> Flow[tuple[Any, ...]]:
        response = yield Send(REQUEST, 3.0)
        nothing = yield Sleep(0.0)
        called = yield Call(lambda: 42)
        joined = yield Join(flight, 1.0)
        detached = yield Detach(inner())
        return response.body, nothing, called, joined, detached

    assert drive(flow()) == (b"https://idp.example/ 3.0", None, 42, True, "inner")


def test_a_flow_without_effects_returns(drive: Drive) -> None:
    def flow() -> Flow[int]:
        return 7
        yield Sleep(0)

    assert drive(flow()) == 7


def test_what_an_effect_raises_can_be_handled_by_the_flow(drive: Drive) -> None:
    def refuse() -> None:
        raise KeyError("inside")

    def flow() -> Flow[str]:
        try:
            yield Call(refuse)
        except KeyError:
            return (yield Call(lambda: "handled"))
        return "not reached"

    assert drive(flow()) == "handled"


def test_what_the_flow_does_not_handle_comes_out(drive_with: Callable[[Exception | None], Drive]) -> None:
    cleaned: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield Send(REQUEST, 1.0)
        finally:
            cleaned.append(True)

    with pytest.raises(TransportError, match="gone"):
        drive_with(TransportError("connection_failed", "gone"))(flow())
    assert cleaned == [True]


def test_an_error_of_a_detached_flow_comes_out_where_it_was_detached(drive: Drive) -> None:
    def inner() -> Flow[None]:
        yield Sleep(0)
        raise ValueError("of the inner flow")

    def flow() -> Flow[str]:
        try:
            yield Detach(inner())
        except ValueError as error:
            return str(error)
        return "not reached"

    assert drive(flow()) == "of the inner flow"


def test_a_join_waits_for_another_thread(drive: Drive) -> None:
    flight = Flight(None)

    def flow() -> Flow[bool]:
        threading.Timer(0.05, flight.finish).start()
        return (yield Join(flight, 60.0))

    assert drive(flow()) is True


def test_a_join_gives_up_in_time(drive: Drive) -> None:
    flight = Flight(None)

    def flow() -> Flow[bool]:
        return (yield Join(flight, 0.01))

    assert drive(flow()) is False
    flight.finish()  # wakes nobody, not even where the loop is closed


def test_calls_of_the_async_driver_run_in_other_threads() -> None:
    def flow() -> Flow[int]:
        return (yield Call(threading.get_ident))

    assert asyncio.run(async_driver.drive(flow(), AsyncTransport())) != threading.get_ident()


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_cancelled_call_is_waited_for(times: int) -> None:
    """A commit has ended when its flow goes on, cancelled or not, however often."""
    events: list[str] = []
    release = threading.Event()

    def commit() -> None:
        release.wait(60)
        events.append("committed")

    def flow() -> Flow[None]:
        try:
            yield Call(commit)
        finally:
            events.append("flow ended")

    async def cancel() -> None:
        task = asyncio.ensure_future(async_driver.drive(flow(), AsyncTransport()))
        await asyncio.sleep(0.02)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.02)
        assert events == []
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert events == ["committed", "flow ended"]


def test_an_event_loop_that_ends_waits_for_a_call() -> None:
    """Its lock must not be let go of before the commit has ended: asyncio.run cancels all tasks."""
    events: list[str] = []
    began, release = threading.Event(), threading.Event()

    def commit() -> None:
        began.set()
        release.wait(60)
        events.append("committed")

    def flow() -> Flow[None]:
        try:
            yield Call(commit)
        finally:
            events.append("flow ended")

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        asyncio.ensure_future(async_driver.drive(flow(), AsyncTransport()))  # noqa: RUF006
        await asyncio.to_thread(began.wait, 60)
        loop.call_later(0.05, release.set)

    asyncio.run(leave())
    assert events == ["committed", "flow ended"]


def test_a_call_that_can_be_cancelled_returns_early() -> None:
    closed = threading.Event()

    def flow() -> Flow[None]:
        yield Call(lambda: closed.wait(60), cancel=closed.set)

    async def cancel() -> float:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(async_driver.drive(flow(), AsyncTransport()))
        await asyncio.sleep(0.02)
        since = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return loop.time() - since

    assert asyncio.run(cancel()) < 30
    assert closed.is_set()


def test_a_detached_flow_outlives_its_caller_and_its_error_is_not_complained_about() -> None:
    reached: list[str] = []
    flight = Flight(None)

    def inner() -> Flow[None]:
        reached.append("inner")
        yield Join(flight, 60.0)
        reached.append("its end")
        raise ValueError("nobody is there to see it")

    def flow() -> Flow[None]:
        yield Detach(inner())

    async def cancel() -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        task = asyncio.ensure_future(async_driver.drive(flow(), AsyncTransport()))
        while not reached:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reached == ["inner"]
        flight.finish()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        gc.collect()  # of a task whose error nobody saw it is then that asyncio complains
        return complaints

    assert asyncio.run(cancel()) == []
    assert reached == ["inner", "its end"]


# --- in the background ---


def test_a_flow_in_the_background_goes_on_in_a_thread_that_the_interpreter_waits_for() -> None:
    transport, release = Transport(), threading.Event()
    seen: list[tuple[bool, int]] = []

    def inner() -> Flow[None]:
        yield Call(lambda: release.wait(60))
        seen.append((threading.current_thread().daemon, threading.get_ident()))

    def flow() -> Flow[bool]:
        return (yield Background(inner()))

    def from_a_daemon() -> None:  # whose threads are daemons, too, unless they are told otherwise
        started.append(driver.drive(flow(), transport))

    started: list[bool] = []
    daemon = threading.Thread(target=from_a_daemon, daemon=True)
    daemon.start()
    daemon.join(60)
    assert (started, seen) == ([True], [])
    release.set()
    driver.finish(transport)
    ((is_daemon, thread),) = seen
    assert not is_daemon
    assert thread != threading.get_ident()


def test_a_flow_in_the_background_goes_on_beside_its_caller_on_the_loop() -> None:
    transport = AsyncTransport()
    ended: list[str] = []
    flight = Flight(None)

    def inner() -> Flow[None]:
        yield Join(flight, 60.0)
        ended.append("inner")
        raise ValueError("nobody is there to see it")

    def flow() -> Flow[bool]:
        return (yield Background(inner()))

    async def main() -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        assert await async_driver.drive(flow(), transport) is True
        assert ended == []
        await async_driver.finish(AsyncTransport())  # not that one's
        assert ended == []
        flight.finish()
        await async_driver.finish(transport)
        gc.collect()  # of a task whose error nobody saw it is then that asyncio complains
        return complaints

    assert asyncio.run(main()) == []
    assert ended == ["inner"]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_in_the_background_there_is_room_for_some_and_then_again(mode: str) -> None:
    release = threading.Event()

    def inner() -> Flow[None]:
        yield Call(lambda: release.wait(60))

    def flow() -> Flow[list[bool]]:
        started = []
        for _ in range(MAX_BACKGROUND + 2):
            started.append((yield Background(inner())))  # noqa: PERF401 (a comprehension cannot yield)
        return started

    def blocking() -> list[list[bool]]:
        transport, found = Transport(), []
        for _ in range(2):
            release.clear()
            found.append(driver.drive(flow(), transport))
            release.set()
            driver.finish(transport)
        return found

    async def awaiting() -> list[list[bool]]:
        transport, found = AsyncTransport(), []
        for _ in range(2):
            release.clear()
            found.append(await async_driver.drive(flow(), transport))
            release.set()
            await async_driver.finish(transport)
        return found

    found = blocking() if mode == "sync" else asyncio.run(awaiting())
    assert found == [[True] * MAX_BACKGROUND + [False] * 2] * 2


def test_where_no_thread_can_be_started_the_caller_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    def flow() -> Flow[bool]:
        return (yield Background(iter(())))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(MAX_BACKGROUND + 1):
            assert driver.drive(flow(), Transport()) is False
    assert not driver._room.threads
