"""How many callers wait for a fetch under way, so that a test can let it go on once all are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.world import eventually

from warmtoken.cache.flights import Flight, Flights

if TYPE_CHECKING:
    import pytest
    from support.world import Hook


class Waiters:
    """Counts the callers of this process that found a fetch under way: each waits for it and takes what it brings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: list[Flight] = []
        under_way = Flights.under_way

        def counted(flights: Flights, key: bytes) -> Flight | None:
            flight = under_way(flights, key)
            if flight is not None:
                self.found.append(flight)
            return flight

        monkeypatch.setattr(Flights, "under_way", counted)

    def expect(self, count: int) -> None:
        """Wait until so many are there."""
        eventually(lambda: len(self.found) >= count)

    def expected(self, count: int) -> Hook:
        """A hook that holds a request until so many are there."""
        return lambda _: self.expect(count)
