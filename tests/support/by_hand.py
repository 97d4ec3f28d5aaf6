"""Steps flows by hand: runs none of the effects that they yield but the making of requests."""

from __future__ import annotations

from typing import Any

from warmtoken.flows.effects import Call, Flow, Send


def sending(flow: Flow[Any]) -> Send:
    """Go on with a flow until it has made its next request, and return what it wants to send."""
    making = next(flow)
    assert isinstance(making, Call)
    send = flow.send(making.function())
    assert isinstance(send, Send)
    return send
