"""Faults that a test injects: the next requests to an endpoint fail as it says."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from warmtoken.testing.exchange import NO_STORE, Reply
from warmtoken.testing.settings import check_delay, check_status, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Endpoint = Literal["discovery", "jwks", "authorize", "token", "device_authorization", "device", "revoke", "userinfo"]
Disconnect = Literal["before", "after"]
ENDPOINTS: tuple[str, ...] = get_args(Endpoint)


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure: first the delay, then the answer or the cut, where there is one."""

    status: int | None = None
    body: str | dict[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    delay: float = 0.0
    disconnect: Disconnect | None = None

    def reply(self) -> Reply | None:
        """The answer instead of the endpoint's own; None where the endpoint is to answer."""
        if self.status is None:
            return None
        body = {"error": "temporarily_unavailable"} if self.body is None else self.body
        if isinstance(body, str):
            return Reply(self.status, body.encode(), {"Content-Type": "text/html; charset=utf-8", **self.headers})
        headers = {"Content-Type": "application/json", **NO_STORE, **self.headers}
        return Reply(self.status, json.dumps(body).encode(), headers)


class Faults:
    """The faults that wait for their endpoint to be asked, in the order they were ordered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def order(self, endpoint: str, fault: Fault, *, times: int) -> None:
        with self._lock:
            self._waiting[endpoint].extend([fault] * times)

    def take(self, endpoint: str) -> Fault | None:
        with self._lock:
            waiting = self._waiting[endpoint]
            return waiting.popleft() if waiting else None

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()


def checked_fault(
    *,
    status: int | None,
    body: str | dict[str, Any] | None,
    headers: Mapping[str, str] | None,
    delay: float,
    disconnect: str | None,
) -> Fault:
    """A fault from arguments that may have come over HTTP; raises TypeError or ValueError."""
    check_delay("delay", delay)
    if status is not None:
        check_status(status)
    one_of("before", "after")("disconnect", disconnect or "before")
    if status is None and not delay and disconnect is None:
        raise ValueError("expected a status, a delay or a disconnect: this fault would change nothing")
    if status is not None and disconnect is not None:
        raise ValueError("expected either a status or a disconnect: a connection that is cut has no answer")
    if body is not None and status is None:
        raise ValueError("expected a status with the body")
    cut: Disconnect | None = "after" if disconnect == "after" else "before" if disconnect else None
    return Fault(status, body, {name.title(): value for name, value in (headers or {}).items()}, float(delay), cut)
