"""Counts the instructions of each step with valgrind's callgrind: `python -m benches.instructions`.

Each case runs twice in fresh interpreters, N and 2 N times: the difference, divided by N, is one call without the
start of the interpreter. The counts are nearly the same on a busy machine, and at every run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benches import operations
from benches.crowd import Users
from benches.markdown import markdown
from benches.report import TOP, Report, is_quick, scratch
from benches.separate import alone

COUNT, QUICK_COUNT = 200, 50
REPEATED, QUICK_REPEATED = 5_000, 500  # what is the same call again and again
SAME_CALL = (operations.LOOP, operations.EMPTY, operations.PURE, operations.HIT)
QUICK_CASES = (operations.LOOP, operations.EMPTY, operations.HIT, operations.CONFIRMATION)
SHOWN = 12  # functions of a hit
TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
FUNCTION = re.compile(r"^\s*([\d,]+) \([^)]*\)\s+(?:\S*:)?([^:\s]+?)(?:'\d+)?(?: \[\S+\])?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counts:
    """Instructions of one call: all, and those of each function itself."""

    all: float
    functions: Mapping[str, float]


def main() -> None:
    """Count all cases, each in interpreters of its own, on a copy of the same cache."""
    quick = is_quick("instructions", "Count instructions with callgrind.")
    if shutil.which("valgrind") is None:
        sys.exit("expected valgrind to be installed, it is not; on Debian and Ubuntu: apt-get install valgrind")
    with scratch() as name:
        directory = Path(name)
        crowd = Users(directory / "cache", operations.TOKENS, int(time.time()))
        alone(crowd.fill)
        cases = QUICK_CASES if quick else tuple(operations.CASES)
        counted = {case: _count(case, crowd, quick) for case in cases}
    _publish(quick, counted)


def _count(case: str, crowd: Users, quick: bool) -> Counts:
    single, repeated = (QUICK_COUNT, QUICK_REPEATED) if quick else (COUNT, REPEATED)
    count = repeated if case in SAME_CALL else single
    once, twice = (_profile(case, crowd, many) for many in (count, 2 * count))
    functions = {name: (number - once.functions.get(name, 0)) / count for name, number in twice.functions.items()}
    return Counts((twice.all - once.all) / count, functions)


def _profile(case: str, crowd: Users, count: int) -> Counts:
    copy, profile = (crowd.directory.with_name(name) for name in ("copy", "callgrind.out"))
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(crowd.directory, copy)
    program = [sys.executable, "-m", "benches.operations", case, str(copy), str(crowd.now), str(count)]
    _run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", *program])
    shown = _run(["callgrind_annotate", "--threshold=100", "--auto=no", str(profile)])
    found = TOTAL.search(profile.read_text())
    assert found is not None, f"expected a line with totals in {profile}"
    functions: dict[str, float] = {}
    for number, name in FUNCTION.findall(shown):  # once for each file whose lines it has, also by inlining
        functions[name] = functions.get(name, 0) + int(number.replace(",", ""))
    return Counts(int(found[1]), functions)


def _run(command: list[str]) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _publish(quick: bool, counted: Mapping[str, Counts]) -> None:
    report = Report("instructions", quick, "Instructions of one call, in user space, counted by callgrind")
    report.notes = [f"The loop around the calls, {counted[operations.LOOP].all:.0f} instructions, is not in them."]
    report.figures = {case: {"all": of.all, "functions": _largest(of)} for case, of in counted.items()}
    report.rows = _rows(counted)
    report.publish()
    print("The functions of a hit, without what they call\n")
    print("\n".join([*markdown(_function_rows(counted[operations.HIT])), ""]))


def _rows(counted: Mapping[str, Counts]) -> list[list[str]]:
    loop = counted[operations.LOOP].all
    empty = counted[operations.EMPTY].all - loop
    rows = [["call", "instructions", "empty method calls"]]
    for case, of in counted.items():
        if case != operations.LOOP:
            rows.append([case, f"{of.all - loop:,.0f}", f"{(of.all - loop) / empty:,.1f}"])
    return rows


def _largest(of: Counts) -> dict[str, float]:
    ordered = sorted(of.functions.items(), key=lambda each: -each[1])
    return {name: number for name, number in ordered[: 3 * SHOWN] if number >= 1}


def _function_rows(of: Counts) -> list[list[str]]:
    largest = list(_largest(of).items())[:SHOWN]
    rest = of.all - sum(number for _, number in largest)
    rows = [[name, f"{number:,.0f}"] for name, number in [*largest, ("all others", rest)]]
    return [["function", "instructions"], *rows]


if __name__ == "__main__":
    main()
