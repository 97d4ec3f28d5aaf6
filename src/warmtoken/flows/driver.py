"""Runs flows in the calling thread."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

from warmtoken.errors import ClientError
from warmtoken.flows.effects import MAX_BACKGROUND, Await, Background, Call, Detach, Effect, Flow, Join, Send, Sleep
from warmtoken.transport import Transport, check_response

T = TypeVar("T")

# What ends flights whose leaders are gone; the async driver, once there is one in this process, has such.
before_waiting: list[Callable[[], object]] = []


def drive(flow: Flow[T], transport: Transport) -> T:
    """Run a flow to its end and return its result; what an effect raises is thrown into the flow."""
    try:
        effect = next(flow)
        while True:
            try:
                outcome = _perform(effect, transport)
            except BaseException as error:  # noqa: BLE001 (the flow decides; what it lets through comes out below)
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result


def _perform(effect: Effect, transport: Transport) -> Any:
    match effect:
        case Send(request, timeout):
            return check_response(transport.send(request, timeout=timeout))
        case Sleep(seconds):
            return time.sleep(seconds)
        case Call(function):
            return function()
        case Await(awaitable):
            return _refuse(awaitable)
        case Join(flight, timeout):
            for let_go in before_waiting:
                let_go()
            return flight.done.wait(timeout)
        case Detach(flow):
            return _drive_to_end(flow, transport)
        case Background(flow):
            return _start(flow, transport)


def _refuse(awaitable: Awaitable[Any]) -> NoReturn:
    if isinstance(awaitable, Coroutine):
        awaitable.close()  # or Python warns that nobody awaited it
    raise ClientError(
        "event_loop_required",
        "expected a plain function, got one that returns an awaitable; use the application of warmtoken.aio",
    )


class _Room:
    # A fork copies none of the threads that take room in the parent: a child begins with a new one.
    def __init__(self) -> None:
        self.left = threading.BoundedSemaphore(MAX_BACKGROUND)
        self.threads: dict[threading.Thread, Transport] = {}
        self.under_way: dict[threading.Event, tuple[threading.Thread, Transport]] = {}


_room = _Room()


def _drive_to_end(flow: Flow[T], transport: Transport) -> T:
    under_way, ended = _room.under_way, threading.Event()
    under_way[ended] = threading.current_thread(), transport
    try:
        return drive(flow, transport)
    finally:
        del under_way[ended]
        ended.set()


def _start(flow: Flow[Any], transport: Transport) -> bool:
    room = _room
    if not room.left.acquire(blocking=False):
        return False
    _wait_at_exit()

    def run() -> None:
        try:
            drive(flow, transport)
        finally:
            del room.threads[thread]
            room.left.release()

    # Not a daemon: the interpreter waits for it, since a refresh that is cut off may lose a rotated refresh token.
    thread = threading.Thread(target=run, name="warmtoken-refresh", daemon=False)
    room.threads[thread] = transport
    try:
        thread.start()
    except RuntimeError:  # no more threads, as where the interpreter ends
        del room.threads[thread]
        room.left.release()
        return False
    return True


@functools.cache
def _wait_at_exit() -> None:
    # The interpreter waits for threads only when it has shut down all executors, and without them asyncio looks up no
    # name. Who registers later is called earlier; where there is no such hook, the refresh fails before it is sent.
    import concurrent.futures.thread  # pyright: ignore[reportUnusedImport]  # noqa: F401 (so that it registers first)

    with contextlib.suppress(AttributeError, RuntimeError):
        threading._register_atexit(_finish_all)  # type: ignore[attr-defined]


def _finish_all() -> None:
    for transport in list(_room.threads.values()):
        _finish_background(transport)


def finish(transport: Transport) -> None:
    """Wait for the flows that use a transport, in the background and in other threads, as before it is closed."""
    for ended, (caller, used) in list(_room.under_way.items()):
        if used is transport and caller is not threading.current_thread():
            ended.wait()
    _finish_background(transport)


def _finish_background(transport: Transport) -> None:
    for thread, used in list(_room.threads.items()):
        if used is transport and thread is not threading.current_thread():
            thread.join()


def _forget_threads_of_parent() -> None:
    global _room
    _room = _Room()


os.register_at_fork(after_in_child=_forget_threads_of_parent)
