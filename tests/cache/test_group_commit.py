"""Threads that write at the same time share a transaction, and nobody is forgotten."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from support.interrupts import interrupted_everywhere
from support.world import eventually

from warmtoken.cache import group_commit
from warmtoken.cache.group_commit import GroupCommit, Operation
from warmtoken.errors import CacheFullError

Batches = list[list[Operation]]


class Writer:
    """Writes slowly: each batch waits until `let` is released, and is written down."""

    def __init__(self) -> None:
        self.written: list[Batches] = []
        self.let = threading.Semaphore(0)
        self.failure: BaseException | None = None
        self.group = GroupCommit()

    def apply(self, batches: Batches) -> tuple[int, list[bool]]:
        self.let.acquire()
        if self.failure is not None:
            raise self.failure
        self.written.append(batches)
        return len(self.written), [bool(batch) for batch in batches]

    def commit(self, operations: list[Operation]) -> tuple[int, bool]:
        return self.group.commit(operations, self.apply)

    def waiting(self) -> int:
        return len(self.group._queue)


def until(condition: object, writer: Writer, count: int) -> None:
    deadline = time.monotonic() + 60
    while writer.waiting() != count:
        assert time.monotonic() < deadline, condition
        time.sleep(0.001)


class Thread(threading.Thread):
    def __init__(self, writer: Writer, operations: list[Operation]) -> None:
        super().__init__(daemon=True)
        self.outcome: object = None
        self._writer, self._operations = writer, operations
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._writer.commit(self._operations)
        except BaseException as error:  # noqa: BLE001 (kept for the test)
            self.outcome = error


def begin(writer: Writer, waiters: int) -> list[Thread]:
    """Start one thread that leads, and others that come while it writes."""
    threads = [Thread(writer, [("first",)])]
    deadline = time.monotonic() + 60
    while not writer.group._leader or writer.waiting():
        assert time.monotonic() < deadline
    for number in range(waiters):
        threads.append(Thread(writer, [(number,)]))
        until("all wait", writer, number + 1)
    return threads


def test_what_comes_during_a_write_is_written_together_by_the_next() -> None:
    writer = Writer()
    threads = begin(writer, 5)
    writer.let.release(2)
    for thread in threads:
        thread.join(60)
    assert writer.written == [[[("first",)]], [[(0,)], [(1,)], [(2,)], [(3,)], [(4,)]]]
    assert [thread.outcome for thread in threads] == [(1, True), *[(2, True)] * 5]


def test_each_writer_learns_whether_its_own_batch_was_applied() -> None:
    writer = Writer()
    leader = begin(writer, 0)[0]
    empty, full = Thread(writer, []), Thread(writer, [("x",)])
    until("both wait", writer, 2)
    writer.let.release(2)
    for thread in (leader, empty, full):
        thread.join(60)
    assert (empty.outcome, full.outcome) == ((2, False), (2, True))


def test_all_writers_of_a_failed_transaction_get_an_error_of_their_own_and_the_next_one_works() -> None:
    writer = Writer()
    writer.failure = CacheFullError("disk_full", "the disk is full")
    threads = begin(writer, 3)
    writer.let.release(2)
    for thread in threads:
        thread.join(60)
    assert [str(thread.outcome) for thread in threads] == ["the disk is full [disk_full]"] * 4
    assert len({id(thread.outcome) for thread in threads}) == 4
    writer.failure = None
    writer.let.release()
    assert writer.commit([("again",)]) == (1, True)


def test_an_interrupted_leader_says_so_to_those_it_wrote_for_and_hands_over() -> None:
    writer = Writer()
    threads = begin(writer, 2)
    writer.let.release()
    threads[0].join(60)
    writer.failure = Interrupted()
    writer.let.release()
    for thread in threads:
        thread.join(60)
    told = sorted(type(thread.outcome).__name__ for thread in threads[1:])
    assert told == ["CacheError", "Interrupted"]
    writer.failure = None
    writer.let.release()
    assert writer.commit([("again",)])[1]


def test_an_interrupted_waiter_is_taken_off_the_queue_and_leaves_the_lead_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = Writer()
    threads = begin(writer, 0)
    with monkeypatch.context() as patched:
        patched.setattr(group_commit, "threading", SimpleNamespace(Lock=InterruptedLock))
        victim = Thread(writer, [("gone",)])
        until("the victim waits", writer, 1)
    threads.append(Thread(writer, [("next",)]))
    until("both wait", writer, 2)
    writer.let.release(2)
    for thread in (*threads, victim):
        thread.join(60)
    assert isinstance(victim.outcome, Interrupted)
    assert writer.written == [[[("first",)]], [[("next",)]]]


class Interrupted(BaseException):
    """What Ctrl-C raises, but for tests."""


class InterruptedLock:
    """Is waited for, the second time, only to be interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        assert self._lock.acquire(timeout=60)
        raise Interrupted

    def release(self) -> None:
        self._lock.release()


def test_writers_in_a_row_share_transactions() -> None:
    transactions, ended = [], []

    def apply(batches: Batches) -> tuple[int, list[bool]]:
        transactions.append(len(batches))
        eventually(lambda: len(group._queue) == 32 - len(ended) - len(batches))  # all others wait
        return len(transactions), [True] * len(batches)

    group, begin = GroupCommit(), threading.Barrier(32)

    def write() -> None:
        begin.wait(60)
        for _ in range(10):
            group.commit([("x",)], apply)
        ended.append(True)

    threads = [threading.Thread(target=write) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(transactions) == 320
    assert len(transactions) <= 20  # of each two that follow each other each writer has its part in one


def test_an_interrupt_at_any_place_leaves_nobody_waiting() -> None:
    group = GroupCommit()

    def apply(batches: Batches) -> tuple[int, list[bool]]:
        return 1, [True] * len(batches)

    def commit() -> None:
        group.commit([("interrupted",)], apply)

    for _ in interrupted_everywhere(commit, group_commit, but_in=("_leave", "_hand_over")):
        after = threading.Thread(target=lambda: group.commit([("next",)], apply), daemon=True)
        after.start()
        after.join(60)
        assert not after.is_alive()
        assert group._queue == []
