"""The play: a sign-in, workers that share a cache, expiries, a revocation, the fallback, and the other cache."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from warmtoken.demo.acts import Acts
from warmtoken.demo.crew import hired
from warmtoken.demo.live_table import HEADER
from warmtoken.demo.outcome import Outcome
from warmtoken.demo.provider_process import identity_provider
from warmtoken.demo.screen import Screen
from warmtoken.demo.stage import Shared
from warmtoken.errors import WarmTokenError

TERMINATED = 143  # as shells count a program that SIGTERM ended


@dataclass(frozen=True, slots=True)
class Show:
    """What was asked for on the command line; `seconds` are those of load on each of the two caches."""

    workers: int
    seconds: float
    browser: bool
    as_json: bool


def play(show: Show) -> int:
    """Run the demo and return the exit code: 0 where all was as it should be, else 1."""
    before = signal.signal(signal.SIGTERM, _leave)
    screen = Screen(sys.stdout, HEADER)
    try:
        outcome = _perform(show, screen)
    except (WarmTokenError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        sys.stderr.write(f"warmtoken demo: {error}\n")
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return _conclude(show, screen, outcome)


def _leave(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def _perform(show: Show, screen: Screen) -> Outcome:
    with _directory() as directory, identity_provider() as provider:
        screen.line(f"an identity provider listens at {provider.issuer}")
        with hired(show.workers) as crew:
            screen.line(f"{show.workers} worker processes have started; they share the cache in {directory}")
            shared = Shared(provider.issuer, directory, os.urandom(32))
            with shared.application() as application, application.cache:
                acts = Acts(provider, crew, screen, workers=show.workers, seconds=show.seconds)
                return acts.play(shared, application, by_hand=show.browser)


@contextlib.contextmanager
def _directory() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="warmtoken-demo-", ignore_cleanup_errors=True) as directory:
        yield Path(directory).resolve() / "cache"


def _conclude(show: Show, screen: Screen, outcome: Outcome) -> int:
    heading, *rows = outcome.comparison()
    for line in ("", screen.strong(heading), *rows, ""):
        screen.line(line)
    problems = outcome.problems()
    if not problems:
        refreshes, others = outcome.provider.refreshes_granted, outcome.separate_refreshes
        screen.line(screen.good(f"{refreshes} tokens expired and cost {refreshes} refreshes, one for all workers."))
        screen.line(f"Each with a cache of its own, the workers asked {others} times; with the refresh tokens rotated")
        screen.line("as before, the second to ask would have used a spent one, and lost the user's session.")
    if show.as_json:
        screen.line(json.dumps(outcome.as_json()))
    for problem in problems:
        sys.stderr.write(f"warmtoken demo: {problem}\n")
    return 1 if problems else 0
