"""The worker processes, from the side of the program that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Generator, Iterator
from multiprocessing import connection as connections
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from warmtoken.demo.processes import end, spawn
from warmtoken.demo.stage import SeparateLoad, SharedLoad
from warmtoken.demo.worker import NeedsUser, Ready, Report, work
from warmtoken.errors import ClientError

Message = Ready | NeedsUser | Report


class Crew:
    """Some worker processes: orders go to all of them, messages come one by one with the number of the worker."""

    def __init__(self, size: int) -> None:
        self._connections: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        try:
            for number in range(1, size + 1):
                self._start(number)
        except BaseException:
            self.dismiss()
            raise

    def _start(self, number: int) -> None:
        ours, theirs = multiprocessing.Pipe()
        self._connections.append(ours)
        self._processes.append(spawn(f"worker {number}", work, theirs))
        theirs.close()

    def order(self, order: SharedLoad | SeparateLoad) -> None:
        """Give all workers the same order."""
        for connection in self._connections:
            connection.send(order)

    def answer(self, number: int) -> None:
        """Let a worker go on that waits for the user."""
        self._connections[number - 1].send(None)

    def messages(self, timeout: float) -> Iterator[tuple[int, Message]]:
        """Yield what workers have to say by now; waits for `timeout` seconds at most.

        Raises ClientError where a worker has ended.
        """
        for connection in connections.wait(self._connections, timeout):
            assert isinstance(connection, Connection)
            number = self._connections.index(connection) + 1
            yield number, self._receive(number)

    def _receive(self, number: int) -> Message:
        try:
            message: Message = self._connections[number - 1].recv()
        except (EOFError, OSError):
            self._processes[number - 1].join(1)
            code = self._processes[number - 1].exitcode
            raise ClientError(
                "worker_ended", f"expected worker {number} to go on, but it ended with exit code {code}; see above"
            ) from None
        return message

    def dismiss(self) -> None:
        """End all workers."""
        for connection in self._connections:
            connection.close()
        end(self._processes)


@contextlib.contextmanager
def hired(size: int) -> Generator[Crew]:
    """Start workers and wait until all are there; ends them at the end."""
    crew = Crew(size)
    try:
        ready = 0
        while ready < size:
            ready += sum(isinstance(message, Ready) for _, message in crew.messages(timeout=1.0))
        yield crew
    finally:
        crew.dismiss()
