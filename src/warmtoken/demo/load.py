"""The load: one loop over one method, the same for every cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from warmtoken.demo.figures import Figures, timer_cost
from warmtoken.demo.stage import SCOPES
from warmtoken.errors import UiRequiredError
from warmtoken.models import Account

BATCH = 256
REPORT_SECONDS = 0.25
ERROR_PAUSE = 0.05  # seconds; a cache that fails must not flood the report
NANOSECONDS = 1_000_000_000


class Token(Protocol):
    """What both caches hand out."""

    @property
    def access_token(self) -> str: ...
    @property
    def expires_on(self) -> int: ...


class Load:
    """Calls `acquire(scopes, account)` in batches for some seconds; one call of each batch is timed by itself.

    `is_hit` tells of a token not seen before whether the cache had it. `report` gets the figures now and then, `ask`
    is called where only the user can help; waiting for the user does not count as time under load.
    """

    def __init__(
        self,
        acquire: Callable[[list[str], Account], Token],
        is_hit: Callable[[Token], bool],
        account: Account,
        *,
        report: Callable[[Figures], None],
        ask: Callable[[UiRequiredError], None],
    ) -> None:
        self._acquire = acquire
        self._is_hit = is_hit
        self._account = account
        self._report = report
        self._ask = ask
        self._figures = Figures()
        self._last: Token | None = None
        self._timer = timer_cost()

    def run(self, seconds: float) -> Figures:
        """Run, and return the figures that were not reported yet."""
        reported = time.perf_counter_ns()
        deadline = reported + int(seconds * NANOSECONDS)
        while (now := time.perf_counter_ns()) < deadline:
            if now - reported > REPORT_SECONDS * NANOSECONDS:
                self._report(self._counted(now - reported))
                reported = now
            waited = self._step()
            deadline += waited
            reported += waited
        return self._counted(now - reported)

    def _counted(self, nanoseconds: int) -> Figures:
        counted, self._figures = self._figures, Figures()
        counted.seconds = nanoseconds / NANOSECONDS
        return counted

    def _step(self) -> int:
        """Run one batch and return the nanoseconds that went by in waiting for the user."""
        try:
            self._timed_call()
            self._batch()
        except UiRequiredError as error:
            since = time.perf_counter_ns()
            self._ask(error)
            return time.perf_counter_ns() - since
        except Exception as error:  # noqa: BLE001  whatever a call raises is counted and shown
            self._figures.errors.append(f"{type(error).__name__}: {error}")
            time.sleep(ERROR_PAUSE)
        return 0

    def _batch(self) -> None:
        acquire, account, last, misses = self._acquire, self._account, self._last, 0
        for _ in range(BATCH):
            token = acquire(SCOPES, account)
            if token is not last:
                misses += not self._note(token)
                last = token
        self._figures.hits += BATCH - misses

    def _timed_call(self) -> None:
        clock, now = time.perf_counter_ns, time.time()
        since = clock()
        token = self._acquire(SCOPES, self._account)
        took = clock() - since
        if token.expires_on <= now:
            self._figures.errors.append(f"an expired token was handed out, {now - token.expires_on:.3f} s too late")
        if token is self._last or self._note(token):
            self._figures.sample(max(0, took - self._timer))

    def _note(self, token: Token) -> bool:
        self._last = token
        self._figures.sightings.see(token.access_token, token.expires_on, time.time())
        return self._is_hit(token)
