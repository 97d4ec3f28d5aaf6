"""Processes with MSAL share one cache, and a kill leaves no half of a token reply."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from isolated.msal_events import CLIENT, HOST, TENANT, signed_in
from isolated.support import KEY, finish, run, start

from warmtoken import TokenCache
from warmtoken.cache import byte_locks
from warmtoken.interop import msal as interop

KINDS = ("AccessToken", "RefreshToken", "IdToken", "Account")


@pytest.fixture
def cache(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[interop.TokenCache]:
    monkeypatch.setattr(byte_locks, "GATE_DEADLINE", 60.0)  # on a busy machine two seconds may not be enough for all
    with TokenCache(directory, key=KEY) as shared:
        yield interop.TokenCache(shared)


def token_of(cache: Any, user: str) -> list[str]:
    query = {"client_id": CLIENT, "environment": HOST, "realm": TENANT, "home_account_id": f"{user}.{TENANT}"}
    return [entry["secret"] for entry in cache.search("AccessToken", ["User.Read"], query)]


def test_what_another_process_adds_and_removes_is_seen(cache: Any, directory: Path) -> None:
    assert token_of(cache, "user0") == []
    for expected in (2, 4):
        finish(start("msal_adds.py", directory, expected))
        assert [token_of(cache, f"user{number}") for number in range(expected)] == [
            [f"at of user{number}"] for number in range(expected)
        ]
        assert len(list(cache.search("Account", query={"environment": HOST}))) == expected


def test_processes_that_add_at_the_same_time_lose_nothing(cache: Any, directory: Path) -> None:
    adding = start("msal_adds.py", directory, 30)
    for number in range(100, 130):
        cache.add(signed_in(f"user{number}"))
    finish(adding)
    for number in (*range(30), *range(100, 130)):
        assert token_of(cache, f"user{number}") == [f"at of user{number}"]


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_leaves_all_of_a_reply_or_nothing(cache: Any, directory: Path, seed: int) -> None:
    adding = start("msal_adds.py", directory)
    assert adding.stdout is not None
    last = random.Random(seed).randrange(2, 20)
    while (said := adding.stdout.readline()) != f"adding {last}\n":
        assert said
    adding.kill()
    rest = adding.communicate()[0].split("\n")
    begun = max([last, *(int(line.split()[1]) for line in rest if line.count(" ") == 1 and line.split()[1])])
    users: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for kind in KINDS:
        users[kind] = {entry["home_account_id"].partition(".")[0] for entry in cache.search(kind, query={})}
    assert len({frozenset(found) for found in users.values()}) == 1, users
    complete = {f"user{number}" for number in range(begun)}
    assert complete <= users["AccessToken"] <= complete | {f"user{begun}"}
    cache.add(signed_in("next"))
    assert token_of(cache, "next") == ["at of next"]


def test_a_forked_child_goes_on_with_the_cache(directory: Path) -> None:
    assert run("msal_fork.py", directory) == "done\n"


def test_threads_add_and_search_at_the_same_time(cache: Any) -> None:
    wrong: list[str] = []

    def use(name: str) -> None:
        for number in range(10):
            user = f"{name}-{number}"
            cache.add(signed_in(user))
            found = token_of(cache, user), len(list(cache.search("Account", query={"environment": HOST}))) > number
            if found != ([f"at of {user}"], True):
                wrong.append(user)

    threads = [threading.Thread(target=use, args=(f"thread{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(list(cache.search("Account", query={"environment": HOST}))) == 40
