"""Kills writers right behind the meta page, so that readers do not see the commit, and looks how an application fares.

Under the preload shim: a directory, how many times. Prints the milliseconds until a fresh process had hits again, one
a line, and fails where an answer was older than an acknowledged write.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from isolated import shim
from isolated.oracle import number_of, secret
from isolated.support import KEY

from warmtoken import Account, PublicClientApplication, TokenCache, _engine
from warmtoken.cache.records import AccessTokenRecord
from warmtoken.cache.vault import NewTokens, Vault

ALICE = Account("alice", "idp.example.test")
SCOPE = ["orders.read"]
GIVE_UP = 30  # seconds
AGAIN_WARM = 100  # hits in a row


def application(directory: Path) -> PublicClientApplication:
    cache = TokenCache(directory, key=KEY)
    return PublicClientApplication("client", authority="https://idp.example.test", cache=cache)


def save(app: PublicClientApplication, number: int) -> None:
    context = app._context
    slot = context.slot(ALICE.home_account_id, context.authority)
    owner = slot.owner
    record = AccessTokenRecord(
        "alice",
        owner.authority,
        owner.client_id,
        slot.realm,
        "orders.read",
        secret(number),
        1,
        int(time.time()) + 3600,
    )
    app.cache.vault().save(NewTokens(slot, ("orders.read",), record))


def write_and_die(directory: Path, number: int) -> None:
    app = application(directory)
    app.cache.vault()
    shim.arm(shim.KILL_AFTER, shim.META_WRITE)
    save(app, number)
    os._exit(3)


def is_unseen(vault: Vault) -> bool:
    return _engine.read(vault.shared.store, _engine.META, b"none")[0] < vault.newest


def recover(directory: Path, number: int) -> None:
    """Ask until answers come from memory again, and print how long that took."""
    app = application(directory)
    assert is_unseen(app.cache.vault()), "the commit is visible already"
    since, warm = time.monotonic(), 0
    while warm < AGAIN_WARM:
        assert time.monotonic() < since + GIVE_UP, "hits do not come back"
        result = app.acquire_token_silent(SCOPE, ALICE)
        # The write was never acknowledged: the one before may be served until the file is healed.
        assert number_of(result.access_token) in (number - 1, number)
        warm = warm + 1 if result.metadata.cache_level == "L1" and number_of(result.access_token) == number else 0
    print(round(1000 * (time.monotonic() - since)), flush=True)
    assert app.cache.vault().shared.store.heals == 1
    save(app, number + 1)
    assert number_of(app.acquire_token_silent(SCOPE, ALICE).access_token) == number + 1


def in_child(work: object, *arguments: object) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)  # type: ignore[operator]
        except BaseException:  # noqa: BLE001 (it must not go on as its parent)
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def hold_open(directory: Path) -> None:
    """Let a process have the file open to our end: the first to open it would make all commits visible."""
    opened, end = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(end[1])
        vault = application(directory).cache.vault()
        os.write(opened[1], b".")
        os.read(end[0], 1)
        os._exit(vault.newest == 0)
    os.read(opened[0], 1)


def main(directory: Path, times: int) -> None:
    assert in_child(lambda: save(application(directory), 1)) == 0
    hold_open(directory)
    for round_ in range(times):
        number = 2 + 2 * round_
        assert in_child(write_and_die, directory, number) == -signal.SIGKILL
        assert in_child(recover, directory, number) == 0


main(Path(sys.argv[1]), int(sys.argv[2]))
