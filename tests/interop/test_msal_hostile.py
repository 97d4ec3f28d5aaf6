"""Hostile texts: nothing but the documented errors, and nothing written by halves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interop.conftest import MakeCache
from support.msal_hostile import documents, sound_documents, v2_documents
from support.msal_texts import DIALECTS, NOW

from warmtoken import ClientError, TokenCache
from warmtoken.interop.msal_document import SECTIONS
from warmtoken.interop.msal_report import ImportReport
from warmtoken.testing import Clock

CODES = {"msal_cache_not_json", "msal_cache_unknown_schema", "msal_cache_too_large"}
SYNTAX = [b",", b'"', b"}", b"{", b":", b"]"]
hostile = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenCache]:
    """A cache that all examples of a test go into."""
    clock = Clock()
    clock.step_wall(NOW + 0.5 - clock.time())
    path: Path = tmp_path_factory.mktemp("hostile") / "cache"
    with TokenCache(path, key=bytes(32), clock=clock) as cache:
        yield cache


def imported_or_code(cache: TokenCache, data: str | bytes) -> ImportReport | str:
    try:
        return cache.import_msal(data)
    except ClientError as error:
        return error.code


def import_or_refuse(cache: TokenCache, data: str | bytes) -> bool:
    """Import a text and check the report, or that the refusal wrote nothing; tell which."""
    before = cache.vault().newest
    report = imported_or_code(cache, data)
    if isinstance(report, str):
        assert report in CODES
        assert cache.vault().newest == before
        return False
    assert set(report.imported) == set(SECTIONS)
    assert all(count >= 0 for count in report.imported.values())
    return True


@hostile
@given(st.text() | st.binary())
def test_any_text_is_taken_or_refused(target: TokenCache, data: str | bytes) -> None:
    import_or_refuse(target, data)


@hostile
@given(documents | v2_documents)
def test_any_json_is_taken_or_refused(target: TokenCache, document: Any) -> None:
    import_or_refuse(target, json.dumps(document))


@hostile
@given(st.data(), st.sampled_from(sorted(DIALECTS)))
def test_a_sound_text_with_a_few_bytes_changed_is_taken_or_refused(
    target: TokenCache, data: st.DataObject, dialect: str
) -> None:
    text = bytearray(json.dumps(DIALECTS[dialect]()).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b",", b'"', b"}"])
        )
    import_or_refuse(target, bytes(text))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=sound_documents, dialect=st.sampled_from(sorted(DIALECTS)))
def test_what_was_taken_of_a_hostile_text_goes_out_and_in_again(
    make_cache: MakeCache, document: Any, dialect: str
) -> None:
    first, second = make_cache(), make_cache()
    if not import_or_refuse(first, json.dumps(document)):
        return
    report = second.import_msal(first.export_msal(dialect))
    assert report.skipped == ()
    assert second.export_msal("python") == first.export_msal("python")
    first.close()
    second.close()
