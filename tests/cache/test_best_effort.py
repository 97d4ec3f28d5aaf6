"""Writes that may fail: what comes back, and what is logged."""

from __future__ import annotations

import logging

import pytest

from warmtoken.cache.best_effort import write_or_log
from warmtoken.errors import CacheFullError, ClientError


def test_what_the_write_returns_comes_back_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert write_or_log(lambda: 7, "it could not be stored") == 7
    assert caplog.records == []


@pytest.mark.parametrize("error", [CacheFullError("map_full", "no room"), ClientError("cache_closed", "closed")])
def test_a_cache_that_fails_is_logged_and_no_error(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    def fail() -> None:
        raise error

    assert write_or_log(fail, "it could not be stored") is None
    assert caplog.record_tuples == [("warmtoken", logging.ERROR, f"it could not be stored: {error}")]


def test_what_is_no_fault_of_the_cache_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        write_or_log(lambda: 1 // 0, "it could not be stored")
    assert caplog.records == []
