"""Runs all cases in this process, prints one table of medians and ratios: `python -m benches [--quick] [--all]`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import pytest

from benches.programs import PROGRAMS, SUITE, run_programs
from benches.table import render

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "build" / "benches" / f"{SUITE}.json"


def main() -> int:
    """Return pytest's exit code, or with --all that of the first program that failed; a failure ends the run."""
    parser = argparse.ArgumentParser(prog="python -m benches", description="Measure warmtoken beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a few rounds: shows that all cases run")
    parser.add_argument("--all", action="store_true", help=f"then also {', '.join(PROGRAMS)}")
    options = parser.parse_args()
    quick = ["--quick"] if options.quick else []
    return _suite(quick) or (run_programs(quick) if options.all else 0)


def _suite(quick: list[str]) -> int:
    # There is a table only if all cases passed.
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    # Plugins for tests have hooks in the garbage collector and around each call; none but this one is wanted here.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    arguments = [str(HERE), "-c", str(HERE / "pytest.ini"), "-p", "pytest_benchmark.plugin", "--no-header", "-q"]
    arguments += ["--benchmark-quiet", f"--benchmark-json={RESULTS}", *quick]
    code = pytest.main(arguments)
    if code == pytest.ExitCode.OK:
        print(
            f"\n{render(json.loads(RESULTS.read_text()))}\n\nAll figures: {RESULTS.relative_to(HERE.parent)}\n",
            flush=True,
        )
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
