"""Publishes what `TokenCache.stats()` knows, as observable instruments: read when they are collected, and only then."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from functools import partial

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from warmtoken import __version__
from warmtoken.cache.stats import CacheStats, collect
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Vault
from warmtoken.errors import WarmTokenError
from warmtoken.opentelemetry.instruments import COUNTERS, NAME, OF_FILE, OF_PROCESS, Instrument, Point


def observe(cache: TokenCache, meter_provider: MeterProvider | None = None, *, name: str = "default") -> None:
    """Publish the figures of a cache at a meter provider; None is the program's global one, also if it is set later.

    `name` is the attribute `warmtoken.cache.name` of all its figures, and tells apart the caches of a process. No
    figure comes from a cache that nobody has used yet, or that was closed, and none keeps a cache alive. Raises
    TypeError for what is no TokenCache or no name, ValueError where another open cache has the name.
    """
    if not isinstance(cache, TokenCache):
        raise TypeError(f"expected cache to be a TokenCache, got {type(cache).__name__}")
    if not isinstance(name, str):
        raise TypeError(f"expected name to be a str, got {type(name).__name__}")
    with _lock:
        _caches_at(meter_provider).add(cache, name)


class _Count:
    """A figure that only grows, also where what counts it begins anew."""

    def __init__(self) -> None:
        self._before = self._last = 0
        self._owner: weakref.ref[object] | None = None

    def goes_on(self, value: int, owner: object) -> int:
        """Return the sum of what all owners counted, `value` being this one's."""
        if self._owner is None or self._owner() is not owner:
            self._owner = weakref.ref(owner)
            self._before, self._last = self._before + self._last, 0
        # A difference of two counters can fall for a moment, between the steps of one and of the other.
        self._last = max(self._last, value)
        return self._before + self._last


class _Watched:
    """A cache under observation."""

    def __init__(self, cache: TokenCache, name: str) -> None:
        self._cache = weakref.ref(cache)
        self._name = name
        self._counts: dict[tuple[str, int], _Count] = {}

    def is_of(self, cache: TokenCache) -> bool:
        return self._cache() is cache

    @property
    def is_open(self) -> bool:
        cache = self._cache()
        return cache is not None and not cache.is_closed

    def counted(self, instrument: Instrument) -> Iterator[Observation]:
        looked = self._look()
        if looked is None:
            return
        stats, vault = looked
        for number, point in enumerate(instrument.points):
            count = self._counts.setdefault((instrument.name, number), _Count())
            yield self._observation(point, count.goes_on(point.value(stats), instrument.owner(vault)))

    def measured(self, instrument: Instrument) -> Iterator[Observation]:
        looked = self._look()
        if looked is not None:
            yield from (self._observation(point, point.value(looked[0])) for point in instrument.points)

    def _observation(self, point: Point, value: int) -> Observation:
        return Observation(value, {NAME: self._name, **point.attributes})

    def _look(self) -> tuple[CacheStats, Vault] | None:
        # Who collects figures opens no file and asks for no key: that is for those who want tokens.
        cache = self._cache()
        opened = None if cache is None else cache.opened()
        if opened is None:
            return None
        vault, hits = opened
        try:
            return collect(vault, hits), vault
        except WarmTokenError:  # the disk fails; who wants a token is told
            return None


class _Caches:
    """The caches under observation at one meter provider."""

    def __init__(self, meter: Meter) -> None:
        self._watched: dict[str, _Watched] = {}
        for instrument in COUNTERS:
            callbacks = [partial(self._counted, instrument)]
            meter.create_observable_counter(instrument.name, callbacks, instrument.unit, instrument.description)
        for instrument in OF_PROCESS:
            callbacks = [partial(self._measured, instrument)]
            meter.create_observable_up_down_counter(instrument.name, callbacks, instrument.unit, instrument.description)
        for instrument in OF_FILE:
            callbacks = [partial(self._measured, instrument)]
            meter.create_observable_gauge(instrument.name, callbacks, instrument.unit, instrument.description)

    def add(self, cache: TokenCache, name: str) -> None:
        known = self._watched.get(name)
        if known is not None and known.is_open and not known.is_of(cache):
            raise ValueError(f"expected a name that no other open cache has, got {name!r}; pass name=")
        others = {
            key: watched for key, watched in self._watched.items() if watched.is_open and not watched.is_of(cache)
        }
        # Replaced in one step: another thread may be collecting.
        self._watched = {**others, name: known if known is not None and known.is_of(cache) else _Watched(cache, name)}

    def _counted(self, instrument: Instrument, _: CallbackOptions) -> Iterable[Observation]:
        return [observation for watched in self._watched.values() for observation in watched.counted(instrument)]

    def _measured(self, instrument: Instrument, _: CallbackOptions) -> Iterable[Observation]:
        return [observation for watched in self._watched.values() for observation in watched.measured(instrument)]


_lock = threading.Lock()
_known: weakref.WeakKeyDictionary[MeterProvider, _Caches] = weakref.WeakKeyDictionary()
_known_globally: _Caches | None = None


def _caches_at(meter_provider: MeterProvider | None) -> _Caches:
    # Instruments are made once for a provider: nobody could tell two of one name apart. Those that were made before the
    # program set its global provider have followed to that one.
    global _known_globally
    in_use = metrics.get_meter_provider()
    provider = in_use if meter_provider is None else meter_provider
    known = _known.get(provider)
    if known is None and provider is in_use:
        known = _known_globally
    if known is None:
        known = _known[provider] = _Caches(provider.get_meter("warmtoken", __version__))
    if provider is in_use:
        _known_globally = known
    return known


def _forget_lock_of_parent() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock_of_parent)
