"""Uses a cache for MSAL on both sides of a fork: a directory. The child is made while another thread adds tokens."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from msal_events import CLIENT, HOST, TENANT, signed_in
from support import KEY  # beside this file

from warmtoken import TokenCache
from warmtoken.interop import msal as interop


def token_of(cache: Any, user: str) -> list[str]:
    query = {"client_id": CLIENT, "environment": HOST, "realm": TENANT, "home_account_id": f"{user}.{TENANT}"}
    return [entry["secret"] for entry in cache.search("AccessToken", ["User.Read"], query)]


def in_child(cache: Any) -> None:
    assert token_of(cache, "before") == ["at of before"]
    assert token_of(cache, "child") == []
    cache.add(signed_in("child"))
    assert token_of(cache, "child") == ["at of child"]


def fork(cache: Any) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        in_child(cache)
    except BaseException:  # noqa: BLE001 (a child must not go on as the parent)
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(directory: Path) -> None:
    cache = interop.TokenCache(TokenCache(directory, key=KEY))
    cache.add(signed_in("before"))
    assert token_of(cache, "before") == ["at of before"]
    assert token_of(cache, "child") == []
    ended = threading.Event()
    begun = threading.Event()

    def add_on() -> None:
        number = 0
        while not ended.is_set():
            cache.add(signed_in(f"thread{number}"))
            begun.set()
            number += 1

    adding = threading.Thread(target=add_on)
    adding.start()
    begun.wait()
    status = fork(cache)
    ended.set()
    adding.join()
    assert status == 0
    assert token_of(cache, "child") == ["at of child"]
    print("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
