"""A world for each test, once with the blocking applications and once with those for asyncio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.world import Client, World, new_world

from warmtoken.flows import sending


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY_PAUSE", (0.0, 0.0))


@pytest.fixture
def app(world: World) -> Client:
    """A public client that nobody has signed in to."""
    return world.public()
