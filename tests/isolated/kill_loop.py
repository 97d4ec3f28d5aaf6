"""Kills writers in the middle of their work, readers running, and looks whether what they had written is there.

Arguments: a directory, how many kills, the seed. Prints the number of the last write.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from struct import pack, unpack

from isolated.oracle import Ledger, number_of, secret
from isolated.support import find, new_tokens, open_vault, secret_of

from warmtoken.cache import byte_locks

USERS = 5
READERS = 2
PAUSE = 0.04


def write(directory: Path, said: int, number: int) -> None:
    vault = open_vault(directory)
    while True:
        number += 1
        tokens = new_tokens(secret(number), user=str(number % USERS), refresh=secret(number), identity=secret(number))
        vault.save(tokens)
        os.write(said, pack("<q", number))


def read(directory: Path) -> None:
    """Look tokens up until killed: each is whole, and none is older than one seen before."""
    vault = open_vault(directory)
    seen = [0] * USERS
    while True:
        for user in range(USERS):
            found = find(vault, user=str(user))
            if found is None:
                assert not seen[user], f"user {user}: write {seen[user]} is gone"
                continue
            number = number_of(found.secret)
            assert number >= seen[user], f"user {user}: {number} after {seen[user]}"
            assert number_of(found.id_token) == number, f"user {user}: halves of two writes"
            seen[user] = number
        if vault.needs_heal:
            vault.heal()
        assert vault.refused_records == 0


def forked(work: object, *arguments: object) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work(*arguments)  # type: ignore[operator]
    except BaseException:  # noqa: BLE001 (it must not go on as its parent)
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def one_kill(directory: Path, number: int) -> list[int]:
    """Return the numbers of the writes that had returned in a writer before it was killed."""
    read_end, write_end = os.pipe()
    pid = forked(write, directory, write_end, number)
    os.close(write_end)
    first = os.read(read_end, 8)
    time.sleep(random.uniform(0, PAUSE))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    said = first
    while rest := os.read(read_end, 65536):
        said += rest
    os.close(read_end)
    return list(unpack(f"<{len(said) // 8}q", said))


def check(directory: Path, ledger: Ledger) -> None:
    vault = open_vault(directory)
    ledger.check(lambda user: secret_of(vault, user=user), list(map(str, range(USERS))))
    for user in ledger.acknowledged:
        token, owner = find(vault, user=user), new_tokens("", user=user).slot.owner
        refresh = vault.find_refresh_token(owner)
        assert token is not None
        assert refresh is not None
        assert refresh.record.secret == token.secret == token.id_token
    vault.save(new_tokens(secret(0), user="somebody else"))


def main(directory: Path, kills: int, seed: int) -> None:
    random.seed(seed)
    byte_locks.GATE_DEADLINE = 60.0  # on a busy machine two seconds may not be enough for all
    last, ledger = 0, Ledger()
    open_once = forked(lambda: open_vault(directory))
    assert os.waitpid(open_once, 0)[1] == 0
    readers = [forked(read, directory) for _ in range(READERS)]
    for done in range(kills):
        written = one_kill(directory, last + 1)
        ledger.acknowledged |= {str(number % USERS): number for number in written}
        last = written[-1]
        ledger.in_doubt.add(last + 1)
        if done % 10 == 9:
            assert os.waitpid(forked(check, directory, ledger), 0)[1] == 0
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, "a reader failed"
    print(last)


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
