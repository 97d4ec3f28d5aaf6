"""One case of fork, by name, on a cache in a directory: fails with an assertion, or prints "ok"."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from support import KEY, FileReader, UnhurriedHits, find, new_tokens, open_vault, secret_of

from warmtoken import _engine
from warmtoken.cache import byte_locks
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheError
from warmtoken.testing import Clock

DATA = "tokens-v1.mdb"


def fork(child: Callable[[], None]) -> int:
    """Run `child` in a child process and return its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        child()
    except BaseException:  # noqa: BLE001 (it must not go on as its parent)
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def join(pid: int, deadline: float = 60) -> None:
    """Wait for a child that must succeed; one that hangs is ended and fails the case."""
    until = time.monotonic() + deadline
    while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        time.sleep(0.002)
    assert done[1] == 0, f"the child ended with {done[1]}"


def exchange(vault: Vault, name: str) -> None:
    """Read what the parent wrote, write and read something of one's own."""
    assert secret_of(vault) is not None
    vault.save(new_tokens(name, user=name))
    assert secret_of(vault, user=name) == name


def child_reads_and_writes(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))
    join(fork(lambda: exchange(vault, "child")))
    assert secret_of(vault, user="child") == "child"
    exchange(vault, "parent again")


def child_of_a_child(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))

    def first() -> None:
        join(fork(lambda: exchange(vault, "before")))
        exchange(vault, "child")
        join(fork(lambda: exchange(vault, "after")))
        exchange(vault, "child")

    join(fork(first))
    assert [secret_of(vault, user=name) for name in ("before", "child", "after")] == ["before", "child", "after"]


def child_of_an_unused_cache(directory: Path) -> None:
    cache = TokenCache(directory, key=KEY)
    pids = [fork(lambda n=n: cache.vault().save(new_tokens(str(n), user=str(n)))) for n in range(4)]  # type: ignore[misc]
    for pid in pids:
        join(pid)
    assert [secret_of(cache.vault(), user=str(n)) for n in range(4)] == ["0", "1", "2", "3"]


def many_children_at_once(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))
    pids = [fork(lambda n=n: exchange(vault, f"child {n}")) for n in range(30)]  # type: ignore[misc]
    exchange(vault, "parent")
    for pid in pids:
        join(pid)
    assert all(secret_of(vault, user=f"child {n}") == f"child {n}" for n in range(30))


def _forks_beside(directory: Path, work: Callable[[Vault, int], None]) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))
    stop, failures, rounds = threading.Event(), [], [0]

    def busy() -> None:
        while not stop.is_set() or rounds[0] <= 40:
            try:
                rounds[0] += 1
                work(vault, rounds[0])
            except BaseException as error:
                failures.append(error)
                raise

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(40):
        join(fork(functools.partial(exchange, vault, f"child {number}")))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert rounds[0] > 40
    assert all(secret_of(vault, user=f"child {n}") == f"child {n}" for n in range(40))


def beside_a_busy_reader(directory: Path) -> None:
    def read(vault: Vault, _: int) -> None:
        assert secret_of(vault) == "parent"

    _forks_beside(directory, read)


def beside_a_busy_writer(directory: Path) -> None:
    _forks_beside(directory, lambda vault, n: vault.save(new_tokens(str(n), user="busy")))


def beside_a_thread_that_opens(directory: Path) -> None:
    opening, go_on = threading.Event(), threading.Event()

    def slow_key() -> bytes:
        opening.set()
        if parent == os.getpid():
            go_on.wait()
        return KEY

    parent = os.getpid()
    cache = TokenCache(directory, key=slow_key)
    thread = threading.Thread(target=cache.vault)
    thread.start()
    opening.wait()
    join(fork(lambda: cache.vault().save(new_tokens("child"))))
    go_on.set()
    thread.join()
    assert secret_of(cache.vault()) == "child"


def reader_slots_stay(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))
    reader = FileReader()
    used, end = os.pipe(), os.pipe()

    def child() -> None:
        os.close(end[1])
        exchange(vault, "child")
        os.write(used[1], b".")
        os.read(end[0], 1)

    assert secret_of(vault) == "parent"
    pid = fork(child)
    os.read(used[0], 1)
    both = reader.readers(directory / DATA)
    assert both.count(os.getpid()) == 1, both
    assert both.count(pid) == 1, both
    os.close(end[1])
    join(pid)
    assert reader.readers(directory / DATA).count(os.getpid()) == 1
    exchange(vault, "parent")
    assert reader.readers(directory / DATA).count(os.getpid()) == 1
    reader.close()


def slots_stay_when_the_child_lets_go(directory: Path) -> None:
    vault: list[Vault] = [open_vault(directory)]
    vault[0].save(new_tokens("parent"))
    reader = FileReader()
    join(fork(vault.clear))
    assert reader.readers(directory / DATA).count(os.getpid()) == 1
    exchange(vault[0], "parent")
    reader.close()


