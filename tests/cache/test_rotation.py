"""Keys change while others read and write, and nothing is lost."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest
from isolated.support import KEY, OTHER_KEY, find, new_tokens, open_vault, secret_of, slot_of, start

from warmtoken import _engine
from warmtoken.cache import rotation
from warmtoken.cache.keyring import DECRYPT_ONLY, retired_name
from warmtoken.cache.live_sealer import LiveSealer
from warmtoken.cache.sealing import key_id
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import Replacing
from warmtoken.errors import CacheCorruptError, CacheRefusedError, ClientError

if TYPE_CHECKING:
    from pathlib import Path

    from warmtoken.cache.keyring import Keyring
    from warmtoken.cache.vault import Vault

DATABASES = (_engine.ACCESS, _engine.REFRESH, _engine.IDENTITY, _engine.ACCOUNT, _engine.APP)


@pytest.fixture
def cache(directory: Path) -> TokenCache:
    return TokenCache(directory, key=KEY)


def elsewhere(directory: Path, key: bytes = KEY) -> Vault:
    """The vault of another cache object, whose keys are its own, as in another process."""
    return open_vault(directory, key)


def fill(vault: Vault, users: int) -> None:
    for user in range(users):
        vault.save(new_tokens(f"a{user}", user=str(user), refresh=f"r{user}", identity=f"i{user}"))


def all_there(vault: Vault, users: int) -> bool:
    for user in range(users):
        found, refresh = find(vault, user=str(user)), vault.find_refresh_token(slot_of(str(user)).owner)
        if found is None or refresh is None:
            return False
        if (found.secret, found.id_token, refresh.record.secret) != (f"a{user}", f"i{user}", f"r{user}"):
            return False
    return True


def key_ids(vault: Vault) -> set[bytes]:
    """The ids of all data keys that records in the file name."""
    return {value[4:12] for db in DATABASES for _, value in _engine.scan(vault.shared.store, db, b"", None, 100_000)}


def in_keyring(vault: Vault) -> list[bytes]:
    return [key_id(key.secret) for key in vault.sealer.reload().keyring.data_keys]


# --- the root key ---


def test_after_a_change_the_new_key_opens_the_cache_and_the_old_one_does_not(
    cache: TokenCache, directory: Path
) -> None:
    fill(cache.vault(), 3)
    cache.rotate_key(OTHER_KEY)
    assert all_there(elsewhere(directory, OTHER_KEY), 3)
    with pytest.raises(CacheRefusedError) as caught:
        elsewhere(directory, KEY)
    assert caught.value.code == "wrong_key"
    process = start("open_cache.py", directory, KEY.hex())
    process.communicate("go\n")
    assert process.returncode == 1
    finish_open(directory, OTHER_KEY)


def finish_open(directory: Path, key: bytes) -> None:
    process = start("open_cache.py", directory, key.hex())
    assert process.communicate("go\n")[0]
    assert process.returncode == 0


def test_who_opened_the_cache_with_the_old_key_goes_on(cache: TokenCache, directory: Path) -> None:
    other = elsewhere(directory)
    cache.rotate_key(OTHER_KEY)
    fill(other, 2)
    assert all_there(cache.vault(), 2)
    assert all_there(other, 2)


def test_the_same_cache_can_change_its_key_again_and_again(cache: TokenCache, directory: Path) -> None:
    fill(cache.vault(), 2)
    for key in (OTHER_KEY, secrets.token_bytes(32), KEY):
        cache.rotate_key(key)
        cache.rotate_data_key()
        assert all_there(elsewhere(directory, key), 2)


def test_who_changed_the_key_opens_a_restored_copy_of_the_file_with_it(cache: TokenCache, directory: Path) -> None:
    before = cache.vault()
    fill(before, 2)
    cache.rotate_key(OTHER_KEY)
    copy = shutil.copy2(directory / "tokens-v1.mdb", directory / "copy")
    copy.replace(directory / "tokens-v1.mdb")
    deadline = time.monotonic() + 60
    while cache.vault() is before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cache.vault() is not before
    assert all_there(cache.vault(), 2)


def test_who_finds_no_newer_key_misses_new_records_and_cannot_write(cache: TokenCache, directory: Path) -> None:
    other = elsewhere(directory)
    cache.rotate_key(OTHER_KEY)
    cache.rotate_data_key()
    fill(cache.vault(), 1)
    assert find(other, user="0") is None
    with pytest.raises(CacheRefusedError) as caught:
        fill(other, 1)
    assert caught.value.code == "wrong_key"
    assert all_there(cache.vault(), 1)


def test_a_newer_key_is_looked_for_where_the_old_one_came_from(tmp_path: Path, directory: Path) -> None:
    old, new = tmp_path / "key", tmp_path / "key.new"
    cache, other = TokenCache(directory, key=old), TokenCache(directory, key=old)
    fill(other.vault(), 2)
    cache.rotate_key(new)
    new.replace(old)
    cache.rotate_data_key()
    assert all_there(other.vault(), 2)
    fill(other.vault(), 3)
    assert all_there(cache.vault(), 3)


def test_who_cannot_get_the_newer_key_misses_new_records_and_writes_them_later(
    cache: TokenCache, directory: Path
) -> None:
    """What a program's callable raises is no matter of those who read, nor does it lose a refresh token."""
    keys: list[bytes | Exception] = [KEY]

    def ask() -> bytes:
        if isinstance(keys[-1], Exception):
            raise keys[-1]
        return keys[-1]

    other = TokenCache(directory, key=ask).vault()
    fill(other, 1)
    cache.rotate_key(OTHER_KEY)
    cache.rotate_data_key()
    keys.append(OSError("canary"))
    assert find(other, user="0") is None
    with pytest.raises(CacheRefusedError) as caught:
        fill(other, 1)
    assert caught.value.code == "key_unavailable"
    assert "canary" not in str(caught.value)
    keys.append(OTHER_KEY)
    other.save_unsaved()
    assert all_there(cache.vault(), 1)


