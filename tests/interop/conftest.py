"""Caches at the time of the texts in support.msal_texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from support.msal_texts import NOW

from warmtoken import TokenCache
from warmtoken.testing import Clock

MakeCache = Callable[[], TokenCache]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.step_wall(NOW + 0.5 - clock.time())
    return clock


@pytest.fixture
def make_cache(tmp_path: Path, clock: Clock) -> Iterator[MakeCache]:
    """Makes empty caches."""
    with ExitStack() as stack:
        names = map(str, count())
        yield lambda: stack.enter_context(TokenCache(tmp_path / next(names), key=bytes(32), clock=clock))


@pytest.fixture
def cache(make_cache: MakeCache) -> TokenCache:
    return make_cache()
