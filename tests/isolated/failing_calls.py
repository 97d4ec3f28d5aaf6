"""Opens a cache and writes while the n-th call of a kind fails, for n = 1, 2, … until none fails; all goes on after it.

Under the preload shim: a directory; "create", "open" or "put": whether the call fails in making a cache, in opening one
and writing, or in writing to one that was opened before; a mask of calls, what happens
there (shim.FAIL, shim.SHORT), the errno. Each n has a process of its own. Prints a line of JSON for each: whether the
fault came, what the write ended in ("ok", an error's code, "memory"), what reading and writing ended in some seconds
after, and what was found: the number before (0 in a new cache), the write's own or the one after.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from isolated import shim
from isolated.oracle import number_of, secret
from isolated.support import find, new_tokens, open_vault, secret_of

from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheError

RECOVERS = 20.0  # seconds
HANGS = 30  # seconds
LONG = "x" * 9000
MOST = 3000


def outcome(work: object) -> str:
    try:
        work()  # type: ignore[operator]
    except CacheError as error:
        return error.code
    except MemoryError:
        return "memory"
    return "ok"


def save(directory: Path, number: int) -> Vault:
    vault = open_vault(directory)
    text = f"{secret(number)} {LONG}"
    vault.save(new_tokens(text, refresh=text, identity=text))
    return vault


def until_it_works(work: object) -> str:
    """Try for some seconds; return what the last try ended in."""
    deadline = time.monotonic() + RECOVERS
    while (said := outcome(work)) != "ok" and time.monotonic() < deadline:
        time.sleep(0.01)
    return said


def one(directory: Path, step: str, calls: int, action: int, error: int, nth: int, number: int) -> None:
    """Write `number` with a fault, then read, write the next number and read again; print what came of it."""
    found: list[int] = []

    def read() -> None:
        found.append(number_of(secret_of(open_vault(directory))))

    kept = [open_vault(directory)] if step == "put" else []  # the same vault all along, as in a program
    shim.arm(action, calls, nth, error)
    written = outcome(lambda: kept.append(save(directory, number)))
    fired = shim.fired()
    shim.disarm()
    works = [read, lambda: kept.append(save(directory, number + 1)), read]
    steps = [written, *map(until_it_works, works)]
    assert all(vault.refused_records == 0 for vault in kept)
    print(json.dumps({"fired": fired, "steps": steps, "found": found}), flush=True)
    os._exit(10 if fired else 0)


def check(directory: Path, number: int) -> None:
    """Another process finds the last number, whole, and can write: no lock was kept."""
    vault = open_vault(directory)
    assert find(vault) is not None
    last = number_of(secret_of(vault))
    assert last <= number, last
    vault.save(new_tokens(f"{secret(last)} {LONG}", refresh=secret(last), identity=secret(last)))
    os._exit(0)


def in_child(work: object, *arguments: object) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(HANGS)
            work(*arguments)  # type: ignore[operator]
        except BaseException:  # noqa: BLE001 (it must not go on as its parent)
            sys.excepthook(*sys.exc_info())
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(directory: Path, step: str, calls: int, action: int, error: int) -> None:
    number, place = 1, directory
    assert in_child(lambda: (save(directory, number), os._exit(0))) == 0
    for nth in range(1, MOST):
        if step == "create":
            place = directory.with_name(f"{directory.name}-{nth}")
        status = in_child(one, place, step, calls, action, error, nth, number + 1)
        assert status in (0, 10), f"n = {nth}: ended with {status}"
        number += 2
        assert in_child(check, place, number) == 0
        if status == 0:
            return
    raise SystemExit(f"still failing at call {MOST}")


main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6]))
