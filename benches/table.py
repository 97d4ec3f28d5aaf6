"""Makes the table out of what pytest-benchmark wrote."""

from __future__ import annotations

from typing import Any

from benches.competitors import LMDB, MSAL, OURS, PURE
from benches.markdown import duration, markdown

COLUMNS = (OURS, PURE, MSAL, LMDB)


def render(results: dict[str, Any]) -> str:
    """Return the heading and a Markdown table: a row for each case with the medians, and how many times ours.

    `results` is pytest-benchmark's JSON.
    """
    medians = _medians(results["benchmarks"])
    rows = [["case", *COLUMNS]]
    rows += [[case, *(_cell(of_case, column) for column in COLUMNS)] for case, of_case in medians.items()]
    return "\n".join([*_heading(results), "", *markdown(rows)])


def _medians(benchmarks: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    medians: dict[str, dict[str, float]] = {}
    for benchmark in benchmarks:
        info = benchmark["extra_info"]
        seconds = benchmark["stats"]["median"] / info["calls"]
        medians.setdefault(benchmark["group"], {})[info["competitor"]] = seconds
    return medians


def _cell(of_case: dict[str, float], column: str) -> str:
    if column not in of_case:
        return "-"
    seconds = of_case[column]
    if column == OURS or OURS not in of_case:
        return duration(seconds)
    ratio = seconds / of_case[OURS]
    return f"{duration(seconds)} ({ratio:,.0f}x)" if ratio >= 100 else f"{duration(seconds)} ({ratio:.2g}x)"


def _heading(results: dict[str, Any]) -> list[str]:
    machine, commit = results["machine_info"], results["commit_info"]
    versions, cpu = machine["benches"], machine["cpu"]
    lines = [
        f"Commit {commit['id'][:12]}{' with changes' if commit['dirty'] else ''}, {results['datetime'][:10]}",
        f"{cpu.get('brand_raw', machine['machine'])}, {cpu['count']} CPUs, {machine['system']} {machine['release']}",
        f"{versions['python']}, LMDB {versions['lmdb']}, py-lmdb {versions['py_lmdb']}, MSAL Python {versions['msal']}",
        "Median of each call; in brackets: the peer's time divided by ours.",
    ]
    if versions["quick"]:
        lines.append("A quick run: it shows that all cases run, its figures mean nothing.")
    return lines
