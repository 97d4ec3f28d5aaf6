"""Records become bytes and come back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.records import (
    PADDING,
    AccessTokenRecord,
    AccountRecord,
    AppRecord,
    IdTokenRecord,
    NoteRecord,
    RefreshTokenRecord,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
TIMES = st.integers(0, 2**40)
KINDS: list[tuple[Any, Any, set[str]]] = [
    (AccessTokenRecord, records.decode_access_token, {"cached_at", "expires_on", "refresh_on"}),
    (IdTokenRecord, records.decode_id_token, set()),
    (RefreshTokenRecord, records.decode_refresh_token, {"last_modification_time"}),
    (AccountRecord, records.decode_account, set()),
    (AppRecord, records.decode_app, set()),
    (NoteRecord, records.decode_note, {"noted_ms", "status"}),
]


@pytest.mark.parametrize(("kind", "decode", "times"), KINDS)
@given(data=st.data())
def test_a_record_comes_back_as_it_was(kind: Any, decode: Any, times: set[str], data: st.DataObject) -> None:
    record = kind(*(data.draw(TIMES if name in times else TEXT) for name in kind._fields))
    assert decode(records.encode(record)) == record


@pytest.mark.parametrize("kind", [AccessTokenRecord, IdTokenRecord])
@given(data=st.data())
def test_the_fields_of_what_the_engine_reads_come_back(kind: Any, data: st.DataObject) -> None:
    fields = [data.draw(TEXT) for _ in kind._fields]
    assert _engine.split_fields(records.encode(kind(*fields))) == fields


@given(secret=TEXT)
def test_the_length_shows_a_step_of_256_bytes_alone(secret: str) -> None:
    size = len(records.encode(AppRecord(secret, "")))
    assert size % PADDING == 0
    assert PADDING == 256
    assert 0 <= size - (1 + 4 * 4 + len(secret.encode())) < PADDING


@pytest.mark.parametrize(
    "record",
    [
        AccessTokenRecord("u", "e", "c", "r", "t", "CANARY", 1, 2),
        RefreshTokenRecord("u", "e", "c", "CANARY"),
        IdTokenRecord("u", "e", "c", "r", "CANARY"),
    ],
)
def test_the_repr_shows_no_secret(record: Any) -> None:
    assert record.secret == "CANARY"
    assert "CANARY" not in f"{record!r} {record} {[record]}"


def test_a_record_with_fields_of_a_later_version_is_read() -> None:
    class Later(tuple[str, ...]):
        __slots__ = ()

    plain = records.encode(Later(("client", "environment", "family", "extra", "of a later version")))  # type: ignore[arg-type]
    assert records.decode_app(plain) == AppRecord("client", "environment", "family", "extra")
