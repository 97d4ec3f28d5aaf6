"""Runs a script with faults.c preloaded, which breaks what the operating system and LMDB do for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from isolated.support import HERE, environment

TESTS = Path(__file__).parents[1]


def built(place: Path) -> Path:
    """Compile faults.c into a directory and return the library; skips the test where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer's runtime stands between as well, and wants to be the first")
    library = place / "faults.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "faults.c"), "-ldl"], check=True
    )
    return library


def run_with(library: Path, script: str, *args: object, timeout: float = 60) -> str:
    """Run a script of tests/isolated with the faults and return what it printed; AssertionError where it failed."""
    paths = environment()
    paths["PYTHONPATH"] += os.pathsep + str(TESTS)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / script), *map(str, args)],
        env=paths | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{script} {args}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
