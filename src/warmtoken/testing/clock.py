"""A clock that a test moves."""

from __future__ import annotations

from warmtoken import _engine

_NANOSECONDS = 1_000_000_000


class Clock(_engine.Clock):
    """The system's clock plus an offset: pass it as `clock=` to TokenCache and to IdentityProvider.

    `advance` is time that passes; `step_wall` is somebody setting the wall clock, which the monotonic clock ignores.
    """

    def advance(self, seconds: float) -> None:
        """Let some seconds pass on both clocks."""
        self.wall_offset += int(seconds * _NANOSECONDS)
        self.monotonic_offset += int(seconds * _NANOSECONDS)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back with a negative number."""
        self.wall_offset += int(seconds * _NANOSECONDS)
