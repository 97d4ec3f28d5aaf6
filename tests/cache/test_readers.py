"""LMDB's table of readers: dead ones are cleared away, and a full one stops nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from isolated.support import HERE, KEY, environment, find, finish, new_tokens, open_vault, secret_of, start

from warmtoken import _engine
from warmtoken.cache.byte_locks import GATE
from warmtoken.cache.shared_store import READER_CHECK_PAUSE
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import CacheLockedError
from warmtoken.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from warmtoken.cache.vault import Vault

ALL = 1 << 20


@contextmanager
def slots_taken(path: Path, count: int) -> Iterator[subprocess.Popen[str]]:
    """A process that reads in `count` snapshots, or in as many as there is room for."""
    process = start("take_slots.py", path, count)
    assert process.stdout is not None
    taken, pid = map(int, process.stdout.readline().split())
    assert pid == process.pid
    assert taken == min(count, 4096)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def give_back(process: subprocess.Popen[str], count: int) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    process.stdout.readline()


def close(directory: Path, *users: str) -> None:
    vault = open_vault(directory)
    for user in users:
        vault.save(new_tokens(user, user=user))


def test_a_cache_opens_reads_and_writes_where_all_slots_are_taken(directory: Path) -> None:
    close(directory, "alice")
    with slots_taken(directory / "tokens-v1.mdb", ALL) as others:
        cache = TokenCache(directory, key=KEY)
        vault = cache.vault()
        assert secret_of(vault, user="alice") == "alice"
        vault.save(new_tokens("bob", user="bob"))
        assert secret_of(vault, user="bob") == "bob"
        assert secret_of(vault, user="nobody") is None
        assert cache.stats().access_tokens == 2
        assert {pid for pid, _ in _engine.readers(vault.shared.store)} == {others.pid}
        give_back(others, 1)
        assert secret_of(vault, user="alice") == "alice"
        assert {pid for pid, _ in _engine.readers(vault.shared.store)} == {others.pid, os.getpid()}


def test_a_result_read_without_a_slot_is_kept_and_goes_stale_as_any(directory: Path) -> None:
    close(directory, "alice")
    with slots_taken(directory / "tokens-v1.mdb", ALL):
        clock = Clock()
        cache = TokenCache(directory, key=KEY, clock=clock)
        vault = cache.vault()
        clock.advance(-60)  # no look at the file is due before the end, however slow the disk
        found = find(vault, user="alice")
        assert found is not None
        assert found.txnid == vault.newest
        view = cache.view()
        view.remember(("a",), None, None, "kept", 4_000_000_000_000, found.txnid, found.witnesses, 100)
        assert view.lookup(("a",)) == "kept"
        assert (cache.stats().l1_hits, cache.stats().l1_confirmed) == (1, 0)
        vault.save(new_tokens("bob", user="bob"))
        assert view.lookup(("a",)) == "kept"
        assert cache.stats().l1_confirmed == 1
        vault.save(new_tokens("newer", user="alice"))
        assert view.lookup(("a",)) is None


def test_threads_without_a_slot_read_and_write_at_the_same_time(directory: Path) -> None:
    close(directory, "alice")
    with slots_taken(directory / "tokens-v1.mdb", ALL) as others:
        vault = open_vault(directory)
        strange: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for count in range(30):
                    assert secret_of(vault, user="alice") == "alice"
                    name = f"{number} {count}"
                    vault.save(new_tokens(name, user=name))
                    assert secret_of(vault, user=name) == name
                    if (number, count) == (0, 15):
                        give_back(others, 1)
            except BaseException as error:
                strange.append(error)
                raise

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not strange
        assert [pid for pid, _ in _engine.readers(vault.shared.store)].count(os.getpid()) == 1


def test_a_read_without_a_slot_waits_two_seconds_for_who_writes(directory: Path) -> None:
    close(directory, "alice")
    with slots_taken(directory / "tokens-v1.mdb", ALL):
        vault = open_vault(directory)
        writer = start("hold_lock.py", directory / "tokens-v1.gate", GATE)
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(CacheLockedError):
            find(vault, user="alice")
        finish(writer)
        assert secret_of(vault, user="alice") == "alice"


def test_the_slots_of_the_dead_are_taken_by_who_needs_one(directory: Path) -> None:
    close(directory, "alice")
    with slots_taken(directory / "tokens-v1.mdb", ALL) as others:
        vault = open_vault(directory)
        assert secret_of(vault, user="alice") == "alice"
        others.send_signal(signal.SIGKILL)
        others.wait()
        assert secret_of(vault, user="alice") == "alice"
        assert _engine.readers(vault.shared.store) == [(os.getpid(), None)]


def test_a_writer_clears_dead_readers_away_once_a_minute(directory: Path) -> None:
    clock = Clock()
    cache = TokenCache(directory, key=KEY, clock=clock)
    cache.vault().save(new_tokens("alice", user="alice"))
    with slots_taken(directory / "tokens-v1.mdb", 5) as dead:
        pass

    def is_there(vault: Vault) -> bool:
        return dead.pid in {pid for pid, _ in _engine.readers(vault.shared.store)}

    vault = cache.vault()
    vault.save(new_tokens("bob", user="bob"))
    clock.advance(READER_CHECK_PAUSE / 2)
    cache.vault().save(new_tokens("bob", user="bob"))
    assert is_there(cache.vault())
    assert cache.stats().oldest_read_transaction is not None
    clock.advance(READER_CHECK_PAUSE / 2)
    cache.vault().save(new_tokens("bob", user="bob"))
    assert not is_there(cache.vault())
    assert cache.stats().oldest_read_transaction is None


def test_a_dead_reader_is_cleared_away_before_the_map_is_full(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    store = _engine.open_store(str(path), 1 << 20, 1 << 20)
    _engine.commit(store, [[(_engine.PUT, _engine.NOTE, b"key", b"first")]])
    with slots_taken(path, 1):
        pass
    for _ in range(200):
        _engine.commit(store, [[(_engine.PUT, _engine.NOTE, b"key", bytes(20_000))]])
    assert _engine.readers(store) == [] or all(pid == os.getpid() for pid, _ in _engine.readers(store))


def test_a_slot_of_one_that_died_with_our_process_id_is_given_back(directory: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can make a PID namespace")
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
         sys.executable, "-W", "error", str(HERE / "pid_reuse.py"), str(directory)],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "unshare failed" in done.stderr or "ns_last_pid" in done.stderr:
        pytest.skip(f"PID namespaces are not permitted here: {done.stderr.strip()}")
    assert done.stdout.split() == ["ok"], done.stderr
