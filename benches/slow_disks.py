"""Measures durable writes on disks that sync more slowly than this one: `python -m benches.slow_disks`.

A library that is preloaded lets each sync take longer; all else is as it is.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benches import writes
from benches.crowd import OwnTokens
from benches.markdown import duration
from benches.report import Report, is_quick, scratch
from benches.scale import adding
from benches.separate import alone

SOURCE = Path(__file__).with_name("slow_sync.c")
DELAYS, QUICK_DELAYS = (0, 500, 1_000, 2_500, 5_000), (0, 1_000)  # microseconds for each sync; a commit has two
TOKENS, QUICK_TOKENS = 100_000, 1_000
ADD_ROUNDS, QUICK_ADD_ROUNDS = 20, 2
STORES, QUICK_STORES = {1: 200, 64: 50}, {1: 10, 64: 5}  # of each thread in a round
ROUNDS, QUICK_ROUNDS = 5, 1


def main() -> None:
    """Measure the same with each delay, in processes of their own."""
    quick = is_quick("slow_disks", "Measure durable writes where each sync takes longer.")
    report = Report("slow_disks", quick, "Durable writes where each sync of the disk takes longer")
    report.notes = ["A commit syncs twice. Adding beside a bare synced py-lmdb commit; 64 threads beside one."]
    report.rows = [["each sync", "bare commit", "add one token", "in bare commits", "1 thread", "64 threads", "of one"]]
    with scratch() as directory:
        library = _compiled(Path(directory))
        for delay in QUICK_DELAYS if quick else DELAYS:
            with _slower(library, delay):
                figures = _measured(quick)
            report.figures[f"{delay} us"] = figures
            report.rows.append(_row(delay, figures))
    report.publish()


def _compiled(directory: Path) -> Path:
    library = directory / "slow_sync.so"
    compiler = os.environ.get("CC", "cc")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE)], check=False)
    if done.returncode:
        sys.exit(f"expected {compiler} to compile {SOURCE.name}; set CC to a C compiler")
    return library


@contextmanager
def _slower(library: Path, delay: int) -> Iterator[None]:
    # For the processes that are started meanwhile, not for this one.
    ours = {"LD_PRELOAD": str(library), "WARMTOKEN_SYNC_US": str(delay)}
    before = dict(os.environ)
    os.environ.update(ours)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _measured(quick: bool) -> dict[str, float]:
    with scratch() as directory:
        crowd = OwnTokens(Path(directory) / "warmtoken", QUICK_TOKENS if quick else TOKENS, int(time.time()))
        alone(crowd.fill)
        ours, bare = adding(crowd, alone(crowd.sealed_size), QUICK_ADD_ROUNDS if quick else ADD_ROUNDS)
    stores, rounds = (QUICK_STORES, QUICK_ROUNDS) if quick else (STORES, ROUNDS)
    stored: dict[int, writes.Round] = alone(writes.measure, stores, rounds)
    return {
        "add": statistics.median(ours),
        "bare_add": statistics.median(bare),
        **{f"stores_{threads}": each.stores_per_second for threads, each in stored.items()},
    }


def _row(delay: int, figures: dict[str, float]) -> list[str]:
    one, many = figures["stores_1"], figures["stores_64"]
    return [
        f"{delay / 1000:g} ms longer" if delay else "as it is",
        duration(figures["bare_add"]),
        duration(figures["add"]),
        f"{figures['add'] / figures['bare_add']:.2f}x",
        f"{one:,.0f} stores/s",
        f"{many:,.0f} stores/s",
        f"{many / one:.1f}x",
    ]


if __name__ == "__main__":
    main()
