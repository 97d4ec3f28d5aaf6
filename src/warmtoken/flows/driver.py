"""Runs flows in the calling thread."""

from __future__ import annotations

import time
from typing import Any, TypeVar

from warmtoken.flows.effects import Call, Detach, Effect, Flow, Join, Send, Sleep
from warmtoken.transport import Transport

T = TypeVar("T")


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
            return transport.send(request, timeout=timeout)
        case Sleep(seconds):
            return time.sleep(seconds)
        case Call(function):
            return function()
        case Join(flight, timeout):
            return flight.done.wait(timeout)
        case Detach(flow):
            return drive(flow, transport)
