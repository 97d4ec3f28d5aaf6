"""Writes that share a transaction, and the gate before them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from isolated.support import KEY, environment, find, finish, new_tokens, open_vault, secret_of, start

from warmtoken import _engine
from warmtoken.cache.byte_locks import GATE
from warmtoken.cache.shared_store import check_lmdb, shared_store
from warmtoken.cache.token_cache import MAP_SIZE, TokenCache
from warmtoken.errors import CacheError, CacheLockedError, CacheRefusedError, ClientError

if TYPE_CHECKING:
    from pathlib import Path

THREADS, COMMITS = 32, 20


def test_threads_share_transactions_and_every_write_is_there(directory: Path) -> None:
    shared = shared_store(directory, MAP_SIZE)
    before = shared.store.newest
    begin = threading.Barrier(THREADS)
    outcomes: list[tuple[int, bool]] = []

    def write(number: int) -> None:
        begin.wait()
        for round_ in range(COMMITS):
            name = b"%d %d" % (number, round_)
            outcomes.append(shared.commit([(_engine.PUT, _engine.NOTE, name, name)]))
            assert _engine.read(shared.store, _engine.NOTE, name)[1] == name

    threads = [threading.Thread(target=write, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_engine.scan(shared.store, _engine.NOTE, b"", None, 10_000)) == THREADS * COMMITS
    assert len(outcomes) == THREADS * COMMITS
    assert all(applied for _, applied in outcomes)
    assert shared.store.newest - before == len({txnid for txnid, _ in outcomes})
    assert shared.store.newest - before < THREADS * COMMITS


def test_each_writer_learns_whether_its_own_expectation_held(directory: Path) -> None:
    shared = shared_store(directory, MAP_SIZE)
    outcomes: dict[int, bool] = {}

    def claim(number: int) -> None:
        operations = [(_engine.EXPECT, _engine.NOTE, b"one", b""), (_engine.PUT, _engine.NOTE, b"one", b"%d" % number)]
        outcomes[number] = shared.commit(operations)[1]

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = [number for number, applied in outcomes.items() if applied]
    assert _engine.read(shared.store, _engine.NOTE, b"one")[1] == b"%d" % winner


def test_an_error_reaches_the_writer_and_the_next_write_succeeds(directory: Path) -> None:
    shared = shared_store(directory, MAP_SIZE)
    with pytest.raises(CacheError):
        shared.commit([(_engine.PUT, _engine.NOTE, b"", b"no key")])
    assert shared.commit([(_engine.PUT, _engine.NOTE, b"key", b"value")])[1]


def test_a_writer_gives_up_where_another_process_keeps_the_gate(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("before"))
    other = start("hold_lock.py", directory / "tokens-v1.gate", GATE)
    assert other.stdout is not None
    other.stdout.readline()
    begin = time.monotonic()
    with pytest.raises(CacheLockedError) as caught:
        vault.save(new_tokens("during"))
    assert 1.9 < time.monotonic() - begin < 30
    assert caught.value.code == "write_gate_timeout"
    assert secret_of(vault) == "before"
    finish(other)
    vault.save(new_tokens("after"))
    assert secret_of(vault) == "after"


def test_the_gate_is_open_after_a_write(directory: Path) -> None:
    open_vault(directory).save(new_tokens("secret"))
    finish(start("hold_lock.py", directory / "tokens-v1.gate", GATE))


def test_all_caches_of_a_directory_share_one_store(directory: Path) -> None:
    first, second = TokenCache(directory, key=KEY), TokenCache(directory, key=KEY)
    assert first.vault().shared is second.vault().shared
    first.close()
    second.vault().save(new_tokens("secret"))
    assert secret_of(second.vault()) == "secret"
    with pytest.raises(ClientError) as caught:
        first.vault()
    assert caught.value.code == "cache_closed"


def test_a_started_program_gets_none_of_the_files(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("secret"))
    assert find(vault) is not None
    listing = "import os, sys; print(*[os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')])"
    found = subprocess.run(
        [sys.executable, "-c", listing], close_fds=False, check=True, capture_output=True, text=True, env=environment()
    )
    assert found.stdout.split()
    assert str(directory) not in found.stdout


@pytest.mark.parametrize("version", [(0, 9, 23), (0, 8, 30), (1, 0, 2)])
def test_an_unknown_liblmdb_is_refused(version: tuple[int, int, int]) -> None:
    with pytest.raises(CacheRefusedError, match="liblmdb") as refused:
        check_lmdb(version)
    assert refused.value.code == "lmdb_unsupported"


@pytest.mark.parametrize("version", [(0, 9, 26), (0, 9, 31)])
def test_a_liblmdb_that_fails_to_open_now_and_then_is_warned_of(version: tuple[int, int, int]) -> None:
    with pytest.warns(RuntimeWarning, match="0.9.32"):
        check_lmdb(version)


@pytest.mark.parametrize("version", [(0, 9, 24), (0, 9, 25), (0, 9, 32), (0, 9, 36)])
def test_a_good_liblmdb_is_taken_without_a_word(version: tuple[int, int, int]) -> None:
    assert check_lmdb(version) is None
