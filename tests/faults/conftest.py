"""Fixtures for the fault tests: seeds that can be repeated, and an eye on what is printed."""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

import pytest
from faults.scale import SCALE
from isolated.oracle import CANARY

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a random test: a new one each time, or the one that is to be repeated."""
    seed = int(os.environ.get("WARMTOKEN_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
    test = request.node.nodeid
    print(f"seed {seed}; to repeat: WARMTOKEN_FAULTS={SCALE.name} WARMTOKEN_FAULT_SEED={seed} pytest -s '{test}'")
    return seed


@pytest.fixture(autouse=True)
def nothing_secret_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """All that a test and its processes print is looked through for the secrets that they store."""
    yield
    out, err = capfd.readouterr()
    sys.stdout.write(out)
    sys.stderr.write(err)
    assert CANARY not in out + err, "a secret was printed"
