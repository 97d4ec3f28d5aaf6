"""Runs MSAL Python's tests with its own cache classes or with ours: `python run.py DIRECTORY msal|warmtoken [TEST …]`.

DIRECTORY holds the package `tests`; without names all of it is run. Prints one JSON object: the outcome of each test
by its name.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import canned  # beside this file
import msal

MODULES = ("test_token_cache", "test_application", "test_mi", "test_account_source", "test_ccs")
PLACES = ("msal", "msal.token_cache", "msal.application", "msal.managed_identity")
NAMES = ("TokenCache", "SerializableTokenCache")
MEMORY = "/dev/shm"  # noqa: S108 (for hundreds of caches, of which nothing has to last)


class Outcomes(unittest.TestResult):
    """The outcome of each test."""

    def __init__(self) -> None:
        super().__init__()
        self.by_test: dict[str, str] = {}

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.by_test.setdefault(test.id(), "passed")

    def addError(self, test: Any, err: Any) -> None:
        self.by_test[test.id()] = f"error: {err[0].__name__}: {err[1]}"

    def addFailure(self, test: Any, err: Any) -> None:
        self.by_test[test.id()] = f"failed: {err[1]}"

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.by_test[test.id()] = "skipped"

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self.addFailure(test, err)


def substitute(scratch: str) -> None:
    """Put our classes in the place of MSAL's, each object with a cache of its own.

    The caches' clock stands at 1970: some of the tests add tokens of that time, which a write would sweep.
    """
    import warmtoken
    from warmtoken.interop import msal as ours
    from warmtoken.testing import Clock

    numbers = itertools.count()

    def new_cache() -> warmtoken.TokenCache:
        clock = Clock()
        clock.advance(-clock.time())
        return warmtoken.TokenCache(Path(scratch) / str(next(numbers)), key=bytes(32), clock=clock)

    class TokenCache(ours.TokenCache):
        def __init__(self) -> None:
            super().__init__(new_cache())

    class SerializableTokenCache(ours.SerializableTokenCache):
        def __init__(self) -> None:
            super().__init__(new_cache())

    for place, name in itertools.product(PLACES, NAMES):
        if hasattr(sys.modules[place], name):
            setattr(sys.modules[place], name, {"TokenCache": TokenCache}.get(name, SerializableTokenCache))


def main() -> None:
    """Run the tests and print what came of them."""
    directory, whose, *names = sys.argv[1:]
    sys.path.insert(0, directory)
    canned.install()
    outcomes = Outcomes()
    memory = MEMORY if Path(MEMORY).is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch, mock.patch("sys.stdout", sys.stderr):
        if whose == "warmtoken":
            substitute(scratch)
        chosen = names or [f"tests.{module}" for module in MODULES]
        unittest.defaultTestLoader.loadTestsFromNames(chosen).run(outcomes)
    print(json.dumps({"msal": msal.__version__, "outcomes": outcomes.by_test}))


if __name__ == "__main__":
    main()
