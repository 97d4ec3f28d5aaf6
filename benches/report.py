"""What the load programs have in common: their options, the heading of their table, the files they leave."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benches.markdown import markdown
from warmtoken import _engine

TOP = Path(__file__).resolve().parent.parent
RESULTS = TOP / "build" / "benches"


def is_quick(program: str, description: str) -> bool:
    """Read the command line, and return whether the run is to be a short one."""
    parser = argparse.ArgumentParser(prog=f"python -m benches.{program}", description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, a few seconds: shows that everything runs")
    quick: bool = parser.parse_args().quick
    return quick


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a directory on the disk of the repository, and not in a memory that calls itself /tmp."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=RESULTS)


@dataclass(slots=True)
class Report:
    """One program's results: a table for people, `figures` in seconds, bytes and calls a second for programs."""

    program: str
    quick: bool
    title: str
    rows: list[list[str]] = field(default_factory=list[list[str]])
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])

    def publish(self) -> None:
        """Print the table and write all figures."""
        machine = _machine()
        target = RESULTS / f"{self.program}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        found = {"program": self.program, "quick": self.quick, "machine": machine, "figures": self.figures}
        target.write_text(json.dumps(found, indent=2) + "\n")
        print("\n".join([self.title, *_heading(machine), *self._remarks(), "", *markdown(self.rows)]))
        print(f"\nAll figures: {target.relative_to(TOP)}\n", flush=True)

    def _remarks(self) -> list[str]:
        remark = "A quick run: it shows that everything runs, its figures mean nothing."
        return [*self.notes, remark] if self.quick else self.notes


def _heading(machine: dict[str, Any]) -> list[str]:
    return [
        f"Commit {machine['commit']}, {machine['date']}",
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gb']:.0f} GB, {machine['system']}",
        f"{machine['python']}, LMDB {machine['lmdb']}",
    ]


def _machine() -> dict[str, Any]:
    return {
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "lmdb": ".".join(map(str, _engine.lmdb_version())),
    }


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD") or "unknown"
    return f"{commit} with changes" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
