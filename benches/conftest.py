"""Builds all competitors before the first case, so that all are measured in the same process beside each other."""

from __future__ import annotations

import asyncio
import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lmdb
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benches import competitors
from benches.baselines import redis_json
from benches.baselines.disk_cache import DiskCache
from benches.baselines.json_tokens import JsonTokens
from benches.baselines.lmdb_json import LmdbJsonCache
from benches.baselines.redis_json import RedisCache, RedisServer
from benches.baselines.sqlite_json import SqliteCache
from benches.competitors import DISKCACHE, LMDB, REDIS, REDIS_SOCKET, SQLITE, Competitor
from benches.population import CLIENT_ID, Population, populate
from benches.timing import Timing
from warmtoken import _engine

ROUNDS = 100
QUICK_ROUNDS = 3
PEERS = ("azure-identity", "cachetools", "diskcache", "msal", "msal-extensions", "redis")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds a case: shows that all cases run")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add what the heading of the table names."""
    machine_info["benches"] = {
        "quick": config.getoption("--quick"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "lmdb": _dotted(_engine.lmdb_version()),
        "py_lmdb": f"{lmdb.__version__} (LMDB {_dotted(lmdb.version())})",
        "peers": {name: version(name) for name in PEERS},
        "absent": [] if redis_json.is_installed() else [REDIS, REDIS_SOCKET],
    }


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@pytest.fixture(scope="session")
def population() -> Population:
    return populate()


@pytest.fixture(scope="session")
def field(population: Population, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Competitor]]:
    with ExitStack() as stack:
        entered = [
            competitors.warmtoken(tmp_path_factory.mktemp("warmtoken"), population),
            competitors.empty_methods(),
            competitors.pure_python(population),
            competitors.cachetools_cache(population),
            competitors.msal_python(population),
            competitors.msal_extensions(tmp_path_factory.mktemp("msal_extensions"), population),
            competitors.azure_credential(population),
        ]
        stores = _json_tokens(tmp_path_factory.mktemp("json_tokens"), stack)
        entered += [competitors.json_tokens(name, each, population) for name, each in stores.items()]
        yield {competitor.name: competitor for competitor in entered}


def _json_tokens(directory: Path, stack: ExitStack) -> dict[str, JsonTokens]:
    for name in ("lmdb", "sqlite", "diskcache"):
        (directory / name).mkdir()
    stores: dict[str, JsonTokens] = {
        LMDB: LmdbJsonCache(directory / "lmdb", CLIENT_ID),
        SQLITE: SqliteCache(directory / "sqlite", CLIENT_ID),
        DISKCACHE: DiskCache(directory / "diskcache", CLIENT_ID),
    }
    if redis_json.is_installed():
        server = stack.enter_context(RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        stores[REDIS] = RedisCache(server.over_tcp(), CLIENT_ID)
        stores[REDIS_SOCKET] = RedisCache(server.over_socket(), CLIENT_ID)
    for store in stores.values():
        stack.enter_context(store)
    return stores


@pytest.fixture
def competitor(request: pytest.FixtureRequest, field: dict[str, Competitor]) -> Competitor:
    if request.param not in field:
        pytest.skip(f"{request.param} is not installed")
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
