"""What OpenTelemetry is told of caches and of requests, by its own SDK."""

from __future__ import annotations

import dataclasses
import gc
import inspect
import logging
import re
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolated.support import environment, new_tokens
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from support.world import ALICE, KEY, SCOPES, World, new_world

import warmtoken
import warmtoken.aio
import warmtoken.opentelemetry
from warmtoken import ClientSecret, ServiceError, TokenCache, TransportError
from warmtoken.cache.stats import CacheStats
from warmtoken.errors import CacheError
from warmtoken.opentelemetry import AsyncMeasuredTransport, MeasuredTransport, caches, observe
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

SCOPE = ["api/.default"]
AS_ASYNC = {
    "ClientSecret, ConfidentialClientApplication, TokenCache": "ClientSecret, TokenCache, aio",
    " ConfidentialClientApplication(": " aio.ConfidentialClientApplication(",
    "DefaultTransport": "AsyncDefaultTransport",
    "MeasuredTransport": "AsyncMeasuredTransport",
}
PUBLISHED = {
    "warmtoken.cache.hits": ("{hit}", "counter"),
    "warmtoken.cache.misses": ("{miss}", "counter"),
    "warmtoken.cache.background_refreshes": ("{refresh}", "counter"),
    "warmtoken.cache.throttled_calls": ("{call}", "counter"),
    "warmtoken.cache.refused_records": ("{record}", "counter"),
    "warmtoken.cache.evictions": ("{token}", "counter"),
    "warmtoken.cache.heals": ("{commit}", "counter"),
    "warmtoken.cache.recoveries": ("{recovery}", "counter"),
    "warmtoken.cache.memory.entries": ("{entry}", "up-down counter"),
    "warmtoken.cache.memory.usage": ("By", "up-down counter"),
    "warmtoken.cache.unsaved_replies": ("{reply}", "up-down counter"),
    "warmtoken.cache.token.count": ("{token}", "gauge"),
    "warmtoken.cache.account.count": ("{account}", "gauge"),
    "warmtoken.cache.file.usage": ("By", "gauge"),
    "warmtoken.cache.reader.count": ("{process}", "gauge"),
    "warmtoken.cache.reader.lag": ("{transaction}", "gauge"),
}
PREFIX = "warmtoken.cache."


class Telemetry:
    """A program's SDK, whose figures lie in memory."""

    def __init__(self, **temporality: Any) -> None:
        self.reader = InMemoryMetricReader(**temporality)
        self.provider = MeterProvider([self.reader])

    def metrics(self) -> list[Any]:
        data = self.reader.get_metrics_data()
        found = [] if data is None else data.resource_metrics
        return [metric for resource in found for scope in resource.scope_metrics for metric in scope.metrics]

    def points(self, name: str) -> list[Any]:
        return [point for metric in self.metrics() if metric.name == name for point in metric.data.data_points]

    def figures(self, cache: str = "default") -> dict[str, Any]:
        """All figures of a cache, such as {"hits L1": 2}."""
        return {
            " ".join([metric.name.removeprefix(PREFIX), *(str(value) for value in told_apart(point.attributes))]): (
                point.value
            )
            for metric in self.metrics()
            for point in metric.data.data_points
            if point.attributes.get("warmtoken.cache.name") == cache
        }


