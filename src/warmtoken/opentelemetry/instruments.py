"""Which figures of a cache are published, under which names and units (OpenTelemetry's naming conventions, UCUM)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from warmtoken.cache.stats import CacheStats
from warmtoken.cache.vault import Vault

NAME = "warmtoken.cache.name"
LEVEL = "warmtoken.cache.level"
REASON = "warmtoken.cache.miss.reason"
KIND = "warmtoken.cache.token.kind"
OUTCOME = "warmtoken.cache.refresh.outcome"


class Point(NamedTuple):
    """One series of an instrument: what tells it from the others, and its value."""

    attributes: Mapping[str, str]
    value: Callable[[CacheStats], int]


@dataclass(frozen=True, slots=True)
class Instrument:
    """A figure of a cache; `owner` is what counts it, and begins at zero where it is made anew."""

    name: str
    unit: str
    description: str
    points: tuple[Point, ...]
    owner: Callable[[Vault], object] = attrgetter("shared.store")


def _miss(level: str, reason: str, field: str) -> Point:
    return Point({LEVEL: level, REASON: reason}, attrgetter(field))


def _whole(field: str) -> tuple[Point, ...]:
    return (Point({}, attrgetter(field)),)


def _hits_in_memory(stats: CacheStats) -> int:
    return stats.l1_hits + stats.l1_confirmed


def _hits_in_the_file(stats: CacheStats) -> int:
    return stats.store_hits - stats.store_expired


def _reader_lag(stats: CacheStats) -> int:
    oldest = stats.oldest_read_transaction
    return 0 if oldest is None else stats.newest_transaction - oldest


def _itself(vault: Vault) -> Vault:
    return vault


# What only grows: of this process, since its start or the first observation.
COUNTERS = (
    Instrument(
        "warmtoken.cache.hits",
        "{hit}",
        "Requests for a token that memory (L1) answered, and lookups in the file (store) that found a usable one.",
        (
            Point({LEVEL: "L1"}, _hits_in_memory),
            Point({LEVEL: "store"}, _hits_in_the_file),
        ),
        _itself,
    ),
    Instrument(
        "warmtoken.cache.misses",
        "{miss}",
        "Requests for a token that memory (L1) did not answer, and lookups in the file (store) without a usable one.",
        (
            _miss("L1", "absent", "l1_absent"),
            _miss("L1", "overdue", "l1_overdue"),
            _miss("L1", "outdated", "l1_outdated"),
            _miss("store", "absent", "store_absent"),
            _miss("store", "expired", "store_expired"),
            _miss("store", "unreadable", "store_unreadable"),
        ),
        _itself,
    ),
    Instrument(
        "warmtoken.cache.background_refreshes",
        "{refresh}",
        "Refreshes ahead of time, in the background.",
        (
            Point({OUTCOME: "success"}, attrgetter("background_refreshes")),
            Point({OUTCOME: "failure"}, attrgetter("background_failures")),
        ),
        _itself,
    ),
    Instrument(
        "warmtoken.cache.throttled_calls",
        "{call}",
        "Calls that were answered with what the provider had said before.",
        _whole("throttled"),
        _itself,
    ),
    Instrument(
        "warmtoken.cache.refused_records",
        "{record}",
        "Records that did not verify.",
        _whole("refused_records"),
        _itself,
    ),
    Instrument(
        "warmtoken.cache.evictions",
        "{token}",
        "Access tokens that were evicted for want of room.",
        _whole("evicted"),
        attrgetter("shared"),
    ),
    Instrument(
        "warmtoken.cache.heals",
        "{commit}",
        "Commits of dead writers that were made visible.",
        _whole("heals"),
    ),
    Instrument(
        "warmtoken.cache.recoveries",
        "{recovery}",
        "How often the file was opened anew after a disk error.",
        _whole("recoveries"),
    ),
)

# What comes and goes, of this process: it adds up over processes.
OF_PROCESS = (
    Instrument("warmtoken.cache.memory.entries", "{entry}", "Results that are kept in memory.", _whole("l1_entries")),
    Instrument("warmtoken.cache.memory.usage", "By", "Memory for kept results.", _whole("l1_bytes")),
    Instrument(
        "warmtoken.cache.unsaved_replies", "{reply}", "Replies that could not be written yet.", _whole("unsaved")
    ),
)

# What comes and goes, of the file: all processes of the host say the same.
OF_FILE = (
    Instrument(
        "warmtoken.cache.token.count",
        "{token}",
        "Tokens in the file.",
        (
            Point({KIND: "access"}, attrgetter("access_tokens")),
            Point({KIND: "refresh"}, attrgetter("refresh_tokens")),
            Point({KIND: "id"}, attrgetter("id_tokens")),
        ),
    ),
    Instrument("warmtoken.cache.account.count", "{account}", "Accounts in the file.", _whole("accounts")),
    Instrument("warmtoken.cache.file.usage", "By", "Records and indexes in the file.", _whole("used_bytes")),
    Instrument(
        "warmtoken.cache.reader.count", "{process}", "Processes that have the file open.", _whole("reader_processes")
    ),
    Instrument(
        "warmtoken.cache.reader.lag",
        "{transaction}",
        "How many transactions the oldest reader is behind; old pages are kept for it.",
        (Point({}, _reader_lag),),
    ),
)
