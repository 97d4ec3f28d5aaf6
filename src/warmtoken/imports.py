"""What must be seen to when a process forks whose threads import modules at their first calls."""

from __future__ import annotations

import sys
import threading
import time

PATIENCE = 5.0  # seconds


def wait_for_imports() -> None:
    """Wait until no other thread is importing anything, five seconds at most; to be called before a fork.

    A child gets the locks of the modules that were being imported, and not the thread that would let go of them: at
    its first import of one of these it would wait for ever. CPython mends its global import lock alone.
    """
    deadline = time.monotonic() + PATIENCE
    while _others_import() and time.monotonic() < deadline:
        time.sleep(0.001)


def _others_import() -> bool:
    locks = getattr(sys.modules.get("_frozen_importlib"), "_module_locks", {})
    owners = {getattr(find(), "owner", None) for find in list(locks.values())}
    return bool(owners - {None, threading.get_ident()})
