"""Builds the preload shim, starts scripts under it, and arms it in the process that runs under it."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")

# Which calls (a mask), and what happens at the n-th of them: the numbers of shim.c.
DATA_WRITE, META_WRITE, SYNC, EXTEND, GET, RENEW, ALLOCATE, MAP = (1 << n for n in range(8))
FAIL, SHORT, KILL_BEFORE, KILL_AFTER, STOP_BEFORE, STOP_AFTER = range(1, 7)
LOG_WRITE, LOG_SYNC, LOG_EXTEND, LOG_MARK, LOG_DURABLE_WRITE = range(1, 6)


def why_not() -> str:
    """Return why there can be no shim on this system, or an empty string."""
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        return "the sanitizer's runtime stands between as well, and wants to be the first"
    return "" if shutil.which(os.environ.get("CC", "cc")) else "no C compiler to build the preload shim with"


@functools.cache
def built() -> Path:
    """Return the shim, compiled once for all tests of this process."""
    path = Path(tempfile.mkdtemp(prefix="warmtoken-shim-")) / "shim.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-Wall", "-shared", "-fPIC", "-O1", "-o", path, SOURCE, "-ldl"], check=True)
    return path


def preload() -> dict[str, str]:
    """Return what a process that shall run under the shim needs in its environment."""
    return {"LD_PRELOAD": str(built())}


def loaded() -> ctypes.CDLL:
    """Return the shim of this process, which was started under it."""
    return ctypes.CDLL(None)


def arm(action: int, calls: int, nth: int = 1, error: int = 0) -> None:
    """Act at the n-th of some calls, counted from now."""
    loaded().fault_find_libraries()
    loaded().fault_arm(action, calls, ctypes.c_long(nth), error)


def disarm() -> None:
    """Let all calls pass."""
    loaded().fault_arm(0, 0, ctypes.c_long(0), 0)


def fired() -> bool:
    """Tell whether the armed fault came."""
    return bool(loaded().fault_fired())
