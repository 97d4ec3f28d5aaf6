"""Makes the table out of what pytest-benchmark wrote."""

from __future__ import annotations

from typing import Any

from benches.competitors import (
    AZURE,
    CACHETOOLS,
    DISKCACHE,
    EMPTY,
    EXTENSIONS,
    LMDB,
    MSAL,
    OURS,
    PURE,
    REDIS,
    REDIS_SOCKET,
    SQLITE,
)
from benches.markdown import duration, markdown, times

COLUMNS = {  # by the first word of a case
    "hit": (OURS, EMPTY, PURE, CACHETOOLS, MSAL, EXTENSIONS, AZURE, LMDB),
    "store": (OURS, MSAL, LMDB, SQLITE, DISKCACHE, REDIS_SOCKET, REDIS),
    "miss": (OURS, PURE, MSAL, LMDB),
}


def render(results: dict[str, Any]) -> str:
    """Return the heading and a Markdown table a kind of case: a row for each case with the medians, and how often ours.

    `results` is pytest-benchmark's JSON.
    """
    found, absent = medians(results), results["machine_info"]["benches"]["absent"]
    lines = _heading(results)
    for kind, columns in COLUMNS.items():
        rows = [["case", *columns]]
        for case, of_case in found.items():
            if case.startswith(f"{kind}:"):
                rows.append([case, *(_cell(of_case, column, absent) for column in columns)])
        lines += ["", *markdown(rows)]
    return "\n".join(lines)


def medians(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the seconds a call took by case and competitor."""
    found: dict[str, dict[str, float]] = {}
    for benchmark in results["benchmarks"]:
        info = benchmark["extra_info"]
        seconds = benchmark["stats"]["median"] / info["calls"]
        found.setdefault(benchmark["group"], {})[info["competitor"]] = seconds
    return found


def _cell(of_case: dict[str, float], column: str, absent: list[str]) -> str:
    if column not in of_case:
        return "not installed" if column in absent else "-"
    seconds = of_case[column]
    if column == OURS or OURS not in of_case:
        return duration(seconds)
    return f"{duration(seconds)} ({times(seconds / of_case[OURS])})"


def _heading(results: dict[str, Any]) -> list[str]:
    machine, commit = results["machine_info"], results["commit_info"]
    versions, cpu = machine["benches"], machine["cpu"]
    lines = [
        f"Commit {commit['id'][:12]}{' with changes' if commit['dirty'] else ''}, {results['datetime'][:10]}",
        f"{cpu.get('brand_raw', machine['machine'])}, {cpu['count']} CPUs, {machine['system']} {machine['release']}",
        f"{versions['python']}, LMDB {versions['lmdb']}, py-lmdb {versions['py_lmdb']}",
        ", ".join(f"{name} {number}" for name, number in versions["peers"].items()),
        "Median of each call; in brackets: the peer's time divided by ours.",
    ]
    if versions["quick"]:
        lines.append("A quick run: it shows that all cases run, its figures mean nothing.")
    return lines
