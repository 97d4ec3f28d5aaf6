"""One fetch of a token per host: threads and tasks wait for a flight, processes for a lock."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from warmtoken.cache.flights import Flight
from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheLockedError
from warmtoken.flows.effects import Detach, Flow, Join, Sleep

T = TypeVar("T")

DEADLINE = 35.0  # seconds: the provider's 30, and time to write the reply
_POLL = (0.005, 0.05)  # seconds

_LATE = object()  # somebody else leads


@dataclass(frozen=True, slots=True)
class Fetch(Generic[T]):
    """Something to be fetched once.

    `key` is what must not be used twice at the same time (a refresh token, a client's token); `need` tells apart
    fetches for the same key. `look` returns what is wanted if the cache has it by now; `fetch` gets it from the
    provider, and has committed it when it returns. `patience` is for how many seconds others wait; None: for 35.
    """

    key: bytes
    need: Hashable
    look: Callable[[], T | None]
    fetch: Callable[[], Flow[T]]
    patience: float | None = None


class _Deadline:
    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._end = time.monotonic() + patience

    def left(self) -> float:
        return self._end - time.monotonic()

    def check(self) -> None:
        if self.left() < 0:
            raise CacheLockedError(
                "refresh_lock_timeout",
                f"expected whoever fetches this token to end within {self._patience:.0f} s, but it did not; try again",
            )


def fetch_once(vault: Vault, wanted: Fetch[T]) -> Flow[T]:
    """Return what `wanted.look` finds in the cache, or else what `wanted.fetch` gets, while all others wait.

    Others that need the same get the same, also the same error. Raises CacheLockedError where another process
    has been fetching for longer than `wanted.patience`.
    """
    deadline = _Deadline(DEADLINE if wanted.patience is None else wanted.patience)
    flights = vault.shared.flights
    while True:
        flight = flights.under_way(wanted.key)
        if flight is None:
            led = yield Detach(_lead_if_first(vault, wanted, deadline))
            if led is _LATE:
                continue
            result: T = led
            return result
        yield Join(flight, max(0.0, deadline.left()))
        found = _shared_outcome(flight, wanted) or wanted.look()
        if found is not None:
            return found
        deadline.check()


def fetch_if_idle(vault: Vault, wanted: Fetch[T]) -> Flow[T | None]:
    """Do the same, but return None where somebody is fetching for this key already."""
    flight, leading = vault.shared.flights.join(wanted.key, wanted.need)
    if not leading:
        return None
    fetching = _fetch_if_free(vault, wanted)
    return (yield from _lead(vault, wanted, flight, fetching))


def _shared_outcome(flight: Flight, wanted: Fetch[T]) -> T | None:
    if flight.need != wanted.need:
        return None
    if flight.error is not None:
        raise _copied(flight.error)
    shared: T | None = flight.result
    return shared


def _copied(error: Exception) -> Exception:
    # Each raises an exception of its own, with its own traceback. What a program's own transport or callable raises
    # may refuse to be made from its arguments.
    try:
        copied = copy.copy(error)
    except Exception:  # noqa: BLE001
        return error
    copied.__cause__ = error.__cause__
    return copied


def _lead_if_first(vault: Vault, wanted: Fetch[T], deadline: _Deadline) -> Flow[T | object]:
    # Who leads must land. So it is decided here: a task that is cancelled before it begins leads nobody.
    flight, leading = vault.shared.flights.join(wanted.key, wanted.need)
    if not leading:
        return _LATE
    return (yield from _lead(vault, wanted, flight, _fetch_in_turn(vault, wanted, deadline)))


def _lead(vault: Vault, wanted: Fetch[Any], flight: Flight, fetching: Flow[T]) -> Flow[T]:
    try:
        flight.result = result = yield from fetching
    except Exception as error:
        flight.error = error
        raise
    finally:
        vault.shared.flights.land(wanted.key)
    return result


def _fetch_in_turn(vault: Vault, wanted: Fetch[T], deadline: _Deadline) -> Flow[T]:
    locks, offset = vault.shared.locks, vault.keys.lock_offset(wanted.key)
    seen = vault.newest
    while not locks.try_lock(offset):
        if vault.newest != seen:
            seen = vault.newest
            found = wanted.look()
            if found is not None:
                return found
        deadline.check()
        yield Sleep(_jittered())
    return (yield from _fetch_locked(vault, wanted, offset))


def _fetch_if_free(vault: Vault, wanted: Fetch[T]) -> Flow[T | None]:
    offset = vault.keys.lock_offset(wanted.key)
    if not vault.shared.locks.try_lock(offset):
        return None
    return (yield from _fetch_locked(vault, wanted, offset))


def _fetch_locked(vault: Vault, wanted: Fetch[T], offset: int) -> Flow[T]:
    try:
        # Whoever had the lock before may have written what is wanted.
        found = wanted.look()
        return found if found is not None else (yield from wanted.fetch())
    finally:
        vault.shared.locks.unlock(offset)


def _jittered() -> float:
    import random

    return random.uniform(*_POLL)
