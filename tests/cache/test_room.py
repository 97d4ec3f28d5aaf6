"""A cache keeps itself in bounds: it grows when it must, and lets go of what is of no use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from isolated import shim
from isolated.support import FAR, KEY, environment, find, new_tokens, run, secret_of
from support.world import StillClock

from warmtoken import _engine
from warmtoken.cache import shared_store
from warmtoken.cache.shared_store import SWEEP_GRACE
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheFullError
from warmtoken.testing import Clock

NOW = 2_000_000_000
needs_shim = pytest.mark.skipif(bool(shim.why_not()), reason=shim.why_not() or "there is one")


@pytest.fixture
def clock() -> Clock:
    clock = StillClock()
    clock.advance(NOW - clock.time())
    return clock


def opened(directory: Path, clock: Clock, max_bytes: int = 1 << 30) -> TokenCache:
    return TokenCache(directory, key=KEY, clock=clock, max_bytes=max_bytes)


def fill(vault: Vault, count: int, expires_on: int = FAR) -> None:
    for number in range(count):
        vault.save(new_tokens("x" * 1500, user=f"user {number}", refresh="kept", expires_on=expires_on + number))


def test_the_map_grows_and_other_processes_follow(directory: Path) -> None:
    """From 1 MiB, in three processes that write at the same time and read what the others wrote."""
    script = """
import sys
from isolated.support import KEY, find, new_tokens
from warmtoken.cache import byte_locks
from warmtoken.cache.token_cache import TokenCache
byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
vault = TokenCache(sys.argv[1], key=KEY, map_size=1 << 20).vault()
for number in range(400):
    user = f"{sys.argv[2]} {number}"
    vault.save(new_tokens("x" * 3000, user=user))
    assert find(vault, user=user) is not None