def test_a_key_file_that_is_away_is_not_made_anew(tmp_path: Path, directory: Path) -> None:
    file = tmp_path / "key"
    cache, other = TokenCache(directory, key=file), TokenCache(directory, key=file)
    fill(other.vault(), 1)
    cache.rotate_key(OTHER_KEY)
    cache.rotate_data_key()
    file.unlink()
    assert find(other.vault(), user="0") is None
    assert not file.exists()


def test_what_is_no_key_is_refused(cache: TokenCache) -> None:
    with pytest.raises(TypeError, match="expected key"):
        cache.rotate_key(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="32 bytes"):
        cache.rotate_key(b"short")
    assert secret_of(cache.vault()) is None


# --- the data key ---


def test_all_records_get_the_new_key_and_the_old_one_is_removed(cache: TokenCache) -> None:
    vault = cache.vault()
    fill(vault, 150)
    [old] = key_ids(vault)
    done = cache.rotate_data_key()
    assert done == (451, 0, 1)  # three for each user, and that the client is known
    assert key_ids(vault) == set(in_keyring(vault)) == {vault.sealer.active} != {old}
    assert not vault.sealer.knows_key_of(b"WT\1\1" + old + bytes(64))
    assert all_there(vault, 150)
    assert vault.sealer.refused == 0


def test_records_keep_their_times_and_generations(cache: TokenCache) -> None:
    vault = cache.vault()
    vault.save(new_tokens("a", refresh="r", expires_on=1_900_000_000))
    owner = slot_of().owner
    before, refresh = find(vault), vault.find_refresh_token(owner)
    assert refresh is not None
    vault.save(new_tokens("b", refresh="s", expires_on=1_900_000_000)._replace(replacing=Replacing(refresh)))
    cache.rotate_data_key()
    found, again = find(vault), vault.find_refresh_token(owner)
    assert before is not None
    assert found is not None
    assert again is not None
    assert (found.expires_on, again.generation) == (before.expires_on, 2)
    [(expiry, _)] = _engine.scan(vault.shared.store, _engine.EXPIRY, b"")
    assert int.from_bytes(expiry[:8], "big") == 1_900_000_000_000
    vault.save(new_tokens("c", expires_on=1_900_000_001))
    assert len(_engine.scan(vault.shared.store, _engine.EXPIRY, b"")) == 1


