"""Measures lookups in one large cache: what `benches.scale` runs in a process of its own for each size."""

from __future__ import annotations

import gc
import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from benches.crowd import Acquire, Call, Crowd, Users
from benches.ours import new_tokens, slot_of
from benches.population import MISSING
from warmtoken import AuthenticationResult, TokenCache, UiRequiredError
from warmtoken.protocol.scopes import lookup_scopes

PASSES = 5
LOOKUPS = 2_000  # different tokens in a pass
REVISITED = 250  # tokens that all stay in memory
HIT_ROUNDS = 200
OPENINGS = 7
PROC_STATUS = Path("/proc/self/status")


class Figures(NamedTuple):
    """Medians in seconds, sizes in bytes; None for what a cache has not, or a system does not tell."""

    first_lookup: float
    lookup: float
    subset_lookup: float
    hit: float
    miss: float
    miss_call: float | None
    opening: float
    private_memory: int | None
    mapped_memory: int | None
    disk: int


def measure(crowd: Crowd) -> Figures:
    """Measure a cache that was filled before; this process has not opened it yet."""
    passes = crowd.numbers(LOOKUPS, PASSES)
    opening = _opening(crowd)
    with crowd.cache() as kept:
        kept.vault()
        # The first time the process also maps the pages, and the second time it does not.
        first_lookup = _lookups(crowd, crowd.call, passes)
        lookup = _lookups(crowd, crowd.call, passes)
        _lookups(crowd, crowd.subset_call, passes)
        subset_lookup = _lookups(crowd, crowd.subset_call, passes)
        miss = statistics.median(_misses(crowd, kept, numbers) for numbers in passes)
        miss_call = (
            statistics.median(_refusals(crowd, kept, numbers) for numbers in passes) if _has_users(crowd) else None
        )
        hit = _hits(crowd, kept, passes[0][:REVISITED])
        memory = _memory("RssAnon"), _memory("RssFile")
    return Figures(first_lookup, lookup, subset_lookup, hit, miss, miss_call, opening, *memory, _disk(crowd.directory))


def add(crowd: Crowd, first: int, count: int) -> list[float]:
    """Add tokens one by one, numbered from `first`, and return the seconds of each."""
    vault = _kept(crowd).vault()
    fresh = [crowd.added(number) for number in range(first, first + count)]
    seconds = []
    for new in map(new_tokens, fresh):
        start = time.perf_counter()
        vault.save(new)
        seconds.append(time.perf_counter() - start)
    for entry in fresh:
        found = vault.find_access_token(slot_of(None), lookup_scopes(entry.scopes), crowd.now)
        assert found is not None
        assert found.secret == entry.access_token
    return seconds


@cache
def _kept(crowd: Crowd) -> TokenCache:
    return crowd.cache()


def _seconds_a_call(function: Callable[..., Any], calls: Sequence[Call]) -> tuple[float, Any]:
    start = time.perf_counter()
    for call in calls:
        result = function(*call)
    return (time.perf_counter() - start) / len(calls), result


def check(crowd: Crowd, result: AuthenticationResult, number: int, level: str) -> None:
    """Fail unless a result holds the token of that number and comes from the level."""
    assert result.access_token == crowd.entry(number).access_token
    assert result.metadata.cache_level == level, f"expected {level}, got {result.metadata.cache_level}"


def check_hit(crowd: Crowd, acquire: Acquire, call: Call, number: int) -> None:
    """Fail unless a call is answered from memory with the token of that number."""
    result = acquire(*call)
    if result.metadata.cache_level == "store":  # once a second a call looks whether the file is still the same
        result = acquire(*call)
    check(crowd, result, number, "L1")


def _lookups(crowd: Crowd, call_of: Callable[[int], Call], passes: list[list[int]]) -> float:
    return statistics.median(_pass(crowd, call_of, numbers) for numbers in passes)


def _pass(crowd: Crowd, call_of: Callable[[int], Call], numbers: list[int]) -> float:
    calls = [call_of(number) for number in numbers]
    with crowd.cache() as fresh:
        fresh.vault()
        acquire = crowd.acquire(fresh)
        seconds, last = _seconds_a_call(acquire, calls)
        check(crowd, last, numbers[-1], "store")
        for number, call in zip(numbers, calls, strict=True):
            check_hit(crowd, acquire, call, number)
    return seconds


def _hits(crowd: Crowd, kept: TokenCache, numbers: list[int]) -> float:
    acquire = crowd.acquire(kept)
    calls = [crowd.call(number) for number in numbers]
    for call in calls:
        acquire(*call)
    rounds = []
    for _ in range(HIT_ROUNDS):
        seconds, last = _seconds_a_call(acquire, calls)
        check(crowd, last, numbers[-1], "L1")
        rounds.append(seconds)
    return statistics.median(rounds)


def _misses(crowd: Crowd, kept: TokenCache, numbers: list[int]) -> float:
    find = kept.vault().find_access_token
    slots = [slot_of(crowd.entry(number).account) for number in numbers]
    calls = [(slot, lookup_scopes(MISSING), crowd.now) for slot in slots]
    seconds, last = _seconds_a_call(find, calls)
    assert all(find(*call) is None for call in calls)
    assert last is None
    return seconds


def _has_users(crowd: Crowd) -> bool:
    return isinstance(crowd, Users)


def _refusals(crowd: Crowd, kept: TokenCache, numbers: list[int]) -> float:
    assert isinstance(crowd, Users)
    acquire = crowd.acquire(kept)

    def refused(*call: Any) -> str:
        try:
            acquire(*call)
        except UiRequiredError as error:
            return error.code
        raise AssertionError("expected UiRequiredError")

    seconds, code = _seconds_a_call(refused, [crowd.missing_call(number) for number in numbers])
    assert code == "no_tokens_found"
    return seconds


def _opening(crowd: Crowd) -> float:
    _open_once(crowd)  # imports what opening needs
    return statistics.median(_open_once(crowd) for _ in range(OPENINGS))


def _open_once(crowd: Crowd) -> float:
    start = time.perf_counter()
    with crowd.cache() as cache:
        shared = weakref.ref(cache.vault().shared)
        seconds = time.perf_counter() - start
    gc.collect()
    assert shared() is None, "expected the file to be closed, so that the next opening opens it"
    return seconds


def _memory(name: str) -> int | None:
    lines = PROC_STATUS.read_text().splitlines() if PROC_STATUS.exists() else []
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")]
    return sizes[0] if sizes else None


def _disk(directory: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in directory.iterdir())
