"""Refresh tokens that are kept beside the one in use: which takes the place of a dead one."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmtoken import TokenCache
from warmtoken.cache.kept_tokens import kept_beside, replace_dead
from warmtoken.cache.lookup_keys import Owner
from warmtoken.cache.records import RefreshTokenRecord
from warmtoken.cache.sealing import RecordType
from warmtoken.cache.transfer import Write, write_all
from warmtoken.cache.vault import CachedRefreshToken, Vault

OWNER = Owner("https://id.test", "cli", "alice")


@pytest.fixture
def vault(directory: Path) -> Vault:
    return TokenCache(directory, key=bytes(32)).vault()


def token(secret: str, *, age: int = 0, family_id: str = "") -> RefreshTokenRecord:
    return RefreshTokenRecord("alice", "id.test", "cli", secret, "", family_id, 100 - age)


def put(vault: Vault, own: RefreshTokenRecord, *kept: RefreshTokenRecord) -> CachedRefreshToken:
    keys = [vault.keys.kept_refresh_token(OWNER, one.secret) for one in kept]
    writes = [Write(RecordType.REFRESH_TOKEN, key, one) for key, one in zip(keys, kept, strict=True)]
    own_write = Write(RecordType.REFRESH_TOKEN, vault.keys.refresh_token(OWNER), own)
    write_all(vault, [own_write, *writes], lambda write, there: [write])
    found = vault.find_refresh_token(OWNER)
    assert found is not None
    return found


def in_use(vault: Vault) -> str | None:
    found = vault.find_refresh_token(OWNER)
    return found.record.secret if found else None


def test_the_newest_takes_the_place(vault: Vault) -> None:
    dead = put(vault, token("dead"), token("old", age=9), token("newer", age=5), token("oldest", age=20))
    assert replace_dead(vault, OWNER, dead) is True
    assert in_use(vault) == "newer"
    assert {one.secret for one in kept_beside(vault, OWNER)} == {"old", "oldest"}


def test_without_one_the_dead_token_leaves(vault: Vault) -> None:
    assert replace_dead(vault, OWNER, put(vault, token("dead"))) is False
    assert in_use(vault) is None


def test_that_of_a_family_is_none_of_the_clients_own(vault: Vault) -> None:
    dead = put(vault, token("dead"), token("family", family_id="1"))
    assert replace_dead(vault, OWNER, dead) is False
    assert in_use(vault) is None


def test_a_token_that_was_replaced_meanwhile_stays(vault: Vault) -> None:
    dead = put(vault, token("dead"), token("kept", age=9))
    put(vault, token("signed-in"))
    assert replace_dead(vault, OWNER, dead) is False
    assert in_use(vault) == "signed-in"
    assert [one.secret for one in kept_beside(vault, OWNER)] == ["kept"]


def test_they_leave_with_the_account(vault: Vault) -> None:
    put(vault, token("own"), token("kept", age=9))
    vault.remove_account(OWNER)
    assert (in_use(vault), kept_beside(vault, OWNER)) == (None, [])
