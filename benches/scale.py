"""Measures caches of 1,000 to 1,000,000 tokens, and 164,663 tokens in one partition: `python -m benches.scale`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches import lookups, plot
from benches.baselines import bare_lmdb
from benches.crowd import Crowd, OwnTokens, Users
from benches.lookups import Figures
from benches.markdown import duration
from benches.report import RESULTS, Report, is_quick, scratch
from benches.separate import alone, processes

SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (200, 1_000)
PARTITION, QUICK_PARTITION = 164_663, 1_000
ADD_ROUNDS, QUICK_ADD_ROUNDS = 20, 2
ADDED = 10  # in a round
LINES = {
    "store, page not mapped yet": "first_lookup",
    "store": "lookup",
    "subset, store": "subset_lookup",
    "certain miss": "miss",
    "hit": "hit",
}


def main() -> None:
    """Measure each size in processes of its own, one size after the other."""
    quick = is_quick("scale", "Measure caches of 1,000 to 1,000,000 tokens.")
    rounds = QUICK_ADD_ROUNDS if quick else ADD_ROUNDS
    measured = {f"{size:,}": _measured(Users, size, rounds) for size in (QUICK_SIZES if quick else SIZES)}
    _draw(measured)
    partition = QUICK_PARTITION if quick else PARTITION
    measured[f"{partition:,} in one partition"] = _measured(OwnTokens, partition, rounds)
    report = Report("scale", quick, "Latency and size by the number of tokens in the cache")
    report.notes = ["Medians of each call; adding beside a bare synced py-lmdb commit into a file as large."]
    report.figures = measured
    report.rows = _rows(measured)
    report.publish()


def _measured(kind: type[Crowd], size: int, rounds: int) -> dict[str, Any]:
    with scratch() as directory:
        crowd = kind(Path(directory) / "warmtoken", size, int(time.time()))
        start = time.perf_counter()
        alone(crowd.fill)
        filling = time.perf_counter() - start
        figures: Figures = alone(lookups.measure, crowd)
        record_size: int = alone(crowd.sealed_size)
        ours, bare = adding(crowd, record_size, rounds)
    return {
        **figures._asdict(),
        "tokens": size,
        "filling": filling,
        "record_size": record_size,
        "add": statistics.median(ours),
        "bare_add": statistics.median(bare),
    }


def adding(crowd: Crowd, record_size: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each token that is added, and of each bare commit of a record as long."""
    # In turns, since a disk is not the same at all times; in two processes, since each has an LMDB of its own.
    beside = crowd.directory.parent / "bare"
    ours: list[float] = []
    bare: list[float] = []
    with processes() as our_process, processes() as bare_process:
        bare_process.submit(bare_lmdb.add, beside, crowd.size, record_size, 1).result()
        our_process.submit(lookups.add, crowd, rounds * ADDED, 1).result()
        for number in range(rounds):
            ours += our_process.submit(lookups.add, crowd, number * ADDED, ADDED).result()
            bare += bare_process.submit(bare_lmdb.add, beside, crowd.size, record_size, ADDED).result()
    return ours, bare


def _rows(measured: dict[str, dict[str, Any]]) -> list[list[str]]:
    columns = list(measured.values())
    return [
        ["tokens", *measured],
        ["store: first lookup, its page not mapped yet", *(duration(of["first_lookup"]) for of in columns)],
        ["store: first lookup", *(duration(of["lookup"]) for of in columns)],
        ["store: first lookup of a subset", *(duration(of["subset_lookup"]) for of in columns)],
        ["hit", *(duration(of["hit"]) for of in columns)],
        ["certain miss: the lookup", *(duration(of["miss"]) for of in columns)],
        ["certain miss: the public method", *(_or_dash(of["miss_call"], duration) for of in columns)],
        ["add one token", *(duration(of["add"]) for of in columns)],
        ["bare commit of py-lmdb", *(duration(of["bare_add"]) for of in columns)],
        ["add one, in bare commits", *(f"{of['add'] / of['bare_add']:.2f}x" for of in columns)],
        ["open the cache", *(duration(of["opening"]) for of in columns)],
        ["disk", *(_size(of["disk"]) for of in columns)],
        ["disk for each token", *(f"{of['disk'] / of['tokens'] / 1e3:.1f} KB" for of in columns)],
        ["memory of a process, private", *(_or_dash(of["private_memory"], _size) for of in columns)],
        ["memory of a process, pages of files", *(_or_dash(of["mapped_memory"], _size) for of in columns)],
    ]


def _or_dash(value: Any, shown: Callable[[Any], str]) -> str:
    return "-" if value is None else shown(value)


def _size(size: int) -> str:
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"


def _draw(measured: dict[str, dict[str, Any]]) -> None:
    series = {
        name: [(float(of["tokens"]), of[figure] * 1e6) for of in measured.values()] for name, figure in LINES.items()
    }
    target = RESULTS / "latency.svg"
    plot.logarithmic_plot(target, "Latency by the size of the cache", "tokens in the cache", "microseconds", series)


if __name__ == "__main__":
    main()
