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
    __slots__ = ("leads", "operations", "outcome", "sleep")

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        self.outcome: tuple[int, bool] | Exception | None = None
        self.sleep = threading.Lock()  # held until it is woken, once
        self.sleep.acquire()
        self.leads = False


class GroupCommit:
    """Collects batches while one is being written; the next leader writes all that came meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[_Batch] = []
        self._led = False

    def commit(self, operations: list[Operation], apply: Apply) -> tuple[int, bool]:
        """Write one batch, alone or with others; return the transaction's id and whether the batch was applied.

        `apply` writes a list of batches and returns the transaction's id and which of them were applied; raises what
        `apply` raises, and then nothing was written.
        """
        batch = _Batch(operations)
        with self._lock:
            self._queue.append(batch)
            batch.leads, self._led = not self._led, True
        if not batch.leads:
            self._wait(batch)
        if batch.leads:
            self._lead(batch, apply)
        return _result(batch)

    def _wait(self, batch: _Batch) -> None:
        try:
            batch.sleep.acquire()
        except BaseException:
            with self._lock:
                if batch in self._queue:
                    self._queue.remove(batch)
                if batch.leads:
                    self._hand_over()
            raise

    def _lead(self, own: _Batch, apply: Apply) -> None:
        with self._lock:
            batches, self._queue = self._queue, []
        outcomes: list[tuple[int, bool] | Exception]
        interrupted = CacheError("write_interrupted", "the thread that wrote was interrupted; try again")
        outcomes = [interrupted] * len(batches)
        try:
            txnid, applied = apply([batch.operations for batch in batches])
            outcomes = [(txnid, done) for done in applied]
        except Exception as error:  # noqa: BLE001 (each of the writers raises it)
            outcomes = [error] * len(batches)
        finally:
            with self._lock:
                self._hand_over()
            for batch, outcome in zip(batches, outcomes, strict=True):
                batch.outcome = outcome
                if batch is not own:
                    batch.sleep.release()

    def _hand_over(self) -> None:
        self._led = bool(self._queue)
        if self._led:
            self._queue[0].leads = True
            self._queue[0].sleep.release()


def _result(batch: _Batch) -> tuple[int, bool]:
    if isinstance(batch.outcome, WarmTokenError):
        raise copy.copy(batch.outcome)
    if isinstance(batch.outcome, Exception):
        raise batch.outcome
    assert batch.outcome is not None
    return batch.outcome
