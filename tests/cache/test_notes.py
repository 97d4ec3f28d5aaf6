"""Notes: what the provider said last, for all processes, and for no longer than it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from isolated.support import FileReader, new_tokens, open_vault, slot_of

from warmtoken import _engine
from warmtoken.cache import notes as notes_module
from warmtoken.cache.records import AccountRecord, NoteRecord
from warmtoken.errors import CacheFullError

if TYPE_CHECKING:
    from pathlib import Path

    from warmtoken.cache.vault import Vault

NOW = 1_800_000_000_000  # Unix milliseconds
NOTE = NoteRecord(NOW, 429, "request_throttled", "wait", claims="the claims")
SLOT = slot_of()


@pytest.fixture
def vault(directory: Path) -> Vault:
    return open_vault(directory)


def key_of(vault: Vault, scope: str = "a", user: str = "user-1") -> bytes:
    return vault.keys.throttled(slot_of(user), (scope,))


def stored(vault: Vault) -> list[bytes]:
    return [key for key, _ in _engine.scan(vault.shared.store, _engine.NOTE, b"", None, 10_000)]


@pytest.mark.parametrize(
    ("now", "is_there"),
    [
        pytest.param(NOW - 1, False, id="the clock was set back"),
        pytest.param(NOW, True, id="at once"),
        pytest.param(NOW + 59_999, True, id="the last moment"),
        pytest.param(NOW + 60_000, False, id="over"),
    ],
)
@pytest.mark.parametrize("is_full", [False, True], ids=["in the file", "in memory"])
def test_a_note_holds_from_when_it_was_made_to_its_end(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, now: int, is_there: bool, is_full: bool
) -> None:
    with monkeypatch.context() as patch:
        if is_full:
            fill(vault, patch)
        vault.notes.put(key_of(vault), NOTE, NOW + 60_000)
    found = vault.notes.find(key_of(vault), now)
    assert found == ((NOTE, NOW + 60_000) if is_there else None)
    assert vault.notes.find(key_of(vault, "b"), now) is None
    assert stored(vault) == ([] if is_full else [key_of(vault)])


def fill(vault: Vault, patch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise CacheFullError("disk_full", "no room")

    patch.setattr(vault.shared, "commit", full)


def test_a_note_is_sealed(vault: Vault, directory: Path, file_reader: FileReader) -> None:
    vault.notes.put(key_of(vault), NOTE._replace(message="note-canary", claims="claims-canary"), NOW + 1)
    ((_, value),) = file_reader.dump(directory / "tokens-v1.mdb")["note"].items()
    assert b"canary" not in value
    assert b"canary" not in repr(NOTE._replace(message="canary")).encode()


def test_a_newer_note_replaces_the_older_one(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of(vault)
    with monkeypatch.context() as patch:
        fill(vault, patch)
        vault.notes.put(key, NOTE, NOW + 1000)
    vault.notes.put(key, NOTE._replace(message="another"), NOW + 2000)
    assert vault.notes.find(key, NOW + 500) == (NOTE._replace(message="another"), NOW + 2000)
    assert not vault.shared.unsaved_notes


def test_each_note_takes_some_that_have_ended_with_it(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        vault.notes.put(key_of(vault, str(number)), NOTE, NOW + (1 if number % 2 else 10**9))
    assert len(stored(vault)) == 40
    monkeypatch.setattr(notes_module.os, "urandom", bytes)  # from the beginning
    later = NOTE._replace(noted_ms=NOW + 10)
    for number in range(40, 45):
        vault.notes.put(key_of(vault, str(number)), later, NOW + 10**9)
    assert 20 + 5 <= len(stored(vault)) < 40
    assert all(vault.notes.find(key_of(vault, str(number)), NOW + 20) for number in range(0, 40, 2))


def test_a_note_that_has_ended_can_be_deleted(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    key = key_of(vault)
    assert not vault.notes.has_ended(key, NOW)
    vault.notes.put(key, NOTE, NOW + 10)
    assert not vault.notes.has_ended(key, NOW + 9)
    assert vault.notes.has_ended(key, NOW + 10)
    with monkeypatch.context() as patch:
        fill(vault, patch)
        vault.notes.delete(key)  # no harm if it cannot be done
    vault.notes.delete(key)
    assert stored(vault) == []


def test_a_sign_in_and_a_sign_out_take_the_notes_of_their_user_along(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = key_of(vault), key_of(vault, user="other")
    account = AccountRecord("user-1", "idp.example.test", "tenant-1")

    def note_both(is_full: bool) -> None:
        for key in (mine, others):
            with monkeypatch.context() as patch:
                if is_full:
                    fill(vault, patch)
                vault.notes.put(key, NOTE, NOW + 1000)

    for is_full in (False, True):
        for end in (
            lambda: vault.save(new_tokens("access", refresh="refresh")._replace(account=account)),
            lambda: vault.remove_account(SLOT.owner),
        ):
            note_both(is_full)
            end()
            assert vault.notes.find(mine, NOW) is None
            assert vault.notes.find(others, NOW) is not None


def test_a_reply_to_a_refresh_leaves_them(vault: Vault) -> None:
    vault.save(new_tokens("access", refresh="refresh"))
    vault.notes.put(key_of(vault), NOTE, NOW + 1000)
    vault.save(new_tokens("another"))  # of no user's sign-in
    assert vault.notes.find(key_of(vault), NOW) is not None


def test_what_does_not_verify_is_no_note(vault: Vault) -> None:
    vault.notes.put(key_of(vault), NOTE, NOW + 1000)
    _, value = _engine.read(vault.shared.store, _engine.NOTE, key_of(vault))
    assert value is not None
    other = key_of(vault, "b")
    vault.shared.commit([(_engine.PUT, _engine.NOTE, other, value)])
    assert vault.notes.find(other, NOW) is None
    vault.shared.commit([(_engine.PUT, _engine.NOTE, other, b"short")])
    assert vault.notes.find(other, NOW) is None
    assert vault.notes.has_ended(other, NOW)


def test_only_so_many_are_kept_in_memory(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(vault, monkeypatch)
    monkeypatch.setattr(notes_module, "_KEPT_UNSAVED", 3)
    for number in range(5):
        vault.notes.put(key_of(vault, str(number)), NOTE, NOW + 1000)
    assert len(vault.shared.unsaved_notes) <= 3
    assert vault.notes.find(key_of(vault, "4"), NOW) is not None
