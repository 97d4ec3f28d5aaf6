"""What the demo shows: a table redrawn in place on a terminal, plain lines anywhere else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from typing import TextIO

LINE_SECONDS = 1.0
REDRAW_SECONDS = 0.25
BOLD, GREEN, PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[0m"
UP_AND_CLEAR = "\x1b[2A\x1b[J"  # over the two lines of the table


class Screen:
    """Writes events, one table row that changes, and lines, to a text stream."""

    def __init__(self, stream: TextIO, header: str) -> None:
        self._stream = stream
        self._header = header
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._in_place = terminal
        self._colour = terminal and not os.environ.get("NO_COLOR")  # https://no-color.org
        self._drawn = 0.0
        self._row: str | None = None

    def line(self, text: str = "") -> None:
        """Write a line; a table that is there stays below it."""
        if self._row is None or not self._in_place:
            return self._write(text + "\n")
        return self._write(UP_AND_CLEAR + self._cut(text) + "\n" + self._table(self._row))

    def row(self, row: str, *, now: bool = False) -> None:
        """Show a new row of the table, not more often than can be read unless `now`."""
        wait = REDRAW_SECONDS if self._in_place else LINE_SECONDS
        if not now and time.monotonic() - self._drawn < wait:
            return
        self._drawn = time.monotonic()
        first, self._row = self._row is None, row
        if self._in_place:
            self._write(("" if first else UP_AND_CLEAR) + self._table(row))
        else:
            self._write((self._header + "\n" if first else "") + row + "\n")

    def leave_table(self) -> None:
        """Let the table stand as it is; the next row begins a new one."""
        self._row = None

    def good(self, text: str) -> str:
        """Return the text in green where there is colour."""
        return self._in(GREEN, text)

    def strong(self, text: str) -> str:
        """Return the text in bold where there is colour."""
        return self._in(BOLD, text)

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{PLAIN}" if self._colour else text

    def _table(self, row: str) -> str:
        return f"{self.strong(self._cut(self._header))}\n{self._cut(row)}\n"

    def _cut(self, text: str) -> str:
        # A line that wraps would be two, and the next redraw would leave one of them behind.
        return text[: shutil.get_terminal_size().columns - 1]

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return the cells, each set to the right of its width."""
    return "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
