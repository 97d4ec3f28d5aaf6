"""Kills writers until one leaves a commit that no reader sees, then looks how soon readers do see it."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from support import find, finish, new_tokens, open_vault, start

from warmtoken import _engine
from warmtoken.cache.byte_locks import GATE
from warmtoken.cache.vault import Vault


def kill_a_writer(directory: Path) -> None:
    pid = os.fork()
    if pid == 0:
        vault = open_vault(directory)
        while True:
            vault.save(new_tokens("other", user="other"))
    time.sleep(random.uniform(0.01, 0.03))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def lags(vault: Vault) -> bool:
    store = vault.shared.store
    return _engine.read(store, _engine.META, b"none")[0] < store.newest


def main(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("mine"))
    for _ in range(200):
        kill_a_writer(directory)
        if lags(vault):
            break
    else:
        raise SystemExit("no writer was killed between its commit and the moment when readers see it")
    waited = wait_beside_a_stopped_writer(vault) if "stopped" in sys.argv else 0
    since = time.monotonic()
    while lags(vault) and time.monotonic() < since + 5:
        assert find(vault) is not None
        if vault.needs_heal:
            vault.heal()
        time.sleep(0.005)
    print(int(1000 * (time.monotonic() - since)), vault.shared.store.heals, waited)


def wait_beside_a_stopped_writer(vault: Vault) -> int:
    """Look for a token while another process holds the gate; return the longest call in milliseconds."""
    holder = start("hold_lock.py", vault.shared.directory / "tokens-v1.gate", GATE)
    assert holder.stdout is not None
    holder.stdout.readline()
    longest, tries, until = 0.0, 0, time.monotonic() + 60
    while tries < 2 and time.monotonic() < until:
        begin = time.monotonic()
        assert find(vault) is not None
        if vault.needs_heal:
            vault.heal()
            assert not vault.needs_heal  # for a second
            tries += 1
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.005)
    assert tries == 2
    assert vault.shared.store.heals == 0
    finish(holder)
    return int(1000 * longest)


main(Path(sys.argv[1]))
