"""Kills a writer so that it leaves a commit that no reader sees, then looks how soon readers do see it.

Under the preload shim. Prints milliseconds until then, how often this process healed, and the milliseconds of the
longest call beside a writer that was stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from isolated import shim
from isolated.support import find, finish, new_tokens, open_vault, start

from warmtoken import _engine
from warmtoken.cache import byte_locks
from warmtoken.cache.byte_locks import GATE
from warmtoken.cache.vault import Vault


def kill_a_writer(directory: Path) -> None:
    pid = os.fork()
    if pid == 0:
        vault = open_vault(directory)
        shim.arm(shim.KILL_AFTER, shim.META_WRITE)
        vault.save(new_tokens("other", user="other"))
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def lags(vault: Vault) -> bool:
    store = vault.shared.store
    return _engine.read(store, _engine.META, b"none")[0] < store.newest


def main(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("mine"))
    kill_a_writer(directory)
    assert lags(vault), "the commit is visible already"
    waited = wait_beside_a_stopped_writer(vault) if "stopped" in sys.argv else 0
    since = time.monotonic()
    while lags(vault) and time.monotonic() < since + 50:
        assert find(vault) is not None
        if vault.needs_heal:
            vault.heal()
        time.sleep(0.005)
    print(int(1000 * (time.monotonic() - since)), vault.shared.store.heals, waited)


def wait_beside_a_stopped_writer(vault: Vault) -> int:
    """Look for a token while another process holds the gate; return the longest call in milliseconds."""
    byte_locks.GATE_DEADLINE = 30.0  # a call that waited for it is told from one that the machine held up
    holder = start("hold_lock.py", vault.shared.directory / "tokens-v1.gate", GATE)
    assert holder.stdout is not None
    holder.stdout.readline()
    longest, tries, until = 0.0, 0, time.monotonic() + 60
    while tries < 2 and time.monotonic() < until:
        begin = time.monotonic()
        assert find(vault) is not None
        if vault.needs_heal:
            vault.heal()
            assert not vault.needs_heal or time.monotonic() > begin + 1  # it is left alone for a second
            tries += 1
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.005)
    assert tries == 2
    assert vault.shared.store.heals == 0
    finish(holder)
    return int(1000 * longest)


main(Path(sys.argv[1]))
