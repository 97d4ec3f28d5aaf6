"""Each call of a commit fails in turn: the write is there or was refused with an error, and the process goes on."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import pytest
from faults.scale import NIGHTLY, SCALE
from isolated import shim
from isolated.oracle import DOCUMENTED, assert_sound
from isolated.support import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(bool(shim.why_not()), reason=shim.why_not() or "there is one")

FAULTS = {
    "write_eio": (shim.DATA_WRITE, shim.FAIL, errno.EIO),
    "write_enospc": (shim.DATA_WRITE, shim.FAIL, errno.ENOSPC),
    "write_eintr": (shim.DATA_WRITE, shim.FAIL, errno.EINTR),
    "write_short": (shim.DATA_WRITE, shim.SHORT, 0),
    "sync_eio": (shim.SYNC, shim.FAIL, errno.EIO),
    "extend_enospc": (shim.EXTEND, shim.FAIL, errno.ENOSPC),
    "map_enomem": (shim.MAP, shim.FAIL, errno.ENOMEM),
    "meta_eio": (shim.META_WRITE, shim.FAIL, errno.EIO),
    "meta_enospc": (shim.META_WRITE, shim.FAIL, errno.ENOSPC),
    "meta_eintr": (shim.META_WRITE, shim.FAIL, errno.EINTR),
    "meta_short": (shim.META_WRITE, shim.SHORT, 0),
}
STEPS = {
    shim.DATA_WRITE: ("create", "open", "put"),
    shim.META_WRITE: ("create", "open", "put"),
    shim.SYNC: ("create", "open", "put"),
    shim.EXTEND: ("create",),
    shim.MAP: ("create", "open"),
}
CASES = [(step, name) for name, (calls, *_) in FAULTS.items() for step in STEPS[calls]]
ALLOWED = DOCUMENTED | {"ok"}


def sweep(directory: Path, step: str, *fault: int) -> list[dict[str, Any]]:
    """Fail the first, second, … call of a kind, each in a process of its own, and return what came of each."""
    said = run("failing_calls.py", directory, step, *fault, timeout=SCALE.timeout, variables=shim.preload())
    return [json.loads(line) for line in said.splitlines()]


def check(results: list[dict[str, Any]], step: str, allowed: set[str]) -> None:
    for nth, result in enumerate(results):
        number = 2 * nth + 2  # each process writes two
        before = 0 if step == "create" else number - 1
        written, *afterwards = result["steps"]
        assert written in allowed, result
        assert afterwards == ["ok"] * 3, result
        expected = [number] if written == "ok" else [before, number]
        assert result["found"][0] in expected, result
        assert result["found"][1] == number + 1, result
    assert [result["fired"] for result in results] == [True] * (len(results) - 1) + [False]
    assert len(results) > 1, "the fault never came"


@pytest.mark.parametrize(("step", "fault"), CASES)
def test_a_failing_call_is_an_error_and_not_the_end(directory: Path, step: str, fault: str) -> None:
    check(sweep(directory, step, *FAULTS[fault]), step, ALLOWED)
    for place in directory.parent.glob("cache*"):
        assert_sound(place)


@pytest.mark.skipif(SCALE is not NIGHTLY, reason="nightly")
@pytest.mark.parametrize("step", ["create", "open", "put"])
def test_no_memory_is_an_error_and_not_the_end(directory: Path, step: str) -> None:
    """Each allocation of the engine and of liblmdb fails in turn."""
    results = sweep(directory, step, shim.ALLOCATE, shim.FAIL, errno.ENOMEM)
    check(results, step, ALLOWED | {"memory"})
    assert len(results) > 10
    assert_sound(directory)
