"""Which entries of an MSAL cache can be used."""

from __future__ import annotations

import pytest
from support.msal_texts import NOW, access, text_of

from warmtoken.interop.msal_document import parse_document
from warmtoken.interop.msal_reading import read_document

TEN_YEARS = 3650 * 86400


@pytest.mark.parametrize(
    ("expires_on", "reason"),
    [
        (NOW - 1, "expired"),
        (NOW, "expired"),
        (NOW + 1, None),
        (NOW + TEN_YEARS, None),
        (NOW + TEN_YEARS + 1, "expires_on_invalid"),
    ],
)
def test_an_access_token_is_taken_while_it_lasts_but_for_no_more_than_ten_years(expires_on: int, reason: str) -> None:
    readings = read_document(parse_document(text_of(AccessToken=[access(expires_on=expires_on)])), NOW)
    assert [entry.reason for entry in readings.skipped] == ([reason] if reason else [])
    assert len(readings.records("AccessToken")) == (0 if reason else 1)


def test_the_newest_comes_first() -> None:
    entries = [
        access("old", cached_at="5"),
        access("new", cached_at="7"),
        access("lasts", cached_at="7", expires_on=NOW + 9e3),
    ]
    readings = read_document(parse_document(text_of(AccessToken=entries)), NOW)
    assert [record.secret for record in readings.records("AccessToken")] == ["lasts", "new", "old"]
