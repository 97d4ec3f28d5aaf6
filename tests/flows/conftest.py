"""A world for each test, once with the blocking applications and once with those for asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.managed_identity import Place
from support.managed_identity_endpoint import VARIABLES, serving_identities
from support.waiters import Waiters
from support.world import Client, StillClock, World, new_world

from warmtoken.flows import sending
from warmtoken.flows.effects import Sleep
from warmtoken.protocol import azure_arc, managed_identity


@pytest.fixture(autouse=True)
def results_stay_in_memory(unhurried: None) -> None:
    pass


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with new_world(request.param, tmp_path, StillClock()) as made:
        yield made


@pytest.fixture(autouse=True)
def no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY_PAUSE", (0.0, 0.0))


@pytest.fixture
def app(world: World) -> Client:
    """A public client that nobody has signed in to."""
    return world.public()


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> Waiters:
    return Waiters(monkeypatch)


@pytest.fixture
def enter(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Place]]:
    """Let this process run on a platform."""
    with contextlib.ExitStack() as stack:

        def go(source: str) -> Place:
            for name in VARIABLES:
                monkeypatch.delenv(name, raising=False)
            endpoint = stack.enter_context(serving_identities(source, world.clock, tmp_path / source))
            for name, value in endpoint.environ.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setattr(azure_arc, "KEYS", str(endpoint.keys))
            monkeypatch.setattr(managed_identity, "HAS_ARC_AGENT", False)
            return Place(world, endpoint, stack)

        (tmp_path / "azure_arc").mkdir()
        yield go


@pytest.fixture
def place(enter: Callable[[str], Place]) -> Place:
    return enter("imds")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the flows wanted to wait; they do not wait."""
    wanted: list[float] = []

    def noted(seconds: float) -> Sleep:
        wanted.append(seconds)
        return Sleep(0.0)

    monkeypatch.setattr(sending, "Sleep", noted)
    return wanted
