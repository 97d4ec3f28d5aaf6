"""Reading all that a cache holds, and writing much at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from warmtoken import TokenCache
from warmtoken.cache.lookup_keys import Owner
from warmtoken.cache.records import AccountRecord, AppRecord, NoteRecord, Record, SectionRecord
from warmtoken.cache.sealing import RecordType
from warmtoken.cache.transfer import Write, read_all, write_all
from warmtoken.cache.vault import Vault

OWNER = Owner("https://id.test", "cli", "alice")


@pytest.fixture
def cache(directory: Path) -> Iterator[TokenCache]:
    with TokenCache(directory, key=bytes(32)) as cache:
        yield cache


@pytest.fixture
def vault(cache: TokenCache) -> Vault:
    return cache.vault()


def app(vault: Vault, family_id: str = "") -> Write:
    return Write(RecordType.APP, vault.keys.app(OWNER), AppRecord("cli", "id.test", family_id))


def account(vault: Vault, number: int) -> Write:
    record = AccountRecord("alice", "id.test", f"realm-{number}")
    return Write(RecordType.ACCOUNT, vault.keys.account_in(OWNER, record.realm), record)


def overwrite(write: Write, there: Record | None) -> list[Write]:
    return [write]


def test_what_was_written_is_read(vault: Vault) -> None:
    section = Write(RecordType.SECTION, vault.keys.section("name"), SectionRecord("name", "text"))
    assert write_all(vault, [app(vault), account(vault, 1), section], overwrite) == []
    contents = read_all(vault)
    assert contents.apps == [AppRecord("cli", "id.test")]
    assert contents.accounts == [account(vault, 1).record]
    assert contents.sections == [SectionRecord("name", "text")]
    assert contents.access_tokens == contents.refresh_tokens == contents.id_tokens == []


def test_a_section_stays_where_notes_come_and_go(vault: Vault) -> None:
    section = SectionRecord("name", "text")
    write_all(vault, [Write(RecordType.SECTION, vault.keys.section("name"), section)], overwrite)
    now = 1_800_000_000_000
    for number in range(20):
        note = NoteRecord(now, 429, "code", "message")
        vault.notes.put(number.to_bytes(32), note, now - 1)
    assert read_all(vault).sections == [section]


def test_more_than_a_page_is_read(vault: Vault) -> None:
    writes = [account(vault, number) for number in range(600)]
    write_all(vault, writes, overwrite)
    assert sorted(read_all(vault).accounts) == sorted(write.record for write in writes)  # type: ignore[type-var]


def test_all_is_one_transaction(vault: Vault) -> None:
    before = vault.newest
    write_all(vault, [account(vault, number) for number in range(50)], overwrite)
    assert vault.newest == before + 1


def test_what_is_there_is_not_written_again(vault: Vault) -> None:
    write_all(vault, [app(vault)], overwrite)
    before = vault.newest
    assert write_all(vault, [app(vault)], overwrite) == []
    assert vault.newest == before


def test_what_gives_way_is_told_and_the_rest_is_written(vault: Vault) -> None:
    write_all(vault, [app(vault, "1")], overwrite)
    left = write_all(vault, [app(vault), account(vault, 1)], lambda write, there: [] if there else [write])
    assert left == [app(vault)]
    assert vault.app(OWNER) == AppRecord("cli", "id.test", "1")
    assert len(vault.accounts(OWNER)) == 1


def test_what_changes_meanwhile_is_looked_at_again(vault: Vault) -> None:
    seen: list[Record | None] = []

    def overtaken(write: Write, there: Record | None) -> list[Write]:
        seen.append(there)
        if len(seen) == 1:
            vault.save_app(OWNER, AppRecord("cli", "id.test", "1"))
        return [] if there else [write]

    assert write_all(vault, [app(vault, "2")], overtaken) == [app(vault, "2")]
    assert seen == [None, AppRecord("cli", "id.test", "1")]
    assert vault.app(OWNER) == AppRecord("cli", "id.test", "1")


def test_what_does_not_verify_is_as_good_as_not_there(vault: Vault, cache: TokenCache) -> None:
    write = app(vault)
    sealed = vault.sealer.seal(RecordType.APP, bytes(32), b"\0", (0, 0, 1, 0))  # type: ignore[arg-type]
    vault.shared.commit([(0, 7, write.key, sealed)])
    assert vault.app(OWNER) is None
    assert write_all(vault, [write], overwrite) == []
    assert vault.app(OWNER) == write.record