def test_sixty_four_records_at_most_go_into_one_transaction(cache: TokenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = cache.vault()
    fill(vault, 130)
    sizes = []
    commit = vault.shared.commit

    def counted(operations: list[tuple[object, ...]]) -> tuple[int, bool]:
        sizes.append(sum(fields[0] == _engine.PUT and fields[1] != _engine.META for fields in operations))
        return commit(operations)

    monkeypatch.setattr(vault.shared, "commit", counted)
    cache.rotate_data_key()
    assert max(sizes) == 64
    assert sum(sizes) == 391


def test_other_readers_take_up_the_new_key_when_they_meet_it(cache: TokenCache, directory: Path) -> None:
    other = elsewhere(directory)
    fill(other, 2)
    cache.rotate_data_key()
    assert all_there(other, 2)
    assert other.sealer.refused == 0


def test_a_refresh_token_that_was_sealed_anew_meanwhile_is_still_replaced(cache: TokenCache, directory: Path) -> None:
    """Between reading the old one and the provider's reply lies a request: the reply must not be dropped."""
    other = elsewhere(directory)
    fill(other, 1)
    owner = slot_of("0").owner
    found = other.find_refresh_token(owner)
    cache.rotate_data_key()
    other.save(new_tokens("new", user="0", refresh="second")._replace(replacing=Replacing(found)))
    refresh = cache.vault().find_refresh_token(owner)
    assert refresh is not None
    assert (refresh.record.secret, refresh.generation) == ("second", 2)


def test_a_dead_refresh_token_that_was_sealed_anew_meanwhile_is_still_deleted(
    cache: TokenCache, directory: Path
) -> None:
    other = elsewhere(directory)
    fill(other, 1)
    owner = slot_of("0").owner
    found = other.find_refresh_token(owner)
    assert found is not None
    cache.rotate_data_key()
    assert other.delete_refresh_token(found)
    assert cache.vault().find_refresh_token(owner) is None


def test_a_newer_refresh_token_is_not_taken_for_one_sealed_anew(cache: TokenCache, directory: Path) -> None:
    other = elsewhere(directory)
    fill(other, 1)
    owner = slot_of("0").owner
    found = other.find_refresh_token(owner)
    assert found is not None
    cache.vault().remove_account(owner)
    cache.vault().save(new_tokens("b", user="0", refresh="sign-in"))
    cache.rotate_data_key()
    assert not other.delete_refresh_token(found)
    other.save(new_tokens("c", user="0", refresh="late")._replace(replacing=Replacing(found)))
    refresh = cache.vault().find_refresh_token(owner)
    assert refresh is not None
    assert refresh.record.secret == "sign-in"


def test_what_was_sealed_with_a_key_that_is_retired_before_the_commit_is_sealed_anew(
    cache: TokenCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer may be stopped between sealing and writing for as long as it takes to change the key."""
    other = elsewhere(directory)
    fill(cache.vault(), 1)
    guards = LiveSealer.guards

    def stopped(sealer: LiveSealer, operations: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
        found = guards(sealer, operations)
        if sealer is other.sealer:
            monkeypatch.undo()
            cache.rotate_data_key()
        return found

    monkeypatch.setattr(LiveSealer, "guards", stopped)
    other.save(new_tokens("late", user="1", refresh="late", identity="late"))
    assert key_ids(other) == {cache.vault().sealer.active}
    assert secret_of(cache.vault(), user="1") == "late"
    assert cache.vault().find_refresh_token(slot_of("1").owner) is not None


def test_two_that_change_the_keyring_at_once_lose_neither_change(
    cache: TokenCache, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache.vault(), 3)
    other = TokenCache(directory, key=KEY)
    wrap = rotation.wrap_keyring

    def interrupted(keyring: Keyring, root_key: bytes, generation: int) -> bytes:
        sealed = wrap(keyring, root_key, generation)
        monkeypatch.undo()
        other.rotate_data_key()
        return sealed

    monkeypatch.setattr(rotation, "wrap_keyring", interrupted)
    assert cache.rotate_data_key() == (10, 0, 1)
    assert all_there(cache.vault(), 3)
    assert all_there(open_vault(directory), 3)
    assert key_ids(other.vault()) == set(in_keyring(cache.vault()))


def test_a_record_that_does_not_verify_keeps_no_key_alive(cache: TokenCache) -> None:
    vault = cache.vault()
    fill(vault, 2)
    key = vault.keys.access_token(slot_of("0"), ("a",))
    sealed = bytearray(_engine.read(vault.shared.store, _engine.ACCESS, key)[1] or b"")
    sealed[-1] ^= 1
    vault.shared.commit([(_engine.PUT, _engine.ACCESS, key, bytes(sealed))])
    assert cache.rotate_data_key() == (6, 1, 1)
    assert _engine.read(vault.shared.store, _engine.ACCESS, key)[1] == bytes(sealed)


def test_an_active_key_that_is_barred_is_damage_and_not_an_endless_loop(cache: TokenCache) -> None:
    vault = cache.vault()
    vault.shared.commit([(_engine.PUT, _engine.META, retired_name(vault.sealer.active), b"\1")])
    with pytest.raises(CacheCorruptError) as caught:
        fill(vault, 1)
    assert caught.value.code == "keyring_damaged"


def test_an_empty_cache_gets_a_new_data_key_too(cache: TokenCache) -> None:
    before = cache.vault().sealer.active
    assert cache.rotate_data_key() == (0, 0, 1)
    assert cache.vault().sealer.active != before


@pytest.mark.parametrize("transactions", [1, 2, 4, 7, 8])
def test_a_rotation_that_was_killed_is_finished_by_the_next(directory: Path, transactions: int) -> None:
    vault = open_vault(directory)
    fill(vault, 130)  # 390 records, 9 transactions
    old = vault.sealer.active
    process = start("rotate_and_die.py", directory, transactions)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert all_there(vault, 130)
    assert [key.state for key in vault.sealer.reload().keyring.data_keys][1:] == [DECRYPT_ONLY]
    assert old in key_ids(vault)
    cache = TokenCache(directory, key=KEY)
    assert cache.rotate_data_key() == (391, 0, 2)
    assert all_there(vault, 130)
    assert all_there(open_vault(directory), 130)
    assert key_ids(vault) == set(in_keyring(vault))
    assert old not in key_ids(vault)
    assert vault.sealer.refused == 0


# --- without a key ---


def test_an_unencrypted_cache_says_so(directory: Path, tmp_path: Path) -> None:
    cache = TokenCache(directory, allow_unencrypted=True)
    assert "allow_unencrypted=True" in repr(cache)
    assert not cache.is_encrypted
    assert not cache.stats().is_encrypted
    fill(cache.vault(), 1)
    assert all_there(TokenCache(directory, allow_unencrypted=True).vault(), 1)
    assert repr(TokenCache(tmp_path / "place", key=KEY)) == f"TokenCache('{tmp_path}/place')"
    assert TokenCache(directory, key=KEY).is_encrypted
    assert TokenCache(tmp_path / "locked", key=KEY).stats().is_encrypted


def test_caches_with_and_without_a_key_are_not_mixed(tmp_path: Path) -> None:
    fill(open_vault(tmp_path / "locked"), 1)
    fill(TokenCache(tmp_path / "open", allow_unencrypted=True).vault(), 1)
    with pytest.raises(CacheRefusedError, match="got allow_unencrypted=True; pass that key") as caught:
        TokenCache(tmp_path / "locked", allow_unencrypted=True).vault()
    assert caught.value.code == "wrong_key"
    with pytest.raises(CacheRefusedError, match="was made with allow_unencrypted=True") as caught:
        open_vault(tmp_path / "open")
    assert caught.value.code == "wrong_key"


def test_no_key_file_is_made_for_an_unencrypted_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    TokenCache(tmp_path / "open", allow_unencrypted=True).vault()
    assert not (tmp_path / "config").exists()


def test_a_key_and_none_at_once_are_refused(directory: Path) -> None:
    for wrong in ({"key": KEY, "allow_unencrypted": True}, {"allow_unencrypted": 1}, {"allow_unencrypted": "yes"}):
        with pytest.raises(ValueError, match="allow_unencrypted=True without a key"):
            TokenCache(directory, **wrong)  # type: ignore[arg-type]
    assert not os.path.lexists(directory)


def test_the_published_key_is_no_key(directory: Path) -> None:
    with pytest.raises(ValueError, match="allow_unencrypted=True if that is meant"):
        TokenCache(directory, key=b"warmtoken cache: not encrypted!!")


def test_an_unencrypted_cache_gets_no_key(directory: Path) -> None:
    cache = TokenCache(directory, allow_unencrypted=True)
    with pytest.raises(ClientError) as caught:
        cache.rotate_key(KEY)
    assert caught.value.code == "cache_unencrypted"
    fill(cache.vault(), 2)
    assert cache.rotate_data_key() == (7, 0, 1)
    assert all_there(TokenCache(directory, allow_unencrypted=True).vault(), 2)
