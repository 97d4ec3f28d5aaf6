"""What the identity provider was asked: counters and a log of the token requests."""

from __future__ import annotations

import threading
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

LOG_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class Counters:
    """A snapshot of what the provider was asked since it started or since `reset_counters()`.

    `requests` counts by endpoint, `grants` the token requests by grant type, whether they were granted or not.
    `most_in_flight` is how many token requests were being worked on at once, at most.
    """

    requests: dict[str, int] = field(default_factory=dict[str, int])
    grants: dict[str, int] = field(default_factory=dict[str, int])
    sign_ins: int = 0
    tokens_issued: int = 0
    refreshes_granted: int = 0
    refreshes_refused: int = 0
    replays_detected: int = 0
    faults_injected: int = 0
    most_in_flight: int = 0


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to the token endpoint, without its secrets.

    `time` is the provider's, in Unix seconds; `outcome` is "granted" or the error code of the answer. `parameters` are
    those that no standard of the grant names, such as `audience`.
    """

    time: float
    grant_type: str
    client_id: str
    scope: str
    claims: str | None
    outcome: str
    parameters: dict[str, str] = field(default_factory=dict[str, str])


class Recorder:
    """Counts and logs; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._requests: Counter[str] = Counter()
            self._grants: Counter[str] = Counter()
            self._events: Counter[str] = Counter()
            self._most_in_flight = self._in_flight
            self._log: deque[TokenRequest] = deque(maxlen=LOG_LENGTH)

    def request(self, endpoint: str) -> None:
        with self._lock:
            self._requests[endpoint] += 1

    def event(self, name: str) -> None:
        with self._lock:
            self._events[name] += 1

    def token_request(self, request: TokenRequest) -> None:
        with self._lock:
            self._grants[request.grant_type] += 1
            self._log.append(request)

    @contextmanager
    def in_flight(self) -> Generator[None]:
        with self._lock:
            self._in_flight += 1
            self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def token_requests(self) -> list[TokenRequest]:
        with self._lock:
            return list(self._log)

    def snapshot(self) -> Counters:
        with self._lock:
            return Counters(
                requests=dict(self._requests),
                grants=dict(self._grants),
                sign_ins=self._events["sign_ins"],
                tokens_issued=self._events["tokens_issued"],
                refreshes_granted=self._events["refreshes_granted"],
                refreshes_refused=self._events["refreshes_refused"],
                replays_detected=self._events["replays_detected"],
                faults_injected=self._events["faults_injected"],
                most_in_flight=self._most_in_flight,
            )
