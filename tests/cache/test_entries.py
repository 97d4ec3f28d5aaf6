"""Single records are read lazily and deleted with all that leads to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from isolated.support import FAR, find, new_tokens, open_vault, slot_of

from warmtoken import _engine
from warmtoken.cache.entries import Entries
from warmtoken.cache.sealing import Header, RecordType
from warmtoken.cache.vault import Vault


@pytest.fixture
def vault(directory: Path) -> Vault:
    return open_vault(directory)


def test_all_records_under_a_prefix_come_in_pages(vault: Vault) -> None:
    for number in range(300):
        vault.save(new_tokens(f"access {number}", (f"scope{number}",)))
    entries, partition = Entries(vault), vault.keys.partition(slot_of().owner)
    found = list(entries.under(RecordType.ACCESS_TOKEN, partition))
    assert [key for key, _ in found] == sorted(key for key, _ in found)
    assert {record.secret for _, record in found} == {f"access {number}" for number in range(300)}
    assert {record.secret for _, record in entries.under(RecordType.ACCESS_TOKEN)} == {
        record.secret for _, record in found
    }
    assert list(entries.under(RecordType.ACCESS_TOKEN, vault.keys.partition(slot_of("other").owner))) == []


def test_every_kind_comes_back_as_it_was_saved(vault: Vault) -> None:
    new = new_tokens("access", ("a", "b"), refresh="refresh", identity="identity")
    vault.save(new)
    entries, keys, owner = Entries(vault), vault.keys, new.slot.owner
    access = entries.find_access_token(new.slot, ("a",), 0)
    assert access is not None
    assert (access.record, access.key) == (new.access_token, keys.access_token(new.slot, ("a", "b")))
    assert access.txnid == vault.newest
    assert entries.at(RecordType.REFRESH_TOKEN, keys.refresh_token(owner)) == new.refresh_token
    assert new.id_token is not None
    assert entries.at(RecordType.ID_TOKEN, keys.id_token(owner, new.id_token.realm)) == new.id_token
    assert entries.at(RecordType.ID_TOKEN, keys.id_token(owner, "elsewhere")) is None
    assert entries.find_access_token(new.slot, ("c",), 0) is None


def test_the_tokens_of_a_slot_are_found_by_one_of_their_scopes(vault: Vault) -> None:
    for scopes in (("a", "b"), ("a", "c"), ("d",)):
        vault.save(new_tokens(" ".join(scopes), scopes))
    entries = Entries(vault)
    assert {record.secret for record in entries.with_scope(slot_of(), "a")} == {"a b", "a c"}
    assert {record.secret for record in entries.with_scope(slot_of(), None)} == {"a b", "a c", "d"}
    assert list(entries.with_scope(slot_of("other"), "a")) == []


def test_a_deleted_token_is_found_by_none_of_its_scopes(vault: Vault) -> None:
    vault.save(new_tokens("access", ("a", "b"), refresh="refresh"))
    entries, keys, slot = Entries(vault), vault.keys, slot_of()
    before = vault.newest
    entries.delete(
        [
            (RecordType.ACCESS_TOKEN, keys.access_token(slot, ("a", "b"))),
            (RecordType.REFRESH_TOKEN, keys.refresh_token(slot.owner)),
        ]
    )
    assert vault.newest == before + 1
    assert find(vault, ("a",)) is None
    for db in (_engine.ACCESS, _engine.SCOPE, _engine.EXPIRY):
        assert _engine.scan(vault.shared.store, db, b"") == []
    assert vault.find_refresh_token(slot.owner) is None
    entries.delete([])
    assert vault.newest == before + 1


def test_what_does_not_verify_is_not_there(vault: Vault) -> None:
    vault.save(new_tokens("access", ("a",)))
    entries, slot = Entries(vault), slot_of()
    key = vault.keys.access_token(slot, ("a",))
    forged = vault.sealer.seal(RecordType.ID_TOKEN, key, bytes(256), Header(1000 * FAR, 0, 1))
    vault.write(lambda: [(_engine.PUT, _engine.ACCESS, key, forged)])
    assert entries.at(RecordType.ACCESS_TOKEN, key) is None
    assert entries.find_access_token(slot, ("a",), 0) is None
    assert list(entries.under(RecordType.ACCESS_TOKEN)) == []
