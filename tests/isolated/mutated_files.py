"""Opens, reads and writes files that were mutated at random, each in a child: a directory, how many files, the seed.

Prints JSON: how many were used as if nothing had been, refused when they were opened, an error later, and what else
became of the child: "crash" (by a signal), "hang" (longer than 5 s), "changed" (refused, but not left as it was),
"wrong" (a token that was never stored, or an exception that is not documented).
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from pathlib import Path

from isolated.oracle import DATA, PAGE, secret, without_reserve
from isolated.support import find, new_tokens, open_vault

from warmtoken.errors import CacheError

USERS = 20
HANGS = 60  # seconds
FINE, REFUSED, FAILED, CHANGED, WRONG = 0, 10, 11, 12, 13
NAMES = {FINE: "used", REFUSED: "refused", FAILED: "error", CHANGED: "changed", WRONG: "wrong"}


def fill(directory: Path) -> bytes:
    vault = open_vault(directory)
    for number in range(USERS):
        vault.save(new_tokens(secret(number), user=str(number), refresh=secret(number), identity=secret(number)))
    return without_reserve((directory / DATA).read_bytes())


def flip(data: bytearray, chance: random.Random, start: int, end: int) -> None:
    for _ in range(chance.choice([1, 1, 2, 8, 32])):
        data[chance.randrange(start, end)] = chance.randrange(256)


def mutated(valid: bytes, chance: random.Random) -> bytearray:
    data = bytearray(valid)
    kind = chance.choice(["anywhere", "anywhere", "meta", "head", "cut", "swap"])
    if kind == "anywhere":
        flip(data, chance, 0, len(data))
    elif kind == "meta":
        start = chance.choice([0, PAGE])
        flip(data, chance, start, start + 168)
    elif kind == "head":
        start = PAGE * chance.randrange(2, len(data) // PAGE)
        flip(data, chance, start, start + 64)
    elif kind == "cut":
        del data[chance.randrange(len(data)) :]
    else:
        one, other = (PAGE * chance.randrange(len(data) // PAGE) for _ in "12")
        data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]
    return data


def use(directory: Path, data: bytes) -> int:
    try:
        vault = open_vault(directory)
    except CacheError:
        return REFUSED if (directory / DATA).read_bytes() == data else CHANGED
    try:
        for number in range(USERS):
            found = find(vault, user=str(number))
            if found is not None and not {found.secret, found.id_token} <= {secret(number), None}:
                return WRONG
        vault.save(new_tokens(secret("new"), user="1"))
    except CacheError:
        return FAILED
    return FINE


def outcome(directory: Path, data: bytes) -> str:
    (directory / DATA).write_bytes(data)
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(HANGS)
        status = WRONG
        try:
            status = use(directory, data)
        except BaseException as error:  # noqa: BLE001 (it must not go on as its parent)
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "hang" if status == -signal.SIGALRM else "crash" if status < 0 else NAMES[status]


def main(directory: Path, count: int, seed: int) -> None:
    chance = random.Random(seed)
    pid = os.fork()
    valid = directory.with_name("valid")
    if pid == 0:
        valid.write_bytes(fill(directory))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    data = valid.read_bytes()
    assert outcome(directory, data) == "used"
    print(json.dumps(Counter(outcome(directory, mutated(data, chance)) for _ in range(count))))


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
