"""Who of this process is fetching which token: the others wait for it, thread or task alike; and who tried just now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

_KEPT_ATTEMPTS = 1024  # beyond them those that are over are forgotten


class Flight:
    """One fetch under way; `done` is set when it has ended.

    `need` is what it fetches in particular; those who need the same take its `result`, or its `error`.
    """

    def __init__(self, need: Hashable) -> None:
        self.need = need
        self.result: Any = None
        self.error: Exception | None = None
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.done = threading.Event()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when the fetch has ended, at once if it has."""
        with self._lock:
            if not self.done.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def finish(self) -> None:
        """Wake all who wait."""
        with self._lock:
            self.done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Flights:
    """The fetches of this process, by the key of what they fetch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: dict[bytes, Flight] = {}

    def under_way(self, key: bytes) -> Flight | None:
        """Return the flight for `key`, None where there is none."""
        with self._lock:
            return self._by_key.get(key)

    def join(self, key: bytes, need: Hashable) -> tuple[Flight, bool]:
        """Return the flight for `key` and whether the caller leads it, and so must `land` it."""
        with self._lock:
            if key in self._by_key:
                return self._by_key[key], False
            flight = self._by_key[key] = Flight(need)
            return flight, True

    def land(self, key: bytes) -> None:
        """End the flight for `key`."""
        with self._lock:
            flight = self._by_key.pop(key)
        flight.finish()


class Attempts:
    """What this process has tried of late, so that it does not try again at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[Hashable, float] = {}

    def begin(self, name: Hashable, now: float, pause: float) -> bool:
        """Note an attempt at `now` (monotonic seconds), and tell whether the last one is `pause` seconds ago."""
        with self._lock:
            if now < self._until.get(name, now):
                return False
            if len(self._until) >= _KEPT_ATTEMPTS:
                self._until = {other: until for other, until in self._until.items() if now < until}
            self._until[name] = now + pause
            return True