def hits_of_the_parent_go_stale_in_the_child(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("old"))
    found = find(vault)
    assert found is not None
    view = UnhurriedHits(vault.shared.store, _engine.Clock(), 64, 1 << 20).view()
    view.remember(("a",), None, None, "old", 4_000_000_000_000, found.txnid, found.witnesses, 100)
    looked, replaced = os.pipe(), os.pipe()

    def child() -> None:
        assert view.lookup(("a",)) == "old"
        os.write(looked[1], b".")
        os.read(replaced[0], 1)
        assert view.lookup(("a",)) is None
        assert secret_of(vault) == "new"

    pid = fork(child)
    os.close(looked[1])
    os.read(looked[0], 1)
    vault.save(new_tokens("new"))
    os.write(replaced[1], b".")
    join(pid)
    assert view.lookup(("a",)) is None


def a_failed_reopen_is_an_error_and_not_the_end(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))

    def child() -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        for use in (lambda: secret_of(vault), lambda: vault.save(new_tokens("child")), lambda: vault.newest) * 2:
            try:
                use()
            except CacheError:
                continue
            assert vault.newest == 0
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        exchange(vault, "child")

    join(fork(child))
    assert secret_of(vault, user="child") == "child"


def locks_are_not_inherited(directory: Path) -> None:
    vault = open_vault(directory)
    locks = vault.shared.locks
    assert locks.try_lock(77)

    def child() -> None:
        assert not locks.try_lock(77)
        assert locks.try_lock(78)

    join(fork(child))
    assert locks.try_lock(78)
    locks.unlock(77)
    join(fork(lambda: _assert(locks.try_lock(77))))


def _assert(condition: bool) -> None:
    assert condition


def work_elsewhere(directory: Path, name: str) -> None:
    byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
    exchange(open_vault(directory), name)


def started_by_multiprocessing(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("parent"))
    for method in ("spawn", "forkserver", "fork"):
        context = multiprocessing.get_context(method)
        processes = [context.Process(target=work_elsewhere, args=(directory, f"{method} {n}")) for n in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
            assert process.exitcode == 0
        assert all(secret_of(vault, user=f"{method} {n}") == f"{method} {n}" for n in range(3))


def begin_anew(directory: Path, name: str) -> None:
    """Delete the cache, and let a process that knows nothing of the old one make another in its place."""
    shutil.rmtree(directory)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=save_elsewhere, args=(directory, name))
    process.start()
    process.join(60)
    assert process.exitcode == 0


def save_elsewhere(directory: Path, name: str) -> None:
    open_vault(directory).save(new_tokens(name, user=name))


def a_child_that_begins_late_finds_another_file(directory: Path) -> None:
    clock = Clock()
    cache = TokenCache(directory, key=KEY, clock=clock)
    cache.vault().save(new_tokens("parent"))
    begin_anew(directory, "other")
    clock.advance(1.1)

    def child() -> None:
        assert secret_of(cache.vault(), user="other") == "other"
        cache.vault().save(new_tokens("child", user="child"))

    join(fork(child))
    assert secret_of(open_vault(directory), user="child") == "child"


def a_child_that_begins_at_once_writes_nothing_into_another_file(directory: Path) -> None:
    cache = TokenCache(directory, key=KEY)
    vault = cache.vault()
    vault.save(new_tokens("parent"))
    begin_anew(directory, "other")

    def child() -> None:
        try:
            vault.save(new_tokens("child", user="child"))
        except CacheError as error:
            assert error.code == "cache_replaced"  # noqa: PT017
        else:
            raise AssertionError("expected the keys of the file before to be good for nothing")
        exchange_own(cache)

    join(fork(child))
    assert secret_of(open_vault(directory)) == "child"


def a_daemon_closes_what_it_inherits(directory: Path) -> None:
    cache = TokenCache(directory, key=KEY)
    cache.vault().save(new_tokens("parent"))

    def daemon() -> None:
        os.closerange(3, 256)
        own = [os.open(directory.parent / f"log{n}", os.O_RDWR | os.O_CREAT) for n in range(16)]
        files = [os.fstat(fd).st_ino for fd in own]
        exchange(cache.vault(), "child")
        cache.vault().save(new_tokens("child again", user="late"))
        with cache.vault().shared.locks.gate():
            join(fork(lambda: _assert(not cache.vault().shared.locks.try_lock(0))))
        cache.close()
        open_vault(directory.parent / "another")  # closes what nobody uses
        assert [os.fstat(fd).st_ino for fd in own] == files
        assert [os.fstat(fd).st_size for fd in own] == [0] * 16

    join(fork(daemon))
    assert secret_of(cache.vault(), user="late") == "child again"


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


def the_first_fork_with_an_open_cache_is_logged(directory: Path) -> None:
    records = Records()
    logging.getLogger("warmtoken").addHandler(records)
    logging.getLogger("warmtoken").setLevel(logging.INFO)
    cache = TokenCache(directory, key=KEY)
    join(fork(lambda: None))
    assert records.kept == []
    cache.vault()
    join(fork(lambda: _assert(records.kept == [])))
    [record] = records.kept
    assert record.levelno == logging.INFO
    assert "opens it anew" in record.getMessage()
    join(fork(lambda: exchange_own(cache)))
    assert len(records.kept) == 1


def exchange_own(cache: TokenCache) -> None:
    cache.vault().save(new_tokens("child"))
    assert secret_of(cache.vault()) == "child"


if __name__ == "__main__":
    byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
    globals()[sys.argv[1]](Path(sys.argv[2]))
    print("ok")
