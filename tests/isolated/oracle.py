"""What must hold of a cache file after any fault, looked at by readers that share no code with the engine.

As a script: prints what does not hold, as JSON, for a directory. Nothing of what is printed is a secret.

The numbers are those of docs/reliability.md: every record decrypts (2), the file is sound (3), the newest commit is the
one that readers see (4), the file is bounded (5), only documented errors (6), no secret in clear (10). What was
acknowledged (1, 7) only the test knows: `Ledger`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import unpack_from

from isolated.support import KEY, environment

from warmtoken.cache import keyring
from warmtoken.cache.lookup_keys import FILE_ID_KEY, KEYRING_KEY
from warmtoken.cache.sealing import RecordType, Sealer

CANARY = "canary-7f3a"  # in every secret that a fault test stores
DATA = "tokens-v1.mdb"
PAGE = 4096
RESERVE = 1 << 20

KINDS = {
    "access": RecordType.ACCESS_TOKEN,
    "refresh": RecordType.REFRESH_TOKEN,
    "identity": RecordType.ID_TOKEN,
    "account": RecordType.ACCOUNT,
    "app": RecordType.APP,
}
NAMES = ("meta", "access", "scope", "expiry", "refresh", "identity", "account", "app", "note")

# What a program may see of the cache when something broke; all else is a defect (docs/errors.md).
DOCUMENTED = {
    "disk_full", "map_full", "cache_io_error", "cache_panic", "write_gate_timeout", "write_interrupted", "truncated",
    "not_a_cache", "format_mismatch", "cache_not_writable", "path_refused", "wrong_key", "keyring_missing",
    "keyring_damaged", "keyring_version", "no_address_space", "pid_collision",
}  # fmt: skip

Records = dict[str, dict[bytes, bytes]]


def secret(number: object) -> str:
    """Return a secret that the canary check finds wherever it leaks."""
    return f"{CANARY} {number}"


def number_of(secret: str | None) -> int:
    """Return the number of a secret, 0 where there is none."""
    return int(secret.split()[1]) if secret else 0


@dataclass
class Ledger:
    """What a test knows of its writes: for each name the last number that was acknowledged, and those in doubt.

    A write is in doubt when its writer died or failed before it could say that the write had returned.
    """

    acknowledged: dict[str, int] = field(default_factory=dict)
    in_doubt: set[int] = field(default_factory=set)

    def problem(self, name: str, found: int) -> str:
        """Return what is wrong with finding `found` under `name`, or nothing."""
        last = self.acknowledged.get(name, 0)
        if found == last or (found > last and found in self.in_doubt):
            return ""
        return f"{name}: expected write {last} or a newer one in doubt, found {found}"

    def check(self, find: Callable[[str], str | None], names: list[str]) -> None:
        """Fail unless every acknowledged write is there or superseded."""
        problems = [problem for name in names if (problem := self.problem(name, number_of(find(name))))]
        assert not problems, problems


def assert_sound(directory: Path, max_live_ratio: float = 0, key: bytes = KEY) -> dict[str, int]:
    """Fail unless the file in a directory is sound; return the number of records in each database.

    `max_live_ratio` bounds the file's size by what its records take, the reserve and a few pages apart.
    """
    script = [sys.executable, "-W", "error", str(Path(__file__)), str(directory), str(max_live_ratio), key.hex()]
    done = subprocess.run(script, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["problems"], found["problems"]
    counts: dict[str, int] = found["counts"]
    return counts


def without_reserve(data: bytes) -> bytes:
    """Cut off what lies behind the last page that the meta pages of a file know."""
    last = max(int.from_bytes(data[at + 136 : at + 144], "little") for at in (0, PAGE))
    return data[: (last + 1) * PAGE]


# --- in a process of its own ---


def problems_of(directory: Path, max_live_ratio: float, key: bytes) -> tuple[list[str], dict[str, int]]:
    path = directory / DATA
    problems = structure(path)
    if problems:
        return problems, {}
    records, live, seen, newest = dump(path)
    if seen != newest:
        problems.append(f"readers see transaction {seen}, the newest is {newest}")
    problems += [*undecryptable(records, key), *index_problems(records), *leaks(directory)]
    size = path.stat().st_size
    if max_live_ratio and size > max_live_ratio * live + 2 * RESERVE:
        problems.append(f"the file has {size} bytes, its records {live}")
    return problems, {name: len(found) for name, found in records.items()}


def structure(path: Path) -> list[str]:
    """Return what py-lmdb's verifier, which reads bytes and knows nothing of liblmdb, finds wrong."""
    try:
        from lmdb.verify import verify
    except ImportError:  # an older py-lmdb: the walk over all records has to do
        return []
    return [str(problem) for problem in verify(str(path), subdir=False)]


def dump(path: Path) -> tuple[Records, int, int, int]:
    """Return all records, the bytes that they take, the transaction that readers see and the newest."""
    import lmdb

    found: Records = {}
    live = 0
    with lmdb.open(str(path), subdir=False, readonly=True, max_dbs=len(NAMES), map_size=1 << 33) as env:
        databases = {name: env.open_db(name.encode(), create=False) for name in NAMES}
        with env.begin() as txn:
            for name, database in databases.items():
                found[name] = dict(txn.cursor(database))
                stat = txn.stat(database)
                live += PAGE * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
            return found, live, txn.id(), env.info()["last_txnid"]


def undecryptable(records: Records, root_key: bytes) -> Iterator[str]:
    file_id = records["meta"][FILE_ID_KEY]
    plain = Sealer([root_key], file_id).unseal(RecordType.KEYRING, KEYRING_KEY, records["meta"][KEYRING_KEY])
    if plain is None:
        yield "the keyring does not decrypt"
        return
    sealer = Sealer([one.secret for one in keyring._unpack(plain, file_id).data_keys], file_id)
    for name, kind in KINDS.items():
        bad = sum(sealer.unseal(kind, key, value) is None for key, value in records[name].items())
        if bad:
            yield f"{bad} of {len(records[name])} records in {name} do not decrypt"


def index_problems(records: Records) -> Iterator[str]:
    scope, expiry = {}, {}
    for key, value in records["access"].items():
        entry = unpack_from("<q", value, 16)[0].to_bytes(8, "big") + key
        hashes = records["expiry"].get(entry, b"")
        expiry[entry] = hashes
        count = (len(hashes) // 8 - 1).to_bytes(2, "little", signed=True)
        scope |= {key[:16] + hashes[at : at + 8] + key[16:]: count for at in range(0, len(hashes), 8)}
    if b"" in expiry.values() or expiry.keys() != records["expiry"].keys():
        yield f"{len(expiry)} access tokens, but {len(records['expiry'])} entries by expiry, or others"
    if scope != records["scope"]:
        yield f"expected {len(scope)} entries by scope, found {len(records['scope'])}, or others"


def leaks(directory: Path) -> Iterator[str]:
    for path in directory.iterdir():
        if CANARY.encode() in path.read_bytes():
            yield f"{path.name} holds a secret in clear"


def main(directory: str, max_live_ratio: str, key: str) -> None:
    problems, counts = problems_of(Path(directory), float(max_live_ratio), bytes.fromhex(key))
    print(json.dumps({"problems": problems, "counts": counts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
