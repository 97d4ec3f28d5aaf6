"""One keyring per file, opened by one key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from isolated.support import KEY, OTHER_KEY, finish, new_tokens, open_vault, secret_of, start

from warmtoken import _engine
from warmtoken.cache.keyring import ACTIVE, DECRYPT_ONLY, DataKey, Keyring, _pack, _unpack, open_keyring
from warmtoken.cache.lookup_keys import FILE_ID_KEY, KEYRING_KEY
from warmtoken.cache.shared_store import SharedStore, shared_store
from warmtoken.errors import CacheCorruptError, CacheRefusedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shared(directory: Path) -> SharedStore:
    return shared_store(directory, 1 << 24)


@pytest.fixture
def store(shared: SharedStore) -> _engine.Store:
    return shared.store


def test_a_new_file_gets_a_keyring_and_keeps_it(shared: SharedStore) -> None:
    first = open_keyring(shared, KEY)
    assert open_keyring(shared, KEY) == first
    assert len(first.index_key) == len(first.data_keys[0].secret) == 32
    assert first.data_keys[0].state == ACTIVE
    assert len({first.index_key, first.data_keys[0].secret, KEY}) == 3


def test_eight_processes_at_once_make_one_keyring(directory: Path) -> None:
    processes = [start("open_cache.py", directory, KEY.hex()) for _ in range(8)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert len({finish(process) for process in processes}) == 1


def test_the_wrong_key_is_refused_and_the_file_is_as_it_was(directory: Path) -> None:
    vault = open_vault(directory)
    vault.save(new_tokens("secret"))
    data = directory / "tokens-v1.mdb"
    before, listing = data.read_bytes(), sorted(directory.iterdir())
    with pytest.raises(CacheRefusedError, match="expected the key that this cache was made with") as caught:
        open_vault(directory, OTHER_KEY)
    assert caught.value.code == "wrong_key"
    assert "pass that key" in str(caught.value)
    assert KEY.hex() not in str(caught.value)
    assert data.read_bytes() == before
    assert sorted(directory.iterdir()) == listing
    assert secret_of(vault) == "secret"


def test_the_wrong_key_is_refused_in_a_new_process_too(directory: Path) -> None:
    open_vault(directory).save(new_tokens("secret"))
    before = (directory / "tokens-v1.mdb").read_bytes()
    process = start("open_cache.py", directory, OTHER_KEY.hex())
    process.communicate("go\n")
    assert process.returncode == 1
    assert (directory / "tokens-v1.mdb").read_bytes() == before
    assert secret_of(open_vault(directory)) == "secret"


@pytest.mark.parametrize("byte", [0, 2, 14, 20, 40, 60, 100, -1])
def test_a_damaged_keyring_is_refused(shared: SharedStore, store: _engine.Store, byte: int) -> None:
    open_keyring(shared, KEY)
    sealed = bytearray(_engine.read(store, _engine.META, KEYRING_KEY)[1] or b"")
    sealed[byte] ^= 1
    _engine.commit(store, [[(_engine.PUT, _engine.META, KEYRING_KEY, bytes(sealed))]])
    with pytest.raises(CacheCorruptError) as caught:
        open_keyring(shared, KEY)
    assert caught.value.code == "keyring_damaged"
    assert _engine.read(store, _engine.META, KEYRING_KEY)[1] == bytes(sealed)


def test_a_keyring_of_another_file_is_refused(shared: SharedStore, store: _engine.Store, tmp_path: Path) -> None:
    open_keyring(shared, KEY)
    other = shared_store(tmp_path / "other", 1 << 24)
    open_keyring(other, KEY)
    foreign = _engine.read(other.store, _engine.META, KEYRING_KEY)[1]
    _engine.commit(store, [[(_engine.PUT, _engine.META, KEYRING_KEY, foreign)]])
    with pytest.raises(CacheCorruptError):
        open_keyring(shared, KEY)


def test_a_file_without_its_id_is_refused(shared: SharedStore, store: _engine.Store) -> None:
    open_keyring(shared, KEY)
    _engine.commit(store, [[(_engine.DELETE, _engine.META, FILE_ID_KEY)]])
    with pytest.raises(CacheCorruptError) as caught:
        open_keyring(shared, KEY)
    assert caught.value.code == "keyring_missing"


def test_the_active_key_comes_first() -> None:
    old, new = DataKey(DECRYPT_ONLY, 1, b"o" * 32), DataKey(ACTIVE, 2, b"n" * 32)
    ring = Keyring(b"i" * 32, [old, new], b"f" * 16)
    assert _unpack(_pack(ring), b"f" * 16) == Keyring(b"i" * 32, [new, old], b"f" * 16)


def test_no_repr_shows_a_key() -> None:
    ring = Keyring(b"INDEX" * 6, [DataKey(ACTIVE, 1, b"SECRET" * 5)], b"f" * 16)
    assert not {"INDEX", "SECRET"} & {word for word in ("INDEX", "SECRET") if word in f"{ring!r}{ring.data_keys!r}"}


def test_a_file_with_tokens_whose_keyring_is_gone_gets_no_other(shared: SharedStore) -> None:
    open_keyring(shared, KEY)
    shared.commit([(_engine.DELETE, _engine.META, KEYRING_KEY), (_engine.DELETE, _engine.META, FILE_ID_KEY)])
    shared.commit([(_engine.PUT, _engine.APP, bytes(32), b"a record")])
    newest = shared.store.newest
    with pytest.raises(CacheCorruptError) as caught:
        open_keyring(shared, KEY)
    assert caught.value.code == "keyring_missing"
    assert shared.store.newest == newest


def test_a_file_id_of_another_size_is_damage(shared: SharedStore) -> None:
    open_keyring(shared, KEY)
    shared.commit([(_engine.PUT, _engine.META, FILE_ID_KEY, bytes(15))])
    with pytest.raises(CacheCorruptError) as caught:
        open_keyring(shared, KEY)
    assert caught.value.code == "keyring_missing"
