"""Measures durable stores of one thread and of 64 threads in one process: `python -m benches.writes`."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

from benches.crowd import Users
from benches.lookups import check
from benches.ours import new_tokens
from benches.report import Report, is_quick, scratch
from warmtoken.cache.vault import NewTokens, Vault

THREADS = (1, 64)
STORES, QUICK_STORES = {1: 1_000, 64: 100}, {1: 20, 64: 5}  # of each thread in a round
ROUNDS, QUICK_ROUNDS = 5, 1
PATIENCE = 60.0  # seconds until all threads must have started


class Round(NamedTuple):
    """What one round came to."""

    stores_per_second: float
    commits_per_second: float
    stores_per_commit: float


def main() -> None:
    """Store with one thread and with many in turn, into the same cache."""
    quick = is_quick("writes", "Measure durable stores of 1 thread and of 64 threads.")
    stores, rounds = (QUICK_STORES, QUICK_ROUNDS) if quick else (STORES, ROUNDS)
    measured = measure(stores, rounds)
    _publish(quick, measured, rounds * sum(count * stores[count] for count in THREADS))


def measure(stores: dict[int, int], rounds: int) -> dict[int, Round]:
    """Return the medians of some rounds by number of threads; `stores` says how many each thread makes in a round."""
    measured: dict[int, list[Round]] = {count: [] for count in stores}
    with scratch() as directory:
        stored = 0
        total = rounds * sum(count * each for count, each in stores.items())
        crowd = Users(Path(directory), total, int(time.time()))
        with crowd.cache() as cache:
            for _ in range(rounds):
                for count, each in stores.items():
                    numbers = range(stored, stored + count * each)
                    measured[count].append(_round(cache.vault(), crowd, numbers, count))
                    stored += len(numbers)
        _check(crowd, stored)
    return {count: _median(each) for count, each in measured.items()}


def _round(vault: Vault, crowd: Users, numbers: range, threads: int) -> Round:
    shares = [[new_tokens(crowd.entry(number)) for number in numbers[i::threads]] for i in range(threads)]
    start_together = Barrier(threads + 1)

    def store(share: list[NewTokens]) -> None:
        start_together.wait(PATIENCE)
        for new in share:
            vault.save(new)

    before = vault.newest
    with ThreadPoolExecutor(threads) as pool:
        stores = [pool.submit(store, share) for share in shares]
        start_together.wait(PATIENCE)
        start = time.perf_counter()
        for each in stores:
            each.result()
        seconds = time.perf_counter() - start
    commits = vault.newest - before
    return Round(len(numbers) / seconds, commits / seconds, len(numbers) / commits)


def _check(crowd: Users, stored: int) -> None:
    with crowd.cache() as cache:
        assert cache.stats().access_tokens == stored
        acquire = crowd.acquire(cache)
        for number in range(stored):
            check(crowd, acquire(*crowd.call(number)), number, "store")


def _median(rounds: list[Round]) -> Round:
    return Round(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def _publish(quick: bool, measured: dict[int, Round], stored: int) -> None:
    report = Report("writes", quick, "Durable stores a second: a token, an id token and an account each, synced")
    report.notes = [f"Medians of the rounds; all of the {stored:,} tokens were found afterwards."]
    report.figures = {f"{count} threads": each._asdict() for count, each in measured.items()}
    one = measured[THREADS[0]].stores_per_second
    report.rows = [["threads", "stores/s", "of one thread", "commits/s", "stores in a commit"]]
    report.rows += [
        [
            str(count),
            f"{each.stores_per_second:,.0f}",
            f"{each.stores_per_second / one:.1f}x",
            f"{each.commits_per_second:,.0f}",
            f"{each.stores_per_commit:.1f}",
        ]
        for count, each in measured.items()
    ]
    report.publish()


if __name__ == "__main__":
    main()
