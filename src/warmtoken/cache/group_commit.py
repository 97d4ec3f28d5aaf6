"""Lets threads that write at the same time share one transaction: the file is synced once for all of them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

from warmtoken.errors import CacheError, WarmTokenError

Operation = tuple[Any, ...]
Apply = Callable[[list[list[Operation]]], tuple[int, list[bool]]]


class _Batch:
    # Woken when it has an outcome, or when it is its thread's turn to lead.
    __slots__ = ("group", "operations", "outcome", "sleep")

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        self.outcome: tuple[int, bool] | Exception | None = None
        self.group: list[_Batch] = []  # those it leads, itself too
        self.sleep = threading.Lock()  # held until it is woken
        self.sleep.acquire()


class GroupCommit:
    """Collects batches while one is being written; the next leader writes all that came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[_Batch] = []
        self._leader: _Batch | None = None

    def commit(self, operations: list[Operation], apply: Apply) -> tuple[int, bool]:
        """Write one batch, alone or with others; return the transaction's id and whether the batch was applied.

        `apply` writes a list of batches and returns the transaction's id and which of them were applied; raises what
        `apply` raises, and then nothing was written.
        """
        batch = _Batch(operations)
        try:
            self._join(batch)
            if self._leader is not batch:
                batch.sleep.acquire()
            if self._leader is batch:
                self._lead(batch, apply)
        finally:
            self._leave(batch)  # at an interrupt too, wherever it came: all others wait for who leads
        return _result(batch)

    def _join(self, batch: _Batch) -> None:
        with self._lock:
            self._queue.append(batch)
            self._leader = self._leader or batch

    def _lead(self, own: _Batch, apply: Apply) -> None:
        with self._lock:
            own.group, self._queue = self._queue, []
        outcomes: list[tuple[int, bool] | Exception]
        try:
            txnid, applied = apply([batch.operations for batch in own.group])
            outcomes = [(txnid, done) for done in applied]
        except Exception as error:  # noqa: BLE001 (each of the writers raises it)
            outcomes = [error] * len(own.group)
        for batch, outcome in zip(own.group, outcomes, strict=True):
            batch.outcome = outcome

    def _leave(self, batch: _Batch) -> None:
        with self._lock:
            if batch in self._queue:
                self._queue.remove(batch)
            if self._leader is batch:
                self._hand_over()
        for other in batch.group:
            if other.outcome is None:
                other.outcome = CacheError("write_interrupted", "the thread that wrote was interrupted; try again")
            if other is not batch:
                other.sleep.release()

    def _hand_over(self) -> None:
        self._leader = self._queue[0] if self._queue else None
        if self._leader is not None:
            self._leader.sleep.release()


def _result(batch: _Batch) -> tuple[int, bool]:
    if isinstance(batch.outcome, WarmTokenError):
        raise copy.copy(batch.outcome)
    if isinstance(batch.outcome, Exception):
        raise batch.outcome
    assert batch.outcome is not None
    return batch.outcome
