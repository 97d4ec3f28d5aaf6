"""Measures what happens when a token that many processes use has expired: `python -m benches.stampede`.

The provider of `warmtoken.testing` rotates refresh tokens, and revokes the whole sign-in when an old one comes again
(RFC 9700, section 4.14).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier
from typing import Any

from benches.baselines import msal_on_loopback
from benches.competitors import OURS
from benches.markdown import duration
from benches.ours import KEY
from benches.report import Report, is_quick, scratch
from benches.separate import processes
from warmtoken import PublicClientApplication, TokenCache, WarmTokenError
from warmtoken.testing import IdentityProvider

THEIRS = "MSAL Python + msal-extensions"
PROCESSES, QUICK_PROCESSES = 12, 4
RUNS, QUICK_RUNS = 7, 1
SCOPES = ["orders.read"]
CLIENT_ID, USER = "cli", "alice@example.test"
SHORT, LONG = 1, 3600  # seconds of a token's life, before and after the crowd comes
DELAY = 0.1  # seconds that the provider takes for a token
PATIENCE = 120.0  # seconds

SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to; `seconds` until the last process had its answer, `alive` whether the session is."""

    refreshes: int
    refused: int
    replays: int
    successes: int
    failures: list[str]
    seconds: float
    alive: bool


@dataclass(frozen=True, slots=True)
class Side:
    """How one of those compared signs in, asks for a token without the user, and finds out whether it still can.

    All get the issuer and a directory; `open_silent` returns the call, and `is_alive` demands a refresh.
    """

    sign_in: Callable[[IdentityProvider, Path], None]
    open_silent: Callable[[str, Path], Callable[[], str]]
    is_alive: Callable[[str, Path], bool]


def main() -> None:
    """Let both sides run in turn."""
    quick = is_quick("stampede", "Let 12 processes ask at once for a token that has expired.")
    count, runs = (QUICK_PROCESSES, QUICK_RUNS) if quick else (PROCESSES, RUNS)
    measured: dict[str, list[Run]] = {name: [] for name in SIDES}
    for _ in range(runs):
        for name in SIDES:
            measured[name].append(_run(name, count))
    _publish(quick, count, measured)


def _run(name: str, count: int) -> Run:
    side = SIDES[name]
    with scratch() as directory, IdentityProvider() as idp, get_context("spawn").Manager() as manager:
        idp.device_interval, idp.access_token_lifetime = 0, SHORT
        side.sign_in(idp, Path(directory))
        time.sleep(SHORT + 0.1)
        idp.access_token_lifetime, idp.token_delay = LONG, DELAY
        idp.reset_counters()
        barrier = manager.Barrier(count)
        with processes(count) as pool:
            asked = [pool.submit(_ask, name, idp.issuer, Path(directory), barrier) for _ in range(count)]
            answers = [each.result() for each in asked]
        counters = idp.counters
        alive = side.is_alive(idp.issuer, Path(directory))
    outcomes = [outcome for outcome, _ in answers]
    return Run(
        counters.grants.get("refresh_token", 0),
        counters.refreshes_refused,
        counters.replays_detected,
        outcomes.count(SUCCESS),
        sorted(outcome for outcome in outcomes if outcome != SUCCESS),
        max(seconds for _, seconds in answers),
        alive,
    )


def _ask(name: str, issuer: str, directory: Path, barrier: Barrier) -> tuple[str, float]:
    acquire = SIDES[name].open_silent(issuer, directory)
    barrier.wait(PATIENCE)
    start = time.perf_counter()
    return acquire(), time.perf_counter() - start


# --- warmtoken ---


def _application(issuer: str, directory: Path) -> PublicClientApplication:
    return PublicClientApplication(CLIENT_ID, authority=issuer, cache=TokenCache(directory / "warmtoken", key=KEY))


def _sign_in(idp: IdentityProvider, directory: Path) -> None:
    with _application(idp.issuer, directory) as application, application.cache:
        application.acquire_token_by_device_code(
            [*SCOPES, "offline_access"], on_user_code=lambda code: idp.approve_device(code.user_code, USER)
        )


def _open_silent(issuer: str, directory: Path) -> Callable[[], str]:
    application = _application(issuer, directory)
    [account] = application.get_accounts()

    def acquire() -> str:
        try:
            return SUCCESS if application.acquire_token_silent(SCOPES, account).access_token else "no token"
        except WarmTokenError as error:
            return error.code

    return acquire


def _is_alive(issuer: str, directory: Path) -> bool:
    with _application(issuer, directory) as application, application.cache:
        try:
            application.acquire_token_silent(SCOPES, application.get_accounts()[0], force_refresh=True)
        except WarmTokenError:
            return False
        return True


# --- MSAL Python and msal-extensions ---


def _sign_in_theirs(idp: IdentityProvider, directory: Path) -> None:
    application = msal_on_loopback.application(CLIENT_ID, idp.issuer, directory)
    flow = application.initiate_device_flow(SCOPES)
    idp.approve_device(flow["user_code"], USER)
    assert "access_token" in application.acquire_token_by_device_flow(flow)


def _open_silent_theirs(issuer: str, directory: Path) -> Callable[[], str]:
    application = msal_on_loopback.application(CLIENT_ID, issuer, directory)
    [account] = application.get_accounts()
    return lambda: _outcome(application, account, force_refresh=False)


def _is_alive_theirs(issuer: str, directory: Path) -> bool:
    application = msal_on_loopback.application(CLIENT_ID, issuer, directory)
    return any(_outcome(application, account, force_refresh=True) == SUCCESS for account in application.get_accounts())


def _outcome(application: Any, account: dict[str, Any], *, force_refresh: bool) -> str:
    try:
        result = application.acquire_token_silent_with_error(SCOPES, account, force_refresh=force_refresh)
    except Exception as error:  # noqa: BLE001  whatever it is, this process has no token
        return type(error).__name__
    if result is None:
        return "nothing found"
    return SUCCESS if "access_token" in result else str(result.get("error"))


SIDES = {
    OURS: Side(_sign_in, _open_silent, _is_alive),
    THEIRS: Side(_sign_in_theirs, _open_silent_theirs, _is_alive_theirs),
}


def _publish(quick: bool, count: int, measured: dict[str, list[Run]]) -> None:
    report = Report("stampede", quick, f"{count} processes, one expired token, all at once; refresh tokens rotate")
    report.notes = [f"{len(measured[OURS])} runs; the provider takes {DELAY * 1e3:.0f} ms for a token."]
    report.figures = {name: [asdict(run) for run in runs] for name, runs in measured.items()}
    report.figures["processes"] = count
    report.rows = [["", "refresh requests", "replays", "processes with a token", "last answer after", "session alive"]]
    report.rows += [_row(name, runs, count) for name, runs in measured.items()]
    report.publish()


def _row(name: str, runs: list[Run], count: int) -> list[str]:
    return [
        name,
        _span([run.refreshes for run in runs]),
        _span([run.replays for run in runs]),
        f"{_span([run.successes for run in runs])} of {count}",
        duration(statistics.median(run.seconds for run in runs)),
        f"{sum(run.alive for run in runs)} of {len(runs)} runs",
    ]


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
