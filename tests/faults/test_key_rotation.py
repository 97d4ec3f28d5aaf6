"""Both keys of a cache change again and again while eight processes read and write: nobody misses anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faults.scale import SCALE
from isolated.oracle import assert_sound, secret
from isolated.support import finish, new_tokens, secret_of, start

from warmtoken import _engine
from warmtoken.cache import byte_locks
from warmtoken.cache.token_cache import TokenCache

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from warmtoken.cache.vault import Vault

WORKERS = 8
STILL = 200


def key_ids(vault: Vault) -> set[bytes]:
    """The keys that records in the file name."""
    databases = _engine.ACCESS, _engine.REFRESH, _engine.IDENTITY
    return {value[4:12] for db in databases for _, value in _engine.scan(vault.shared.store, db, b"", None, 4096)}


def test_nothing_is_missed_while_both_keys_change(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_locks, "GATE_DEADLINE", 60.0)  # on a busy machine two seconds may not be enough for all
    file = tmp_path / "key"
    cache = TokenCache(directory, key=file)
    vault = cache.vault()
    for number in range(STILL):
        user = f"still-{number}"
        vault.save(new_tokens(secret(user), user=user, refresh=secret("r"), identity=secret("i")))
    used = key_ids(vault)
    reads_each = -(-SCALE.rotation_reads // WORKERS)
    workers = [start("rotation_load.py", directory, file, number, reads_each) for number in range(WORKERS)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    number = 0
    while number < SCALE.key_rotations or len(list(tmp_path.glob("enough-*"))) < WORKERS:
        assert all(worker.poll() is None for worker in workers)
        new = tmp_path / f"key.{number}"
        cache.rotate_key(new)
        new.replace(file)
        done = cache.rotate_data_key()
        assert done.records >= 3 * STILL
        assert done.unreadable == 0
        used.add(vault.sealer.active)
        number += 1
    counts = [list(map(int, finish(worker, SCALE.timeout).split())) for worker in workers]
    assert [(misses, refused) for _, misses, refused in counts] == [(0, 0)] * WORKERS
    assert sum(reads for reads, *_ in counts) >= SCALE.rotation_reads
    assert len(used) == number + 1
    assert key_ids(vault) == {vault.sealer.active}  # the older ones are used no more
    for number in range(STILL):
        assert secret_of(vault, user=f"still-{number}") == secret(f"still-{number}")
    assert_sound(directory, key=bytes.fromhex(file.read_text()))