"""
    paths = environment()
    paths["PYTHONPATH"] += f":{Path(__file__).parent.parent}"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(directory), name], env=paths) for name in ("a", "b", "c")
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    vault = TokenCache(directory, key=KEY, map_size=1 << 20).vault()
    users = [f"{name} {number}" for name in "abc" for number in range(400)]
    assert all(find(vault, user=user) is not None for user in users)
    assert _engine.usage(vault.shared.store)[0] > 4 << 20


def test_each_write_sweeps_a_few_expired_tokens(directory: Path, clock: Clock) -> None:
    cache = opened(directory, clock)
    fill(cache.vault(), 12, NOW + 100)
    clock.advance(SWEEP_GRACE + 200)
    cache.vault().save(new_tokens("fresh"))
    assert cache.stats().access_tokens == 12 + 1 - 4
    assert cache.stats().refresh_tokens == 12


@pytest.mark.parametrize(
    ("later", "left"), [(SWEEP_GRACE - 0.5, 300), (SWEEP_GRACE + 0.5, 299), (SWEEP_GRACE + 400, 0)]
)
def test_sweep_deletes_what_expired_a_while_ago_and_nothing_else(
    directory: Path, clock: Clock, later: float, left: int
) -> None:
    cache = opened(directory, clock)
    fill(cache.vault(), 300, NOW)
    clock.advance(NOW + later - clock.time())
    assert cache.sweep() == 300 - left
    stats = cache.stats()
    assert (stats.access_tokens, stats.refresh_tokens) == (left, 300)
    assert cache.sweep() == 0


def test_a_swept_token_leaves_no_index_behind(directory: Path, clock: Clock) -> None:
    cache = opened(directory, clock)
    fill(cache.vault(), 5, NOW)
    clock.advance(SWEEP_GRACE + 100)
    cache.sweep()
    entries = _engine.usage(cache.vault().shared.store)[1]
    assert [entries[db] for db in (_engine.ACCESS, _engine.SCOPE, _engine.EXPIRY)] == [0, 0, 0]


def test_above_the_budget_the_soonest_to_expire_go_first_and_refresh_tokens_never(
    directory: Path, clock: Clock
) -> None:
    cache = opened(directory, clock, max_bytes=2 << 20)
    fill(cache.vault(), 900)
    stats = cache.stats()
    assert stats.used_bytes <= 2 << 20
    assert stats.refresh_tokens == 900
    assert 0 < stats.access_tokens < 900
    assert stats.evicted == 900 - stats.access_tokens
    assert secret_of(cache.vault(), user="user 899") is not None
    assert secret_of(cache.vault(), user="user 0") is None


def test_a_budget_that_was_lowered_is_reached_in_steps_that_no_writer_waits_for(
    directory: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(directory, clock) as cache:
        fill(cache.vault(), 30)
    monkeypatch.setattr(shared_store, "EVICTED_AT_ONCE", 10)
    cache = TokenCache(directory, key=KEY, clock=clock, max_entries=5)
    held = []
    for number in range(4):
        cache.vault().save(new_tokens("late", user=f"late {number}"))
        held.append(cache.stats().access_tokens)
    assert held == [21, 12, 5, 5]
    assert cache.stats().evicted == 10 + 10 + 8 + 1


def test_what_is_written_is_written_also_where_nothing_can_be_evicted(
    directory: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise CacheFullError("disk_full", "no room to delete anything")

    cache = TokenCache(directory, key=KEY, clock=clock, max_entries=1)
    for name in "abc":
        cache.vault().save(new_tokens(name, (name,)))
    with monkeypatch.context() as patched:
        patched.setattr(_engine, "sweep", fail)
        assert cache.vault().shared.commit([(_engine.PUT, _engine.NOTE, bytes(32), b"kept")])[1]
        cache.vault().save(new_tokens("late", ("late",)))
        assert cache.stats().access_tokens == 2
    cache.vault().save(new_tokens("later", ("later",)))
    assert cache.stats().access_tokens == 1


@pytest.mark.parametrize("name", ["map_size", "max_bytes", "max_entries"])
def test_a_size_that_cannot_be_is_refused_before_anything_is_written(directory: Path, name: str) -> None:
    wrong: list[tuple[Any, type[Exception]]] = [(None, TypeError), ("1", TypeError), (1.5, TypeError), (-1, ValueError)]
    for value, kind in wrong:
        with pytest.raises(kind, match=name):
            TokenCache(directory, key=KEY, **{name: value})
    with pytest.raises(ValueError, match="map_size"):
        TokenCache(directory, key=KEY, map_size=(1 << 20) - 1)
    assert not directory.exists()


def test_above_the_budget_of_entries_the_expired_go_first_then_the_soonest_and_refresh_tokens_never(
    directory: Path, clock: Clock
) -> None:
    cache = TokenCache(directory, key=KEY, clock=clock, max_entries=50)
    vault = cache.vault()
    for number in range(40):
        vault.save(new_tokens("long", user=f"long {number}", refresh="kept", expires_on=FAR + number))
    for number in range(10):
        vault.save(new_tokens("short", user=f"short {number}", refresh="kept", expires_on=NOW + 100))
    assert (cache.stats().access_tokens, cache.stats().evicted) == (50, 0)
    clock.advance(200)  # expired, and not yet swept
    for number in range(40, 55):
        cache.vault().save(new_tokens("long", user=f"long {number}", refresh="kept", expires_on=FAR + number))
    assert [find(cache.vault(), user=f"short {number}") for number in range(10)] == [None] * 10
    held = [find(cache.vault(), user=f"long {number}") is not None for number in range(55)]
    assert held == [False] * 5 + [True] * 50
    stats = cache.stats()
    assert (stats.access_tokens, stats.refresh_tokens, stats.evicted) == (50, 65, 15)


# The heap takes all it will need before the limit is set, so that it is the map that finds no room, not malloc.
HEAP_OF_ITS_OWN = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_TOP_PAD_": str(128 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}


@pytest.mark.parametrize("case", ["a_smaller_map_does", "no_room_to_grow", "another_process_grows_beyond"])
def test_a_process_that_may_not_map_much(case: str, directory: Path) -> None:
    assert run("address_space.py", case, directory, variables=HEAP_OF_ITS_OWN).split() == ["ok"]


@needs_shim
def test_a_commit_that_a_killed_writer_left_unseen_is_healed(directory: Path) -> None:
    milliseconds, heals, _ = map(int, run("heal.py", directory, variables=shim.preload()).split())
    assert heals == 1
    assert milliseconds < 40_000  # the script gives up after 50 seconds


@needs_shim
def test_nobody_waits_for_a_writer_that_was_stopped_before_its_commit_was_seen(directory: Path) -> None:
    _, heals, milliseconds = map(int, run("heal.py", directory, "stopped", variables=shim.preload()).split())
    assert heals == 1  # once it went on
    assert milliseconds < 29_000  # the gate's deadline is 30 s there


def test_stats_count_what_happens(directory: Path, clock: Clock) -> None:
    cache = opened(directory, clock)
    vault = cache.vault()
    vault.save(new_tokens("secret", refresh="r", identity="i"))
    find(vault)
    find(vault, user="nobody")
    stats = cache.stats()
    assert (stats.access_tokens, stats.refresh_tokens, stats.id_tokens, stats.accounts) == (1, 1, 1, 0)
    assert (stats.store_hits, stats.store_misses, stats.refused_records) == (1, 1, 0)
    assert (stats.store_absent, stats.store_unreadable, stats.recoveries) == (1, 0, 0)
    assert stats.newest_transaction == vault.newest
    assert stats.reader_processes == 1
    assert stats.used_bytes > 0
    assert "secret" not in repr(stats)


def test_misses_are_counted_by_reason(directory: Path, clock: Clock) -> None:
    cache = opened(directory, clock)
    vault = cache.vault()
    vault.save(new_tokens("secret"))
    assert find(vault) is not None
    assert find(vault, ("a", "b")) is None
    assert find(vault, user="nobody") is None
    [(key, value)] = _engine.scan(vault.shared.store, _engine.ACCESS, b"")
    broken = value[:-1] + bytes([value[-1] ^ 1])
    vault.shared.commit([(_engine.PUT, _engine.ACCESS, key, broken)])
    assert find(vault) is None
    stats = cache.stats()
    assert (stats.store_hits, stats.store_misses, stats.store_absent, stats.store_unreadable) == (1, 3, 2, 1)
    assert stats.refused_records == 1


def test_lookups_in_memory_that_find_nothing_are_counted_by_reason(directory: Path, clock: Clock) -> None:
    cache = opened(directory, clock)
    cache.vault().save(new_tokens("secret"))
    found = find(cache.vault())
    assert found is not None
    view = cache.view()
    clock.monotonic_offset -= 6000 * 10**9  # no look at the file is due before the end, however slow the disk
    assert view.lookup(("a",)) is None
    assert view.lookup(("b",)) is None
    view.remember(("a",), None, None, "kept", (NOW + 1000) * 1000, found.txnid, found.witnesses, 100)
    assert view.lookup(("a",)) == "kept"
    stats = cache.stats()
    assert (stats.l1_hits, stats.l1_absent, stats.l1_overdue, stats.l1_outdated) == (1, 2, 0, 0)
    clock.advance(2000)
    assert view.lookup(("a",)) is None
    assert cache.stats().l1_overdue == 1
    cache.vault().save(new_tokens("newer"))
    view.remember(("a",), None, None, "kept", (NOW + 9000) * 1000, found.txnid, found.witnesses, 100)
    assert view.lookup(("a",)) is None
    stats = cache.stats()
    assert (stats.l1_hits, stats.l1_absent, stats.l1_overdue, stats.l1_outdated) == (1, 2, 1, 1)
