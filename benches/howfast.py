"""Measures all that the project promises about speed, and says what is met: `python -m benches.howfast`.

It runs the suite and the load programs, one after the other, and makes one table out of the files they leave.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benches.programs import PROGRAMS, SUITE, run_all
from benches.promises import Found, Row, rows
from benches.report import RESULTS, Report


def main() -> int:
    """Return 0, or the exit code of the first program that failed; whether promises are met does not matter to it."""
    parser = argparse.ArgumentParser(prog="python -m benches.howfast", description="Measure what is promised.")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: shows that everything runs")
    parser.add_argument("--again", action="store_true", help="only the table, from the files of the run before")
    options = parser.parse_args()
    code = 0 if options.again else run_all(["--quick"] if options.quick else [])
    if code == 0:
        _publish(_read())
    return code


def _read() -> Found:
    suite = json.loads((RESULTS / f"{SUITE}.json").read_text())
    loads = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in PROGRAMS}
    _check_that_all_belong_together(suite, loads)
    return Found(suite, {name: load["figures"] for name, load in loads.items()}, loads[PROGRAMS[0]]["quick"])


def _check_that_all_belong_together(suite: dict[str, Any], loads: dict[str, Any]) -> None:
    commits = {load["machine"]["commit"].partition(" ")[0] for load in loads.values()}
    commits.add(suite["commit_info"]["id"][:12])
    quick = {load["quick"] for load in loads.values()} | {suite["machine_info"]["benches"]["quick"]}
    if len(commits) > 1 or len(quick) > 1:
        sys.exit(f"expected all files in {RESULTS} to be of one run, got commits {sorted(commits)}, quick {quick}")


def _publish(found: Found) -> None:
    report = Report("howfast", found.is_quick, "What is promised about speed, and what was measured")
    report.notes = ["A ratio is the peer's time divided by ours: above 1, warmtoken is faster."]
    promises = rows(found)
    report.figures = {f"{row.subject}: {row.target}": row.figures() for row in promises}
    report.rows = [["what", "target", "warmtoken", "peers", "met"], *(_cells(row) for row in promises)]
    report.publish()


def _cells(row: Row) -> list[str]:
    return [row.subject, row.target, row.ours, "; ".join(row.peers) or "-", "yes" if row.is_met else "**no**"]


if __name__ == "__main__":
    sys.exit(main())