def told_apart(attributes: Any) -> list[Any]:
    return [value for key, value in attributes.items() if key != "warmtoken.cache.name"]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    made = Telemetry()
    yield made
    made.provider.shutdown()


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The SDK catches what a callback raises, and logs it."""
    yield
    ours = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert [record for record in ours if record.levelno >= logging.WARNING] == []


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, tmp_path: Path, unhurried: None) -> Iterator[World]:
    with new_world(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def cache(directory: Path) -> TokenCache:
    return TokenCache(directory, key=KEY)


def test_its_names_are_as_published() -> None:
    assert warmtoken.opentelemetry.__all__ == ["AsyncMeasuredTransport", "MeasuredTransport", "observe"]
    signature = inspect.signature(observe).parameters
    assert [(name, p.default, p.kind is p.KEYWORD_ONLY) for name, p in signature.items()] == [
        ("cache", inspect.Parameter.empty, False),
        ("meter_provider", None, False),
        ("name", "default", True),
    ]


# --- figures of a cache ---


def test_names_units_and_kinds_are_as_published(telemetry: Telemetry, cache: TokenCache) -> None:
    cache.stats()
    observe(cache, telemetry.provider)
    kinds = {(True, True): "counter", (True, False): "up-down counter", (False, None): "gauge"}
    found = {
        metric.name: (
            metric.unit,
            kinds[hasattr(metric.data, "is_monotonic"), getattr(metric.data, "is_monotonic", None)],
        )
        for metric in telemetry.metrics()
    }
    assert found == PUBLISHED
    assert all(metric.description.endswith(".") for metric in telemetry.metrics())


def test_a_service_is_seen_to_ask_once_and_to_hit_from_then_on(world: World, telemetry: Telemetry) -> None:
    observe(world.cache, telemetry.provider)
    service = world.confidential()
    for _ in range(4):
        service.acquire_token_for_client(SCOPE)
    figures = telemetry.figures()
    assert (figures["hits L1"], figures["hits store"], figures["misses store absent"]) == (2, 1, 2)
    assert (figures["token.count access"], figures["token.count refresh"], figures["account.count"]) == (1, 0, 0)
    assert (figures["reader.count"], figures["memory.entries"]) == (1, 1)
    assert figures["memory.usage"] > 0
    assert figures["file.usage"] == world.cache.stats().used_bytes
    world.clock.advance(3600)
    service.acquire_token_for_client(SCOPE)
    assert telemetry.figures()["misses store expired"] > 0


def test_refreshes_in_the_background_are_counted_by_outcome(world: World, telemetry: Telemetry) -> None:
    observe(world.cache, telemetry.provider)
    world.idp.refresh_in = 600
    app = world.public(on_background_refresh=lambda _: None)
    account = world.sign_in(app).account
    for outcome in ("success", "failure"):
        world.clock.advance(660)
        if outcome == "failure":
            world.idp.fail_next("token", status=400, body={"error": "invalid_request"})
        app.acquire_token_silent(SCOPES, account)
        world.settle(app)
        assert telemetry.figures()[f"background_refreshes {outcome}"] == 1


def test_calls_that_the_provider_does_not_want_are_counted(world: World, telemetry: Telemetry) -> None:
    observe(world.cache, telemetry.provider)
    world.idp.fail_next("token", status=429, body={"error": "slow"}, headers={"retry-after": "60"})
    service = world.confidential()
    for _ in range(3):
        with pytest.raises(ServiceError):
            service.acquire_token_for_client(SCOPE)
    assert telemetry.figures()["throttled_calls"] == 2


def test_each_figure_is_the_one_that_its_name_says(
    telemetry: Telemetry, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With statistics in which no two numbers, nor sums of two, are the same."""
    numbers = {field.name: 3**at for at, field in enumerate(dataclasses.fields(CacheStats)) if field.type == "int"}
    numbers |= {"store_hits": 3**38, "newest_transaction": 3**40}
    stats = CacheStats(path="", is_encrypted=True, oldest_read_transaction=3**39, **numbers)
    cache.stats()
    monkeypatch.setattr(caches, "collect", lambda *_: stats)
    observe(cache, telemetry.provider)
    assert telemetry.figures() == {
        "hits L1": stats.l1_hits + stats.l1_confirmed,
        "hits store": stats.store_hits - stats.store_expired,
        "misses L1 absent": stats.l1_absent,
        "misses L1 overdue": stats.l1_overdue,
        "misses L1 outdated": stats.l1_outdated,
        "misses store absent": stats.store_absent,
        "misses store expired": stats.store_expired,
        "misses store unreadable": stats.store_unreadable,
        "background_refreshes success": stats.background_refreshes,
        "background_refreshes failure": stats.background_failures,
        "throttled_calls": stats.throttled,
        "refused_records": stats.refused_records,
        "evictions": stats.evicted,
        "heals": stats.heals,
        "recoveries": stats.recoveries,
        "memory.entries": stats.l1_entries,
        "memory.usage": stats.l1_bytes,
        "unsaved_replies": stats.unsaved,
        "token.count access": stats.access_tokens,
        "token.count refresh": stats.refresh_tokens,
        "token.count id": stats.id_tokens,
        "account.count": stats.accounts,
        "file.usage": stats.used_bytes,
        "reader.count": stats.reader_processes,
        "reader.lag": 3**40 - 3**39,
    }


def test_a_file_that_nobody_reads_just_now_has_no_lag(telemetry: Telemetry, cache: TokenCache) -> None:
    assert cache.stats().oldest_read_transaction is None
    observe(cache, telemetry.provider)
    assert telemetry.figures()["reader.lag"] == 0


