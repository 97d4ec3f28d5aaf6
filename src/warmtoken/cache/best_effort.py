"""Writes to the cache that may fail: what was to be written serves its caller all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from warmtoken.errors import CacheError, ClientError

T = TypeVar("T")


def write_or_log(write: Callable[[], T], failure: str) -> T | None:
    """Return what `write` returns; where the cache fails, log that as `failure` and return None."""
    try:
        return write()
    except (CacheError, ClientError) as error:  # full, locked, or closed meanwhile
        import logging

        logging.getLogger("warmtoken").error("%s: %s", failure, error)  # noqa: TRY400
        return None
