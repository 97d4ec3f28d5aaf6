"""Access tokens as requests find them: decoded, checked against what was asked for, with their id token."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from isolated.support import KEY, UnhurriedHits, slot_of

from warmtoken import Account, AuthenticationResult, _engine
from warmtoken.cache import records
from warmtoken.cache.lookup_keys import LookupKeys, Slot
from warmtoken.cache.records import AccessTokenRecord, IdTokenRecord
from warmtoken.cache.sealing import Header, RecordType, Sealer
from warmtoken.models import CacheRefreshReason, ResultMetadata

SLOT = slot_of()
SCOPES = ("a", "b")
RECORD = AccessTokenRecord(
    "User-1", "idp.example.test", "CLIENT-1", "Tenant-1", "A b", "the access token", 1_000, 4_000_000_000, 2_000,
    local_account_id="local",
)  # fmt: skip
REASONS: tuple[CacheRefreshReason, ...] = ("not_applicable", "expired")
IDENTITY = IdTokenRecord("User-1", "idp.example.test", "CLIENT-1", "Tenant-1", "the id token \u00fc")


class Shelf:
    """A store with sealed records, under the keys that requests look for."""

    def __init__(self, path: Path) -> None:
        self.store = _engine.open_store(str(path), 1 << 26)
        self.keys = LookupKeys(bytes(32))
        self.sealer = Sealer([KEY], b"file id of file1")

    def put(self, record: AccessTokenRecord, slot: Slot = SLOT, scopes: tuple[str, ...] = SCOPES) -> None:
        self.put_plain(records.encode(record), slot, scopes, record.expires_on)

    def put_plain(
        self,
        plain: bytes,
        slot: Slot = SLOT,
        scopes: tuple[str, ...] = SCOPES,
        expires_on: int = 4_000_000_000,
        refresh_ms: int = 0,
    ) -> None:
        key = self.keys.access_token(slot, scopes)
        sealed = self.sealer.seal(RecordType.ACCESS_TOKEN, key, plain, Header(expires_on * 1000, refresh_ms, 1))
        hashes = b"".join(self.keys.scopes(slot, scopes))
        _engine.commit(self.store, [[(_engine.PUT_TOKEN, _engine.ACCESS, key, sealed, hashes)]])

    def put_id_token(self, record: IdTokenRecord) -> None:
        key = self.keys.id_token(SLOT.owner, SLOT.realm)
        sealed = self.sealer.seal(RecordType.ID_TOKEN, key, records.encode(record), Header(0, 0, 1))
        _engine.commit(self.store, [[(_engine.PUT, _engine.IDENTITY, key, sealed)]])

    def find(self, slot: Slot = SLOT, scopes: tuple[str, ...] = SCOPES) -> _engine.CachedToken | None:
        user = (slot.owner.home_account_id or "").lower()
        wanted, partition = self.keys.wanted(slot, scopes), self.keys.partition(slot.owner)
        return _engine.load_token(self.store, self.sealer, wanted, partition, user, 0)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "tokens")


def test_whose_a_token_is_is_told_to_who_does_not_say_it(shelf: Shelf) -> None:
    shelf.put(RECORD)
    wanted, partition = shelf.keys.wanted(SLOT, SCOPES), shelf.keys.partition(SLOT.owner)
    found = _engine.load_token(shelf.store, shelf.sealer, wanted, partition, None, 0)
    assert found is not None
    assert (found.home_account_id, found.secret) == ("User-1", RECORD.secret)
    named = shelf.find()
    assert named is not None
    assert named.home_account_id is None
    for wrong in ({"realm": "other"}, {"client_id": "other"}, {"extended_key": "other"}, {"target": "A"}):
        shelf.put(RECORD._replace(**wrong))
        assert _engine.load_token(shelf.store, shelf.sealer, wanted, partition, None, 0) is None


def test_a_token_comes_back_field_by_field(shelf: Shelf) -> None:
    shelf.put(RECORD)
    shelf.put_id_token(IDENTITY)
    found = shelf.find()
    assert found is not None
    for name in (
        "secret",
        "target",
        "token_type",
        "realm",
        "local_account_id",
        "cached_at",
        "expires_on",
        "refresh_on",
    ):
        assert getattr(found, name) == getattr(RECORD, name), name
    assert found.scopes == ("A", "b")
    assert found.id_token == IDENTITY.secret
    assert found.txnid == shelf.store.newest
    assert found.weight >= len(RECORD.secret) + len(IDENTITY.secret)


def test_a_subset_of_the_scopes_finds_the_token(shelf: Shelf) -> None:
    shelf.put(RECORD)
    for scopes in (("a",), ("b",), ()):
        found = shelf.find(scopes=scopes)
        assert found is not None
        assert found.id_token is None
    assert shelf.find(scopes=("a", "c")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"home_account_id": "user-2"}, {"client_id": "client-2"}, {"realm": "tenant-2"}, {"token_type": "pop"},
        {"key_id": "k"}, {"extended_key": "e"}, {"target": "a"}, {"target": ""},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_token_that_says_something_else_than_its_key_is_not_served(shelf: Shelf, change: dict[str, str]) -> None:
    shelf.put(RECORD)
    assert shelf.find() is not None
    shelf.put(RECORD._replace(**change))
    assert shelf.find() is None


@pytest.mark.parametrize("times", [(0, 0, 0), (-1, 253_402_300_799, 5), (10**17, 10**18 - 1, 10**18)])
def test_times_come_back_whatever_they_are(shelf: Shelf, times: tuple[int, int, int]) -> None:
    shelf.put_plain(records.encode(RECORD._replace(cached_at=times[0], expires_on=times[1], refresh_on=times[2])))
    found = shelf.find()
    assert found is not None
    assert (found.cached_at, found.expires_on, found.refresh_on) == times


@pytest.mark.parametrize("plain", [b"", b"\1\0\0\0\0", bytes([200]) + bytes(2000), b"\3" + b"\xff" * 40])
def test_a_verified_record_that_is_none_is_an_error_and_no_token(shelf: Shelf, plain: bytes) -> None:
    shelf.put_plain(plain)
    with pytest.raises(ValueError, match="expected"):
        shelf.find()


def test_a_damaged_record_is_not_there_and_is_counted(shelf: Shelf) -> None:
    shelf.put(RECORD)
    shelf.put_id_token(IDENTITY)
    key = shelf.keys.id_token(SLOT.owner, SLOT.realm)
    _engine.commit(shelf.store, [[(_engine.PUT, _engine.IDENTITY, key, b"damaged" * 20)]])
    found = shelf.find()
    assert found is not None
    assert (found.id_token, shelf.sealer.refused) == (None, 1)
    other = Sealer([bytes(32)], b"file id of file1")
    wanted, partition = shelf.keys.wanted(SLOT, SCOPES), shelf.keys.partition(SLOT.owner)
    assert _engine.load_token(shelf.store, other, wanted, partition, "user-1", 0) is None
    assert other.refused == 1


def test_the_witnesses_are_those_of_both_records(shelf: Shelf) -> None:
    shelf.put(RECORD)
    view = UnhurriedHits(shelf.store, _engine.Clock(), 64, 1 << 20).view()

    def remember() -> None:
        found = shelf.find()
        assert found is not None
        view.remember(SCOPES, None, None, "result", 4_000_000_000_000, found.txnid, found.witnesses, 100)

    changes = (
        lambda: shelf.put_id_token(IDENTITY),
        lambda: shelf.put_id_token(IDENTITY._replace(secret="another")),
        lambda: shelf.put(RECORD._replace(secret="another")),
    )
    for change in changes:
        remember()
        _engine.commit(shelf.store, [[(_engine.PUT, _engine.NOTE, b"something else", b"x")]])
        assert view.lookup(SCOPES) == "result"
        change()
        assert view.lookup(SCOPES) is None


def test_a_result_is_what_its_constructor_would_have_made(shelf: Shelf) -> None:
    shelf.put(RECORD)
    shelf.put_id_token(IDENTITY)
    found = shelf.find()
    assert found is not None
    account = Account("User-1", "idp.example.test")
    made = _engine.cached_result(found, account, "store", 1.5, "an id")
    metadata = ResultMetadata("cache", "not_applicable", "store", 2_000, 1.5, 0.0, None)
    expected = AuthenticationResult(
        RECORD.secret, RECORD.expires_on, ("A", "b"), "Bearer", account, IDENTITY.secret, "Tenant-1", "local", "an id",
        metadata,
    )  # fmt: skip
    assert made == expected
    assert hash(made) == hash(expected)
    assert replace(made, correlation_id=None) == replace(expected, correlation_id=None)
    assert all(getattr(made, field.name) is not None for field in fields(made))
    assert RECORD.secret not in repr(made)
    with pytest.raises(AttributeError):
        made.access_token = "another"  # type: ignore[misc]


def test_a_result_says_why_a_refresh_was_tried_before(shelf: Shelf) -> None:
    shelf.put(RECORD._replace(refresh_on=0))
    found = shelf.find()
    assert found is not None
    in_memory = [_engine.cached_result(found, None, "L1", 0.0, None, reason).metadata for reason in REASONS]
    assert in_memory == [ResultMetadata("cache", reason, "L1") for reason in REASONS]
    assert _engine.cached_result(found, None, "L1", 0.0, None).metadata == in_memory[0]


def test_the_header_says_when_a_token_is_to_be_refreshed(shelf: Shelf) -> None:
    """The record keeps what the provider said; that of the header is the same for all processes."""
    shelf.put_plain(records.encode(RECORD), refresh_ms=2_345_678)
    found = shelf.find()
    assert found is not None
    assert (found.refresh_on, found.refresh_ms) == (2_000, 2_345_678)


@pytest.mark.parametrize(
    "arguments",
    [
        (b"short", b"8 bytes!", None), (bytes(16), b"", None), (bytes(16), b"seven b", None),
        (bytes(16), b"8 bytes!", b"short"),
    ],
)  # fmt: skip
def test_wrong_parts_are_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        _engine.Wanted(*arguments, "", "", "", "", "", ())


# --- absence ---


def test_nothing_is_there_until_something_is(shelf: Shelf) -> None:
    wanted, partition = shelf.keys.wanted(SLOT, ("a",)), shelf.keys.partition(SLOT.owner)
    refresh = shelf.keys.refresh_token(SLOT.owner)

    def nothing() -> int:
        return _engine.nothing_for(shelf.store, wanted, partition, refresh)

    assert nothing() == shelf.store.newest
    shelf.put(RECORD)
    assert nothing() == 0
    _engine.commit(shelf.store, [[(_engine.DELETE_TOKEN, _engine.ACCESS, shelf.keys.access_token(SLOT, SCOPES))]])
    assert nothing() == shelf.store.newest
    _engine.commit(shelf.store, [[(_engine.PUT, _engine.REFRESH, refresh, b"sealed")]])
    assert nothing() == 0


# --- plaintext of records ---


def test_fields_are_joined_as_they_are_split() -> None:
    plain = _engine.join_fields(("", "ä", 42, "x" * 300), 256)
    assert len(plain) == 512
    assert _engine.split_fields(plain) == ["", "ä", "42", "x" * 300]
    assert plain.endswith(bytes(512 - 1 - 4 * 4 - 2 - 2 - 300))


def test_a_record_with_too_many_fields_is_refused() -> None:
    assert len(_engine.split_fields(_engine.join_fields(("x",) * 32, 16))) == 32
    with pytest.raises(ValueError, match="32 fields at most"):
        _engine.join_fields(("x",) * 33, 16)
