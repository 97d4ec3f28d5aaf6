"""Records what commits write and sync, then opens the files that a power loss at any moment could have left.

Under the preload shim: a directory, how many files, the seed, "keep" or "ignore" (whether syncs count, or nothing was
on the disk before the end of the last 20 operations). The model is that of ALICE and Torturing Databases: what was
synced is on the disk; of the rest, any subset of 512-byte sectors, and the file is as long as what came through.
Prints how many files there were, in how many an acknowledged write was missing, and how many were damaged otherwise.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import unpack_from

from isolated import shim
from isolated.oracle import DATA, Ledger, number_of, secret, structure
from isolated.support import find, new_tokens, open_vault

from warmtoken.cache.vault import Vault
from warmtoken.errors import CacheError

USERS = 4
WRITES = 60
SECTOR = 512
UNSYNCED_WITHOUT_SYNC = 20
VERIFIED = 10  # of so many files one goes to the verifier too, and is written to
HANGS = 60  # seconds


def record(directory: Path, log: Path) -> bytes:
    """Make writes in a child that records them, and return the file as it was before."""
    pid = os.fork()
    if pid == 0:
        open_vault(directory)
        os._exit(0)
    os.waitpid(pid, 0)
    before = (directory / DATA).read_bytes()
    pid = os.fork()
    if pid == 0:
        vault = open_vault(directory)
        shim.loaded().fault_record(str(log).encode())
        for number in range(1, WRITES + 1):
            text = f"{secret(number)} {'x' * (700 * (number % 7))}"
            vault.save(new_tokens(text, user=str(number % USERS), refresh=text, identity=text))
            shim.loaded().fault_mark(number)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return before


@dataclass
class Operation:
    kind: int
    offset: int
    data: bytes


def operations(log: bytes) -> list[Operation]:
    found, at = [], 0
    while at < len(log):
        kind, offset, size = unpack_from("<QQQ", log, at)
        found.append(Operation(kind, offset, log[at + 24 : at + 24 + size]))
        at += 24 + size
    return found


@dataclass
class Disk:
    """What is on the disk for certain, what may be, and the last write that was acknowledged."""

    image: bytearray
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    acknowledged: int = 0

    def settle(self, count: int) -> None:
        """Let the first pieces of what is pending be on the disk."""
        apply(self.image, self.pending[:count])
        del self.pending[:count]

    def after_power_loss(self, chance: random.Random) -> bytearray:
        image, share = bytearray(self.image), chance.random()
        apply(image, [piece for piece in self.pending if chance.random() < share])
        return image


def disks(done: list[Operation], before: bytes, syncs_count: bool) -> Iterator[Disk]:
    """Return the disk at each operation, for a power loss while it is under way."""
    disk, sizes = Disk(bytearray(before)), []
    for operation in done:
        own = pieces_of(operation)
        disk.pending += own
        sizes.append(len(own))
        yield disk
        if operation.kind == shim.LOG_MARK:
            disk.acknowledged = operation.offset
        if not syncs_count:
            disk.settle(sizes.pop(0) if len(sizes) > UNSYNCED_WITHOUT_SYNC else 0)
        elif operation.kind == shim.LOG_SYNC:
            disk.settle(len(disk.pending))
        elif operation.kind == shim.LOG_DURABLE_WRITE:
            del disk.pending[len(disk.pending) - len(own) :]
            apply(disk.image, own)


def pieces_of(operation: Operation) -> list[tuple[int, bytes]]:
    if operation.kind == shim.LOG_EXTEND:
        return [(operation.offset, b"")]
    return sectors(operation) if operation.kind in (shim.LOG_WRITE, shim.LOG_DURABLE_WRITE) else []


def sectors(operation: Operation) -> list[tuple[int, bytes]]:
    """Cut a write at the sectors' edges."""
    pieces, at, end = [], operation.offset, operation.offset + len(operation.data)
    while at < end:
        until = min(end, at - at % SECTOR + SECTOR)
        pieces.append((at, operation.data[at - operation.offset : until - operation.offset]))
        at = until
    return pieces


def apply(image: bytearray, pieces: list[tuple[int, bytes]]) -> None:
    for offset, data in pieces:
        if len(image) < offset + len(data):
            image.extend(bytes(offset + len(data) - len(image)))
        image[offset : offset + len(data)] = data


def verdict(directory: Path, acknowledged: int, verify: bool) -> str:
    """Open the file and return "fine", "lost" (an acknowledged write is not there) or "damaged"."""
    if verify and structure(directory / DATA):
        return "damaged"
    try:
        vault = open_vault(directory)
        found = {user: whole(vault, user) for user in map(str, range(USERS))}
        if verify:
            vault.save(new_tokens(secret(0), user="after"))
    except (CacheError, ValueError):
        return "damaged"
    if vault.refused_records or (verify and structure(directory / DATA)):
        return "damaged"
    last = {str(number % USERS): number for number in range(max(1, acknowledged - USERS + 1), acknowledged + 1)}
    ledger = Ledger(last, {acknowledged + 1})
    return "lost" if any(ledger.problem(user, number) for user, number in found.items()) else "fine"


def whole(vault: Vault, user: str) -> int:
    """Return the number of a user's last write, 0 without one; ValueError where its parts are not of one write."""
    token, refresh = find(vault, user=user), vault.find_refresh_token(new_tokens("", user=user).slot.owner)
    parts = {token and token.secret, token and token.id_token, refresh and refresh.record.secret}
    if len(parts) != 1:
        raise ValueError("parts of two writes")
    return number_of(parts.pop())


def put(path: Path, image: bytearray) -> None:
    with path.open("r+b") as file:
        file.write(image)
        file.truncate()


def judge(directory: Path, disk: Disk, count: int, seed: int) -> None:
    """Print a verdict for each of some files that a power loss leaves of a disk."""
    chance = random.Random(seed)
    for number in range(count):
        put(directory / DATA, disk.after_power_loss(chance))
        signal.alarm(HANGS)
        print(verdict(directory, disk.acknowledged, number % VERIFIED == 0), flush=True)


def in_child(work: Callable[[], None]) -> list[str]:
    """Run what may crash, and return the words that it printed."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(write_end, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # liblmdb's own assertions, where syncs were ignored
        work()
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as said:
        words = said.read().split()
    os.waitpid(pid, 0)
    return words


def main(directory: Path, count: int, seed: int, syncs: str) -> None:
    chance = random.Random(seed)
    log = directory.with_name("log")
    before = record(directory, log)
    done = operations(log.read_bytes())
    assert sum(operation.kind == shim.LOG_SYNC for operation in done) >= WRITES
    together = 1 if syncs == "ignore" else 20  # moments that one child looks at
    judged: Counter[str] = Counter()
    for first in range(0, len(done), together):
        seeds = [chance.randrange(1 << 32) for _ in range(together)]
        moments = range(first, min(first + together, len(done)))
        shares = [count * (at + 1) // len(done) - count * at // len(done) for at in moments]

        def judge_all(moments: range = moments, shares: list[int] = shares, seeds: list[int] = seeds) -> None:
            now = itertools.islice(disks(done, before, syncs != "ignore"), moments.start, moments.stop)
            for disk, share, one_seed in zip(now, shares, seeds, strict=False):
                judge(directory, disk, share, one_seed)

        if sum(shares):
            words = Counter(in_child(judge_all))
            judged += words + Counter(damaged=sum(shares) - words.total())
    print(judged.total(), judged["lost"], judged["damaged"])


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
