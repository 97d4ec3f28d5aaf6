"""Measures MSAL Python's application on its own cache, on msal-extensions' and on ours: `python -m benches.dropin`.

The applications are the same and so are the calls; only `token_cache=` differs. Each cache has an access token for
three scopes, an id token and an account for each of 1, 1,000 and 100,000 users.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from benches.baselines import msal_extensions_cache
from benches.baselines.msal_extensions_cache import MsalExtensions
from benches.baselines.msal_python import MsalPython
from benches.competitors import filled_msal, save_in_msal
from benches.crowd import Users
from benches.markdown import duration, times
from benches.population import AUTHORITY, CLIENT_ID, MISSING, SCOPES, SUBSET, user
from benches.report import Report, is_quick, scratch
from benches.separate import alone, processes
from warmtoken.interop.msal import SerializableTokenCache

SIZES, QUICK_SIZES = (1, 1_000, 100_000), (1, 100)
SECONDS, QUICK_SECONDS = 1.0, 0.05  # for each cell, if a call takes no longer
LEAST, MOST = 5, 5_000  # calls
ROUNDS = 30  # of another process's adds; LEAST where one takes long
SLOW = 0.2  # seconds
MTIME_STEP = 0.02  # seconds: msal-extensions reads its file again only where the time of the file is later than its own

MSAL, EXTENSIONS, OURS = "MSAL's own cache", "msal-extensions", "warmtoken"
HIT, AFTER_ADD = "hit, same scopes", "a hit after another process's add"
SUBSET_HIT, MISS, ACCOUNTS = "hit, some of the scopes", "certain miss", "get_accounts"
ADD, ADD_ALONE = "one add, for others to read", "one add, in memory alone"
CELLS = (HIT, SUBSET_HIT, MISS, ACCOUNTS, ADD, ADD_ALONE, AFTER_ADD)

Figures = dict[str, float | None]
Open = Callable[[Path], MsalPython]


def main() -> None:
    """Measure each size, each competitor in processes of its own, one after the other."""
    quick = is_quick("dropin", "Measure MSAL Python's application on three caches.")
    sizes, seconds = (QUICK_SIZES, QUICK_SECONDS) if quick else (SIZES, SECONDS)
    report = Report("dropin", quick, "MSAL Python's application by its token_cache=")
    report.figures = {f"{size:,}": _measured(size, int(time.time()), seconds) for size in sizes}
    report.rows = _rows(report.figures)
    report.notes = [
        "Medians. The last column is the fastest of the others by warmtoken: above 1x warmtoken is faster.",
        "MSAL's own cache is written to a file by the recipe of its documentation; it sees no other process's add.",
        "Only warmtoken's adds are synced to the disk.",
    ]
    report.publish()


def _measured(size: int, now: int, seconds: float) -> dict[str, Figures]:
    with scratch() as name:
        directory = Path(name)
        alone(_fill_ours, directory, size, now)
        return {
            MSAL: alone(_measure_own, size, now, seconds),
            EXTENSIONS: alone(_measure_extensions, directory, size, now, seconds),
            OURS: alone(_measure_ours, directory, size, now, seconds),
        }


# --- the three caches ---


def _fill_ours(directory: Path, size: int, now: int) -> None:
    _crowd(directory, size, now).fill()
    save_in_msal(_ours(directory), user(size // 2, now))  # what MSAL alone writes: that the client is known


def _crowd(directory: Path, size: int, now: int) -> Users:
    return Users(directory / "warmtoken", size, now)


def _ours(directory: Path) -> MsalPython:
    kept = _crowd(directory, max(SIZES), 0).cache()
    return MsalPython(CLIENT_ID, AUTHORITY, SerializableTokenCache(kept))


def _extensions(directory: Path) -> MsalPython:
    return MsalExtensions(CLIENT_ID, AUTHORITY, directory)


def _measure_own(size: int, now: int, seconds: float) -> Figures:
    own = filled_msal([user(number, now) for number in range(size)])
    figures = _calls(own, size, now, seconds)
    with scratch() as name:
        added = _adding(own, size + ROUNDS, now, seconds, lambda: _write(own, Path(name)))
    return {**figures, ADD_ALONE: figures[ADD], ADD: added, AFTER_ADD: None}


def _write(own: MsalPython, directory: Path) -> None:
    (directory / "msal_cache.bin").write_text(own.token_cache.serialize())


def _measure_extensions(directory: Path, size: int, now: int, seconds: float) -> Figures:
    msal_extensions_cache.write(directory, filled_msal([user(number, now) for number in range(size)]))
    return _shared(_extensions, directory, size, now, seconds)


def _measure_ours(directory: Path, size: int, now: int, seconds: float) -> Figures:
    return _shared(_ours, directory, size, now, seconds)


def _shared(open_cache: Open, directory: Path, size: int, now: int, seconds: float) -> Figures:
    reader = open_cache(directory)
    figures = _calls(reader, size, now, seconds)
    return {**figures, ADD_ALONE: None, AFTER_ADD: _after_add(open_cache, reader, directory, size, now)}


# --- the calls ---


def _calls(msal: MsalPython, size: int, now: int, seconds: float) -> Figures:
    acquire, middle = msal.public.acquire_token_silent, user(size // 2, now)
    account = {"home_account_id": middle.account.home_account_id}
    assert acquire(SCOPES, account)["access_token"] == middle.access_token
    assert acquire(SUBSET, account)["access_token"] == middle.access_token
    assert acquire(MISSING, account) is None
    assert len(msal.public.get_accounts()) == size
    return {
        HIT: _median(lambda: acquire(SCOPES, account), seconds),
        SUBSET_HIT: _median(lambda: acquire(SUBSET, account), seconds),
        MISS: _median(lambda: acquire(MISSING, account), seconds),
        ACCOUNTS: _median(msal.public.get_accounts, seconds),
        ADD: _adding(msal, size, now, seconds, lambda: None),
    }


def _adding(msal: MsalPython, first: int, now: int, seconds: float, keep: Callable[[], None]) -> float:
    waiting = iter([user(number, now) for number in range(first, first + ROUNDS)])

    def add() -> None:
        save_in_msal(msal, next(waiting))
        keep()

    return _median(add, seconds, most=ROUNDS - 1)


def _after_add(open_cache: Open, reader: MsalPython, directory: Path, size: int, now: int) -> float:
    middle = user(size // 2, now)
    account = {"home_account_id": middle.account.home_account_id}
    found: list[float] = []
    with processes() as writer:
        while len(found) < (ROUNDS if sum(found) < SLOW * len(found) or not found else LEAST):
            time.sleep(MTIME_STEP)
            writer.submit(_add, open_cache, directory, size + MOST + len(found), now).result()
            start = time.perf_counter()
            result = reader.public.acquire_token_silent(SCOPES, account)
            found.append(time.perf_counter() - start)
            assert result["access_token"] == middle.access_token
        last = user(size + MOST + len(found) - 1, now)
        theirs = {"home_account_id": last.account.home_account_id}
        assert reader.public.acquire_token_silent(SCOPES, theirs)["access_token"] == last.access_token
    return statistics.median(found)


@cache
def _opened(open_cache: Open, directory: Path) -> MsalPython:
    return open_cache(directory)


def _add(open_cache: Open, directory: Path, number: int, now: int) -> None:
    save_in_msal(_opened(open_cache, directory), user(number, now))


def _median(call: Callable[[], object], seconds: float, *, most: int = MOST) -> float:
    call()
    taken: list[float] = []
    while len(taken) < min(LEAST, most) or (len(taken) < most and sum(taken) < seconds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


# --- the table ---


def _rows(measured: dict[str, dict[str, Figures]]) -> list[list[str]]:
    rows = [["tokens", "call", MSAL, EXTENSIONS, OURS, "fastest other / warmtoken"]]
    for size, by_cache in measured.items():
        rows += [[size, cell, *_row([by_cache[name][cell] for name in (MSAL, EXTENSIONS, OURS)])] for cell in CELLS]
    return rows


def _row(figures: list[float | None]) -> list[str]:
    others = [figure for figure in figures[:-1] if figure is not None]
    ours = figures[-1]
    shown = ["-" if figure is None else duration(figure) for figure in figures]
    return [*shown, "-" if ours is None else times(min(others) / ours)]


if __name__ == "__main__":
    main()
