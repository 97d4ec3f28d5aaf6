"""One provider for the test run, and for each test a fresh cache, a movable clock and both kinds of application."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from idp.browser import Browser
from idp.provider import Provider

from integration.program import KEY, Program
from integration.worlds import World, WorldName, open_world
from warmtoken import TokenCache
from warmtoken.flows import sending
from warmtoken.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def provider_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    if os.environ.get("WARMTOKEN_SKIP_IDP") == "1":
        pytest.skip("WARMTOKEN_SKIP_IDP=1")
    with Provider(tmp_path_factory.mktemp("idp")) as provider:
        yield provider


@pytest.fixture(autouse=True)
def results_stay_in_memory(unhurried: None) -> None:
    pass


@pytest.fixture(autouse=True)
def no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "RETRY_PAUSE", (0.0, 0.0))


@pytest.fixture
def provider(provider_process: Provider) -> Provider:
    provider_process.reset()
    return provider_process


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    name: WorldName = request.param
    world = open_world(name)
    yield world
    world.close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser("alice")
    yield browser
    browser.join()


@pytest.fixture
def program(world: World, provider: Provider, browser: Browser, tmp_path: Path) -> Iterator[Program]:
    clock = Clock()
    with TokenCache(tmp_path / "cache", key=KEY, clock=clock) as cache:
        yield Program(world, provider, cache, clock, browser, world.public(provider.issuer, cache))
