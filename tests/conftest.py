"""Fixtures for all tests."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from isolated.support import FileReader, UnhurriedHits

from warmtoken import _engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# How long an example takes says something of the machine and what else it does, nothing of what is tested.
settings.register_profile("warmtoken", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("warmtoken")


def pytest_configure() -> None:
    # A shell that starts a job in the background lets it ignore Ctrl-C, and so all that the job starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The path of a cache that is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at a cache file is due for a minute: what was found in it comes from memory all that time."""
    monkeypatch.setattr(_engine, "Hits", UnhurriedHits)


@pytest.fixture(scope="session")
def file_reader() -> Iterator[FileReader]:
    """A process that reads cache files with py-lmdb."""
    reader = FileReader()
    yield reader
    reader.close()
