"""Builds all competitors before the first case, so that all are measured in the same process beside each other."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator
from typing import Any

import lmdb
import msal
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches import competitors
from benches.baselines.lmdb_json import LmdbJsonCache
from benches.competitors import Competitor
from benches.population import CLIENT_ID, Population, populate
from benches.timing import Timing
from warmtoken import _engine

ROUNDS = 200
QUICK_ROUNDS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds a case: shows that all cases run")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add what the heading of the table names."""
    machine_info["benches"] = {
        "quick": config.getoption("--quick"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "lmdb": _dotted(_engine.lmdb_version()),
        "py_lmdb": f"{lmdb.__version__} (LMDB {_dotted(lmdb.version())})",
        "msal": msal.__version__,
    }


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@pytest.fixture(scope="session")
def population() -> Population:
    return populate()


@pytest.fixture(scope="session")
def field(population: Population, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Competitor]]:
    with LmdbJsonCache(tmp_path_factory.mktemp("lmdb_json"), CLIENT_ID) as lmdb_cache:
        entered = [
            competitors.warmtoken(tmp_path_factory.mktemp("warmtoken"), population),
            competitors.pure_python(population),
            competitors.msal_python(population),
            competitors.lmdb_json(lmdb_cache, population),
        ]
        yield {competitor.name: competitor for competitor in entered}


@pytest.fixture
def competitor(request: pytest.FixtureRequest, field: dict[str, Competitor]) -> Competitor:
    return field[request.param]


@pytest.fixture
def timing(benchmark: BenchmarkFixture, competitor: Competitor, request: pytest.FixtureRequest) -> Timing:
    rounds = QUICK_ROUNDS if request.config.getoption("--quick") else ROUNDS
    return Timing(benchmark, competitor.name, rounds)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()