def test_nothing_that_names_anybody_is_published(world: World, telemetry: Telemetry) -> None:
    observe(world.cache, telemetry.provider, name="mine")
    result = world.sign_in(world.public())
    world.confidential().acquire_token_for_client(SCOPE)
    data = telemetry.reader.get_metrics_data()
    assert data is not None
    told = data.to_json()
    secrets = (result.access_token, ALICE, "alice", "service-secret", '"cli"', SCOPES[0], str(world.directory))
    assert [secret for secret in secrets if secret in told] == []
    attributes = {
        key for metric in telemetry.metrics() for point in metric.data.data_points for key in point.attributes
    }
    assert attributes == {
        "warmtoken.cache.name", "warmtoken.cache.level", "warmtoken.cache.miss.reason", "warmtoken.cache.token.kind",
        "warmtoken.cache.refresh.outcome",
    }  # fmt: skip


# --- several caches ---


def test_caches_are_told_apart_by_their_names(telemetry: Telemetry, tmp_path: Path) -> None:
    made = {name: TokenCache(tmp_path / name, key=KEY) for name in ("a", "b")}
    for name, cache in made.items():
        observe(cache, telemetry.provider, name=name)
    made["a"].vault().save(new_tokens("secret"))
    made["b"].stats()
    assert [telemetry.figures(name)["token.count access"] for name in made] == [1, 0]


def test_two_open_caches_cannot_have_one_name(telemetry: Telemetry, tmp_path: Path) -> None:
    first, second = (TokenCache(tmp_path / name, key=KEY) for name in ("a", "b"))
    observe(first, telemetry.provider)
    with pytest.raises(ValueError, match="name="):
        observe(second, telemetry.provider)
    first.close()
    second.stats()
    observe(second, telemetry.provider)
    assert telemetry.figures()["reader.count"] == 1


def test_a_cache_that_is_observed_twice_is_counted_once_by_its_last_name(
    telemetry: Telemetry, cache: TokenCache
) -> None:
    cache.stats()
    observe(cache, telemetry.provider)
    for _ in range(2):
        observe(cache, telemetry.provider, name="again")
    assert telemetry.figures() == {}
    assert len(telemetry.points("warmtoken.cache.account.count")) == 1


@pytest.mark.parametrize(("arguments", "match"), [(("cache",), "TokenCache"), ((None,), "TokenCache")])
def test_what_is_no_cache_is_refused(arguments: tuple[Any], match: str) -> None:
    with pytest.raises(TypeError, match=match):
        observe(*arguments)


def test_what_is_no_name_is_refused(cache: TokenCache) -> None:
    with pytest.raises(TypeError, match="name"):
        observe(cache, name=None)  # type: ignore[arg-type]


# --- a cache that is not there ---


def test_collecting_opens_no_cache_and_makes_no_file(telemetry: Telemetry, cache: TokenCache, directory: Path) -> None:
    observe(cache, telemetry.provider)
    assert telemetry.metrics() == []
    assert not directory.exists()
    cache.stats()
    assert telemetry.figures()["reader.count"] == 1


def test_a_closed_cache_is_not_told_of_and_not_kept_alive(telemetry: Telemetry, directory: Path) -> None:
    cache = TokenCache(directory, key=KEY)
    cache.vault().save(new_tokens("secret"))
    observe(cache, telemetry.provider)
    assert telemetry.figures()["token.count access"] == 1
    alive, vault = weakref.ref(cache), weakref.ref(cache.vault())
    cache.close()
    assert telemetry.points("warmtoken.cache.token.count") == []
    del cache
    gc.collect()
    assert (alive(), vault()) == (None, None)
    assert telemetry.points("warmtoken.cache.token.count") == []


def test_a_cache_whose_file_is_gone_breaks_no_collection_and_is_not_made_anew(
    telemetry: Telemetry, cache: TokenCache, directory: Path
) -> None:
    cache.vault().save(new_tokens("secret"))
    observe(cache, telemetry.provider)
    shutil.rmtree(directory)
    for _ in range(2):
        telemetry.metrics()
    assert not directory.exists()


