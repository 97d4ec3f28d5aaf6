"""Kills writers in the middle of their work, again and again, then looks whether what they had written is there."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from struct import pack, unpack

from support import find, new_tokens, open_vault, secret_of

from warmtoken import _engine
from warmtoken.cache.sealing import RecordType

KINDS = {
    _engine.ACCESS: RecordType.ACCESS_TOKEN,
    _engine.REFRESH: RecordType.REFRESH_TOKEN,
    _engine.IDENTITY: RecordType.ID_TOKEN,
}
USERS = 5


def write(directory: Path, said: int, number: int) -> None:
    vault = open_vault(directory)
    while True:
        number += 1
        name = str(number)
        vault.save(new_tokens(name, user=str(number % USERS), refresh=f"refresh {name}", identity=f"identity {name}"))
        os.write(said, pack("<q", number))


def one_kill(directory: Path, number: int) -> list[int]:
    """Return the numbers of the writes that had returned in a writer before it was killed."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        write(directory, write_end, number)
    os.close(write_end)
    first = os.read(read_end, 8)
    time.sleep(random.uniform(0, 0.04))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    said = first
    while rest := os.read(read_end, 65536):
        said += rest
    os.close(read_end)
    return list(unpack(f"<{len(said) // 8}q", said))


def check(directory: Path, acknowledged: dict[int, int], in_doubt: set[int]) -> None:
    vault = open_vault(directory)
    for user in range(USERS):
        found, last = int(secret_of(vault, user=str(user)) or 0), acknowledged.get(user, 0)
        # Each writer may have got one write further than it could say.
        assert found == last or (found > last and found in in_doubt), (user, found, last, in_doubt)
        token = find(vault, user=str(user))
        if token is not None:
            assert token.id_token == f"identity {found}"
            refresh = vault.find_refresh_token(new_tokens("", user=str(user)).slot.owner)
            assert refresh is not None
            assert refresh.record.secret == f"refresh {found}"
    unseal_all(vault)
    vault.save(new_tokens("after", user="somebody else"))


def unseal_all(vault: object) -> None:
    store, sealer = vault._store, vault._sealer  # type: ignore[attr-defined]
    for database, kind in KINDS.items():
        records = _engine.scan(store, database, b"", None, 1000)
        assert records
        assert all(sealer.unseal(kind, key, value) is not None for key, value in records)
    tokens = len(_engine.scan(store, _engine.ACCESS, b""))
    assert len(_engine.scan(store, _engine.EXPIRY, b"")) == tokens
    assert len(_engine.scan(store, _engine.SCOPE, b"")) == 2 * tokens


def main(directory: Path, kills: int) -> None:
    last, acknowledged, in_doubt = 0, dict[int, int](), set[int]()
    for done in range(kills):
        written = one_kill(directory, last + 1)
        acknowledged |= {number % USERS: number for number in written}
        last = written[-1]
        in_doubt.add(last + 1)
        if done % 10 == 9:
            pid = os.fork()
            if pid == 0:
                check(directory, acknowledged, in_doubt)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
    print(last)


main(Path(sys.argv[1]), int(sys.argv[2]))
