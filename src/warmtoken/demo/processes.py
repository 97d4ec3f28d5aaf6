"""Child processes that are gone when the demo is, whatever ends it."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

PATIENCE = 3.0  # seconds that a process gets to end by itself


def spawn(name: str, main: Callable[[Connection], None], connection: Connection) -> SpawnProcess:
    """Start a fresh interpreter that runs `main(connection)`."""
    process = multiprocessing.get_context("spawn").Process(target=main, args=(connection,), name=name, daemon=True)
    with _without_interrupts():
        process.start()
    return process


def ignore_interrupt() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end(processes: Sequence[SpawnProcess]) -> None:
    """Wait for processes whose connections were closed, and kill those that stay."""
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


@contextlib.contextmanager
def _without_interrupts() -> Generator[None]:
    # The child starts with what is ignored here, so Ctrl-C cannot break into its imports either.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