def test_a_disk_that_fails_breaks_no_collection(
    telemetry: Telemetry, cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CacheError("cache_io_error", "the disk fails")

    cache.stats()
    observe(cache, telemetry.provider)
    monkeypatch.setattr(warmtoken._engine, "usage", fail)
    assert telemetry.metrics() == []


# --- counters ---


def lookups(cache: TokenCache, count: int) -> None:
    for _ in range(count):
        cache.vault().missed += 1


def test_counters_go_on_where_the_file_was_replaced(telemetry: Telemetry, directory: Path) -> None:
    clock = Clock()
    cache = TokenCache(directory, key=KEY, clock=clock)
    lookups(cache, 5)
    observe(cache, telemetry.provider)
    assert telemetry.figures()["misses store absent"] == 5
    for missed, sum_of_all in ((2, 7), (9, 16)):
        shutil.rmtree(directory)
        clock.advance(60)
        lookups(cache, missed)
        assert [telemetry.figures()["misses store absent"] for _ in range(2)] == [sum_of_all] * 2


def test_what_outlives_an_opening_is_not_counted_twice(telemetry: Telemetry, cache: TokenCache) -> None:
    shared = cache.vault().shared
    shared.evicted = 3
    lookups(cache, 5)
    observe(cache, telemetry.provider)
    before = telemetry.figures()
    assert (before["evictions"], before["misses store absent"]) == (3, 5)
    shared.store.reopen()  # as after a disk error
    lookups(cache, 1)
    assert cache.vault().shared is shared
    after = telemetry.figures()
    assert (after["evictions"], after["misses store absent"]) == (3, 6)


def test_a_counter_never_falls(telemetry: Telemetry, cache: TokenCache) -> None:
    """A lookup that finds an expired token is one that found a token, for a moment."""
    vault = cache.vault()
    observe(cache, telemetry.provider)
    vault.found = 1
    assert telemetry.figures()["hits store"] == 1
    vault.expired = 1
    assert telemetry.figures()["hits store"] == 1
    vault.found = 2
    assert telemetry.figures()["hits store"] == 1
    vault.found = 3
    assert telemetry.figures()["hits store"] == 2


def test_differences_add_up(cache: TokenCache) -> None:
    telemetry = Telemetry(preferred_temporality={ObservableCounter: AggregationTemporality.DELTA})
    observe(cache, telemetry.provider)
    seen = 0
    for missed in (5, 1, 3):
        lookups(cache, missed)
        seen += telemetry.figures()["misses store absent"]
    assert seen == 9
    telemetry.provider.shutdown()


# --- the program's global provider; nothing is loaded without need ---


def in_a_process_of_its_own(script: str, *arguments: object) -> str:
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def test_figures_follow_to_a_global_provider_that_is_set_later(tmp_path: Path) -> None:
    script = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from warmtoken import TokenCache
from warmtoken.opentelemetry import observe

made = [TokenCache(sys.argv[1] + name, key=bytes(32)) for name in "abc"]
for cache in made:
    cache.stats()
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
observe(made[0], name="before")
metrics.set_meter_provider(provider)
observe(made[1], name="after")
observe(made[2], provider, name="by its name")
(resource,) = reader.get_metrics_data().resource_metrics
(scope,) = resource.scope_metrics
print(scope.scope.name)
names = [metric.name for metric in scope.metrics]
print(len(names) == len(set(names)))
(accounts,) = [metric for metric in scope.metrics if metric.name == "warmtoken.cache.account.count"]
print(sorted(point.attributes["warmtoken.cache.name"] for point in accounts.data.data_points))
"""
    told = in_a_process_of_its_own(script, tmp_path / "cache").splitlines()
    assert told == ["warmtoken", "True", "['after', 'before', 'by its name']"]


def test_a_child_need_not_wait_for_a_thread_of_its_parent(tmp_path: Path) -> None:
    script = """
import os, sys
from warmtoken import TokenCache
from warmtoken.opentelemetry import caches, observe

caches._lock.acquire()  # as another thread may have, at this moment
child = os.fork()
if child == 0:
    observe(TokenCache(sys.argv[1], key=bytes(32)))
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert in_a_process_of_its_own(script, tmp_path / "cache").strip() == "0"


def test_nothing_of_it_is_loaded_by_who_does_not_ask(tmp_path: Path) -> None:
    script = """
import sys
import warmtoken, warmtoken.aio
warmtoken.TokenCache(sys.argv[1], key=bytes(32)).stats()
print([name for name in sys.modules if "opentelemetry" in name])
"""
    assert in_a_process_of_its_own(script, tmp_path / "cache").strip() == "[]"


# --- requests to the provider ---


def measured(world: World, telemetry: Telemetry, transport: Any = None) -> Any:
    kind, module = (MeasuredTransport, warmtoken) if world.mode == "sync" else (AsyncMeasuredTransport, warmtoken.aio)
    application = module.ConfidentialClientApplication(
        "service",
        credential=ClientSecret("service-secret"),
        authority=world.idp.issuer,
        cache=world.cache,
        transport=kind(transport or world.transport(), telemetry.provider),
    )
    return lambda: world.run(lambda: application.acquire_token_for_client(SCOPE))


def durations(telemetry: Telemetry) -> list[tuple[dict[str, Any], int]]:
    (metric,) = telemetry.metrics()
    assert (metric.name, metric.unit) == ("http.client.request.duration", "s")
    points = metric.data.data_points
    assert all(0 <= point.sum < 30 for point in points)
    assert {point.explicit_bounds[-1] for point in points} == {10}
    return [(dict(point.attributes), point.count) for point in points]


def test_each_request_to_the_provider_is_measured_and_no_hit(world: World, telemetry: Telemetry) -> None:
    ask = measured(world, telemetry)
    for _ in range(3):
        ask()
    port = int(world.idp.issuer.rpartition(":")[2])
    there = {"server.address": "127.0.0.1", "server.port": port, "http.response.status_code": 200}
    assert durations(telemetry) == [
        ({"http.request.method": "GET", **there}, 1),
        ({"http.request.method": "POST", **there}, 1),
    ]


def test_a_reply_that_says_no_is_an_error_of_its_status(world: World, telemetry: Telemetry) -> None:
    ask = measured(world, telemetry)
    world.idp.fail_next("token", status=429, body={"error": "slow"}, headers={"retry-after": "60"})
    with pytest.raises(ServiceError):
        ask()
    *_, (attributes, _) = durations(telemetry)
    assert (attributes["http.response.status_code"], attributes["error.type"]) == (429, "429")


def test_the_example_of_the_docs_runs(world: World, telemetry: Telemetry) -> None:
    page = (Path(__file__).parents[1] / "docs" / "operation.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for theirs, ours in {
        "TokenCache()": "made",
        "observe(cache, name": "observe(cache, provider, name",
        "DefaultTransport())": "DefaultTransport(), provider)",
        "your-client-id": "service",
        "https://login.microsoftonline.com/your-tenant": world.idp.issuer,
        **(AS_ASYNC if world.mode == "async" else {}),
    }.items():
        example = example.replace(theirs, ours)
    names: dict[str, Any] = {
        "made": world.cache,
        "provider": telemetry.provider,
        "read_secret": lambda: "service-secret",
    }
    exec(compile(example, "docs/operation.md", "exec"), names)
    for _ in range(3):
        world.run(lambda: names["app"].acquire_token_for_client(SCOPE))
    assert telemetry.figures("tokens")["hits L1"] == 1
    assert sum(point.count for point in telemetry.points("http.client.request.duration")) == 2
    world.run(names["app"].close if world.mode == "sync" else names["app"].aclose)


class Silent:
    """A transport that gets no reply."""

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        raise TransportError("response_too_large", f"CANARY {request.url}")


class AsyncSilent(Silent):
    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:  # type: ignore[override]
        return super().send(request, timeout=timeout)


def test_no_reply_is_an_error_of_its_code(world: World, telemetry: Telemetry) -> None:
    ask = measured(world, telemetry, Silent() if world.mode == "sync" else AsyncSilent())
    with pytest.raises(TransportError, match="response_too_large"):
        ask()
    ((attributes, count),) = durations(telemetry)
    assert count == 1
    assert attributes["error.type"] == "response_too_large"
    assert "http.response.status_code" not in attributes


@pytest.mark.parametrize(
    ("url", "method", "wanted"),
    [
        ("https://login.example/tenant/token?client_id=CANARY", "POST", ("POST", "login.example", 443)),
        ("http://[::1]:8080/CANARY", "CANARY", ("_OTHER", "::1", 8080)),
    ],
)
def test_neither_path_nor_query_is_published(
    telemetry: Telemetry, url: str, method: str, wanted: tuple[object, ...]
) -> None:
    class Empty:
        def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
            return HttpResponse(200)

    MeasuredTransport(Empty(), telemetry.provider).send(HttpRequest(method, url), timeout=1)
    ((attributes, _),) = durations(telemetry)
    names = ("http.request.method", "server.address", "server.port")
    assert tuple(attributes[name] for name in names) == wanted
    assert "CANARY" not in repr(attributes)
