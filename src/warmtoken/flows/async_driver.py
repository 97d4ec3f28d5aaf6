"""Runs flows on an asyncio event loop: requests natively, blocking calls in threads."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from warmtoken.cache.flights import Flight
from warmtoken.flows import driver
from warmtoken.flows.effects import MAX_BACKGROUND, Await, Background, Call, Detach, Effect, Flow, Join, Send, Sleep
from warmtoken.transport import AsyncTransport, check_response

T = TypeVar("T")


class _Running(NamedTuple):
    # A flow that goes on without its caller, and by which transport.
    flow: Flow[Any]
    transport: AsyncTransport


_detached: dict[asyncio.Task[Any], _Running] = {}
_background: dict[asyncio.Task[Any], _Running] = {}


async def drive(flow: Flow[T], transport: AsyncTransport) -> T:
    """Run a flow to its end and return its result; what an effect raises is thrown into the flow."""
    try:
        effect = next(flow)
        while True:
            try:
                outcome = await _perform(effect, transport)
            except BaseException as error:  # noqa: BLE001 (the flow decides; what it lets through comes out below)
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def _perform(effect: Effect, transport: AsyncTransport) -> Any:
    match effect:
        case Send(request, timeout):
            sending: object = transport.send(request, timeout=timeout)
            return check_response(await sending if isinstance(sending, Awaitable) else None)
        case Sleep(seconds):
            return await asyncio.sleep(seconds)
        case Call():
            return await _call(effect)
        case Await(awaitable):
            return await awaitable
        case Join(flight, timeout):
            return await _join(flight, timeout)
        case Detach(flow):
            return await _detach(flow, transport)
        case Background(flow):
            return _start(flow, transport)


async def _detach(flow: Flow[T], transport: AsyncTransport) -> T:
    _close_abandoned()
    task = asyncio.ensure_future(drive(flow, transport))
    _detached[task] = _Running(flow, transport)
    task.add_done_callback(_landed)
    return await asyncio.shield(task)


def _start(flow: Flow[Any], transport: AsyncTransport) -> bool:
    if len(_of_this_loop(_background)) >= MAX_BACKGROUND:
        return False
    task = asyncio.ensure_future(drive(flow, transport))
    _background[task] = _Running(flow, transport)
    task.add_done_callback(_landed)
    return True


def _of_this_loop(running: dict[asyncio.Task[Any], _Running]) -> list[tuple[asyncio.Task[Any], AsyncTransport]]:
    # Not those of other threads' loops, nor of a loop that was closed with its tasks or left behind by a fork.
    loop = asyncio.get_running_loop()
    return [(task, used.transport) for task, used in list(running.items()) if task.get_loop() is loop]


def _close_abandoned() -> None:
    # Nobody resumes a flow whose loop was closed; it would keep its lock from all processes.
    for running in (_detached, _background):
        for task in [task for task in list(running) if task.get_loop().is_closed()]:
            abandoned = running.pop(task, None)
            if abandoned is not None:
                abandoned.flow.close()


driver.before_waiting.append(_close_abandoned)  # threads wait for tasks, too

# What a child inherits it must not close: the lock and the flight are the parent's. So it is kept, unused, for ever.
_inherited: list[dict[asyncio.Task[Any], _Running]] = []


def _leave_to_parent() -> None:
    for running in (_detached, _background):
        _inherited.append(dict(running))
        running.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


async def finish(transport: AsyncTransport) -> None:
    """Wait for the flows of this event loop that use a transport and go on without a caller, as before it is closed."""
    own = asyncio.current_task()
    running = (*_of_this_loop(_detached), *_of_this_loop(_background))
    tasks = [task for task, used in running if used is transport and task is not own]
    if tasks:
        await asyncio.wait(tasks)


def _landed(task: asyncio.Task[Any]) -> None:
    _detached.pop(task, None)
    _background.pop(task, None)
    if not task.cancelled():
        task.exception()  # seen: a caller that was cancelled does not ask for it


async def _call(effect: Call) -> Any:
    # A commit must have ended before its flow goes on, also when the flow is cancelled: wait for the thread.
    thread = _in_thread(effect.function)
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        if effect.cancel is not None:
            await _outlast(_in_thread(effect.cancel))
        await _outlast(thread)
        raise


def _in_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    # Not asyncio.to_thread, whose task an event loop that ends cancels with all others, though not the thread.
    return asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, function)


async def _outlast(thread: asyncio.Future[Any]) -> None:
    # However often the flow is cancelled: a program that ends may do so, and then its event loop once more.
    while not thread.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([thread])
    if not thread.cancelled():
        thread.exception()  # seen


async def _join(flight: Flight, timeout: float) -> bool:
    _close_abandoned()
    loop = asyncio.get_running_loop()
    landed = loop.create_future()

    def wake() -> None:
        if not landed.done():
            landed.set_result(None)

    def wake_from_any_thread() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody waits there
            loop.call_soon_threadsafe(wake)

    flight.when_done(wake_from_any_thread)
    return bool((await asyncio.wait([landed], timeout=timeout))[0])
