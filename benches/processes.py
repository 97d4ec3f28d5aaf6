"""Measures hits in several processes on one cache, without and with a writer: `python -m benches.processes`."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from pathlib import Path
from threading import Barrier
from typing import Any

from benches import plot
from benches.crowd import Users
from benches.lookups import REVISITED, check_hit
from benches.ours import new_tokens
from benches.report import RESULTS, Report, is_quick, scratch
from benches.separate import alone, processes

TOKENS = 2_000
COUNTS, QUICK_COUNTS = (1, 2, 4, 8), (1, 2)
SECONDS, QUICK_SECONDS = 2.0, 0.2
ROUNDS, QUICK_ROUNDS = 5, 1
COMMITS = 50  # a second
PATIENCE = 60.0  # seconds until all processes must have started


@dataclass(frozen=True, slots=True)
class Round:
    """One round: how long, and where all processes meet before it starts."""

    crowd: Users
    barrier: Barrier
    seconds: float


def main() -> None:
    """Measure all counts of processes in turn, several times."""
    quick = is_quick("processes", "Measure hits in 1, 2, 4 and 8 processes, without and with a writer.")
    counts, seconds, rounds = (QUICK_COUNTS, QUICK_SECONDS, QUICK_ROUNDS) if quick else (COUNTS, SECONDS, ROUNDS)
    rates: dict[str, list[float]] = {}
    with scratch() as directory, get_context("spawn").Manager() as manager:
        crowd = Users(Path(directory), TOKENS, int(time.time()))
        alone(crowd.fill)
        for _ in range(rounds):
            for count in counts:
                _add(rates, count, _quiet_round(manager, crowd, count, seconds))
                _add(rates, count, _round_with_writer(manager, crowd, count, seconds))
    _publish(quick, counts, {name: statistics.median(each) for name, each in rates.items()})


def _add(rates: dict[str, list[float]], count: int, found: dict[str, float]) -> None:
    for name, rate in found.items():
        rates.setdefault(f"{name} {count}", []).append(rate)


def _quiet_round(manager: SyncManager, crowd: Users, count: int, seconds: float) -> dict[str, float]:
    with processes(count) as pool:
        each = Round(crowd, manager.Barrier(count), seconds)
        return {"quiet": sum(pool.map(hit, [each] * count))}


def _round_with_writer(manager: SyncManager, crowd: Users, count: int, seconds: float) -> dict[str, float]:
    with processes(count) as pool, processes() as writer:
        each = Round(crowd, manager.Barrier(count + 1), seconds)
        commits = writer.submit(write, each)
        return {"written": sum(pool.map(hit, [each] * count)), "commits": commits.result()}


def hit(this: Round) -> float:
    """Ask for tokens in memory again and again, and return how many calls a second."""
    numbers = this.crowd.numbers(REVISITED, 1)[0]
    calls = [this.crowd.call(number) for number in numbers]
    with this.crowd.cache() as cache:
        acquire = this.crowd.acquire(cache)
        expected = [acquire(*call) for call in calls]
        this.barrier.wait(PATIENCE)
        start = now = time.perf_counter()
        rounds = 0
        while now - start < this.seconds:
            for call in calls:
                last = acquire(*call)
            rounds += 1
            now = time.perf_counter()
            assert last.access_token == expected[-1].access_token
        for number, call in zip(numbers, calls, strict=True):
            check_hit(this.crowd, acquire, call, number)
    return rounds * len(calls) / (now - start)


def write(this: Round) -> float:
    """Commit something that none of the hits is about, at a steady pace, and return how many commits a second."""
    with this.crowd.cache() as cache:
        vault = cache.vault()
        fresh = [new_tokens(this.crowd.added(number)) for number in range(max(1, int(COMMITS * this.seconds)))]
        this.barrier.wait(PATIENCE)
        before, start = vault.newest, time.perf_counter()
        for number, new in enumerate(fresh):
            time.sleep(max(0.0, start + number / COMMITS - time.perf_counter()))
            vault.save(new)
        time.sleep(max(0.0, start + this.seconds - time.perf_counter()))
        assert vault.newest >= before + len(fresh)
        return len(fresh) / (time.perf_counter() - start)


def _publish(quick: bool, counts: tuple[int, ...], rates: dict[str, float]) -> None:
    report = Report("processes", quick, "Hits a second of all processes together, on one cache")
    report.notes = [f"Medians of the rounds; in each, every process asks for {REVISITED} users' tokens in turn."]
    report.figures = rates
    report.rows = [_heading(), *(_row(count, rates) for count in counts)]
    series = {
        "without a writer": [(float(count), rates[f"quiet {count}"] / 1e6) for count in counts],
        f"{COMMITS} commits a second": [(float(count), rates[f"written {count}"] / 1e6) for count in counts],
    }
    target = RESULTS / "throughput.svg"
    plot.linear_plot(target, "Hits by processes on one cache", "processes", "million hits a second", series)
    report.publish()


def _heading() -> list[str]:
    return ["processes", "hits/s", "of one", "hits/s with a writer", "of those without", "commits/s"]


def _row(count: int, rates: dict[str, Any]) -> list[str]:
    quiet, written = rates[f"quiet {count}"], rates[f"written {count}"]
    return [
        str(count),
        f"{quiet:,.0f}",
        f"{quiet / rates['quiet 1']:.2f}x",
        f"{written:,.0f}",
        f"{written / quiet:.0%}",
        f"{rates[f'commits {count}']:.0f}",
    ]


if __name__ == "__main__":
    main()
