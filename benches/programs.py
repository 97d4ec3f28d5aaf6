"""The suite and the load programs, in the order in which they run."""

from __future__ import annotations

import subprocess
import sys

SUITE = "results"  # its file
PROGRAMS = ("scale", "neighbours", "dropin", "processes", "startup", "writes", "slow_disks", "stampede")


def run_all(options: list[str]) -> int:
    """Run the suite and all load programs; return 0, or the exit code of the first that failed, which ends the run."""
    return run("benches", options) or run_programs(options)


def run_programs(options: list[str]) -> int:
    """Run the load programs alone."""
    for program in PROGRAMS:
        if code := run(f"benches.{program}", options):
            return code
    return 0


def run(module: str, options: list[str]) -> int:
    """Run one program in an interpreter of its own, and return its exit code."""
    return subprocess.run([sys.executable, "-m", module, *options], check=False).returncode
