"""Measures what another process's write costs a reader, and MSAL's large caches: `python -m benches.neighbours`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from benches.baselines import msal_extensions_cache
from benches.baselines.msal_extensions_cache import MsalExtensions
from benches.baselines.msal_python import MsalPython
from benches.competitors import filled_msal, save_in_msal
from benches.crowd import Users
from benches.lookups import REVISITED, check_hit
from benches.markdown import duration
from benches.ours import new_tokens
from benches.population import AUTHORITY, CLIENT_ID, CROWD_LIFETIME, MISSING, SCOPES, own_token, user
from benches.report import Report, is_quick, scratch
from benches.separate import alone, processes
from warmtoken import TokenCache

ACCOUNTS, QUICK_ACCOUNTS = 1_000, 100  # where another process writes, and in the file of msal-extensions
USERS, QUICK_USERS = 2_000, 200  # in MSAL's memory
PARTITION, QUICK_PARTITION = 164_663, 1_000
ROUNDS, QUICK_ROUNDS = 30, 3
SEARCHES = 5
MTIME_STEP = 0.02  # seconds: msal-extensions reads its file again only where the time of the file is later than its own


def main() -> None:
    """Measure one after the other, each in processes of its own."""
    quick = is_quick("neighbours", "Measure reading beside another process that writes, and MSAL's large caches.")
    accounts, users, partition, rounds = (
        (QUICK_ACCOUNTS, QUICK_USERS, QUICK_PARTITION, QUICK_ROUNDS) if quick else (ACCOUNTS, USERS, PARTITION, ROUNDS)
    )
    now = int(time.time())
    with scratch() as name:
        directory = Path(name)
        crowd = Users(directory / "warmtoken", accounts, now)
        alone(crowd.fill)
        figures: dict[str, Any] = alone(_ours_beside_a_writer, crowd, rounds)
        figures |= alone(_msal_extensions_beside_a_writer, directory, accounts, now, rounds)
    figures |= alone(_msal_adding, users, now, rounds)
    figures |= alone(_msal_misses, partition, now)
    figures |= {"accounts": accounts, "users": users, "partition": partition}
    _publish(quick, figures)


# --- lookups after another process wrote something else ---


def _ours_beside_a_writer(crowd: Users, rounds: int) -> dict[str, float]:
    numbers = crowd.numbers(REVISITED, 1)[0]
    calls = [crowd.call(number) for number in numbers]
    walks, firsts = [], []
    with crowd.cache() as kept, processes() as writer:
        acquire, vault = crowd.acquire(kept), kept.vault()
        for call in calls:
            acquire(*call)
        for number in range(2 * rounds):
            before = vault.newest
            writer.submit(_commit, crowd, number).result()
            assert vault.newest > before
            asked = calls[:1] if number % 2 else calls
            start = time.perf_counter()
            for call in asked:
                last = acquire(*call)
            (firsts if number % 2 else walks).append((time.perf_counter() - start) / len(asked))
            assert last.access_token == crowd.entry(numbers[len(asked) - 1]).access_token
        for number, call in zip(numbers, calls, strict=True):
            check_hit(crowd, acquire, call, number)
    return {"ours_beside_writer": statistics.median(walks), "ours_first_beside_writer": statistics.median(firsts)}


@cache
def _kept(crowd: Users) -> TokenCache:
    return crowd.cache()


def _commit(crowd: Users, number: int) -> None:
    _kept(crowd).vault().save(new_tokens(crowd.added(number)))


def _msal_extensions_beside_a_writer(directory: Path, accounts: int, now: int, rounds: int) -> dict[str, float]:
    msal_extensions_cache.write(directory, filled_msal([user(number, now) for number in range(accounts)]))
    reader = MsalExtensions(CLIENT_ID, AUTHORITY, directory)
    middle = user(accounts // 2, now)
    [account] = reader.public.get_accounts(username=middle.account.username)
    firsts, adds = [], []
    with processes() as writer:
        for number in range(accounts, accounts + rounds):
            reader.public.acquire_token_silent(SCOPES, account)
            time.sleep(MTIME_STEP)
            adds.append(writer.submit(_add_to_file, directory, number, now).result())
            start = time.perf_counter()
            result = reader.public.acquire_token_silent(SCOPES, account)
            firsts.append(time.perf_counter() - start)
            assert result["access_token"] == middle.access_token
            assert _has(reader, number, now), "expected msal-extensions to have read its file again"
    return {"extensions_beside_writer": statistics.median(firsts), "extensions_add": statistics.median(adds)}


@cache
def _writer(directory: Path) -> MsalExtensions:
    return MsalExtensions(CLIENT_ID, AUTHORITY, directory)


def _add_to_file(directory: Path, number: int, now: int) -> float:
    return _seconds(save_in_msal, _writer(directory), user(number, now))


def _has(msal: MsalPython, number: int, now: int) -> bool:
    entry = user(number, now)
    state: dict[str, Any] = msal.token_cache._cache["AccessToken"]  # its own methods would read the file again
    return any(token["secret"] == entry.access_token for token in state.values())


# --- MSAL's large caches, in memory ---


def _msal_adding(users: int, now: int, rounds: int) -> dict[str, float]:
    msal = filled_msal([user(number, now) for number in range(users)])
    seconds = [_seconds(save_in_msal, msal, user(users + number, now)) for number in range(rounds)]
    assert len(msal.public.get_accounts()) == users + rounds
    return {"msal_add": statistics.median(seconds)}


def _msal_misses(partition: int, now: int) -> dict[str, float]:
    msal = MsalPython(CLIENT_ID, AUTHORITY)
    for entry in (own_token(number, now) for number in range(partition)):
        msal.save_for_client(entry.scopes, access_token=entry.access_token, lifetime=CROWD_LIFETIME)
    middle = own_token(partition // 2, now)
    assert msal.confidential.acquire_token_for_client(list(middle.scopes))["access_token"] == middle.access_token
    assert msal.find_access_tokens(MISSING, None) == []
    seconds = [_seconds(msal.find_access_tokens, MISSING, None) for _ in range(SEARCHES)]
    return {"msal_miss": statistics.median(seconds)}


def _seconds(function: Callable[..., object], *args: Any) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def _publish(quick: bool, figures: dict[str, Any]) -> None:
    report = Report("neighbours", quick, "Beside another process that writes, and what MSAL's caches take when large")
    report.notes = ["Medians of each call."]
    report.figures = figures
    accounts, users, partition = (f"{figures[name]:,}" for name in ("accounts", "users", "partition"))
    cases = {
        f"warmtoken: {REVISITED} users' first lookups after another process wrote, each ({accounts} users)": (
            "ours_beside_writer"
        ),
        "warmtoken: only the first of them": "ours_first_beside_writer",
        f"msal-extensions: first lookup after another process wrote ({accounts} users)": "extensions_beside_writer",
        f"msal-extensions: add one user to {accounts}": "extensions_add",
        f"MSAL Python: add one user to {users}": "msal_add",
        f"MSAL Python: certain miss in {partition} tokens of one partition": "msal_miss",
    }
    report.rows = [["case", "time"], *([case, duration(figures[name])] for case, name in cases.items())]
    report.publish()


if __name__ == "__main__":
    main()
