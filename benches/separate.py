"""Runs functions in processes of their own, which start with nothing in memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def processes(count: int = 1) -> ProcessPoolExecutor:
    """Return fresh interpreters; use as a context manager, its `submit` and `map` run functions there."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function returns in a process of its own."""
    with processes() as process:
        return process.submit(function, *args).result()
