"""The text of an MSAL cache: what is read, what is refused as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.chains import all_that_is_told_by

from warmtoken import ClientError
from warmtoken.interop import msal_document
from warmtoken.interop.msal_document import SECTIONS, Document, parse_document

ONE = '{"AccessToken": {"key": {"secret": "s"}}}'
NO_ENTRIES: dict[str, list[object]] = {section: [] for section in SECTIONS}


def code_of(data: Any) -> str:
    with pytest.raises(ClientError) as caught:
        parse_document(data)
    assert "nothing was imported" in str(caught.value)
    return caught.value.code


def test_sections_are_read_without_their_keys() -> None:
    assert parse_document(ONE) == Document(NO_ENTRIES | {"AccessToken": [{"secret": "s"}]}, {})


@pytest.mark.parametrize("data", [ONE.encode(), "\ufeff" + ONE, b"\xef\xbb\xbf" + ONE.encode()])
def test_bytes_are_as_good_as_text_and_a_byte_order_mark_is_dropped(data: str | bytes) -> None:
    assert parse_document(data) == parse_document(ONE)


@pytest.mark.parametrize(
    "text",
    [
        '{"AccessToken": {"key": {"secret": "s",},},}',
        '{"AccessToken": {"key": {"secret": "s" \n , \t}}}',
    ],
)
def test_trailing_commas_are_allowed(text: str) -> None:
    assert parse_document(text) == parse_document(ONE)


@pytest.mark.parametrize("secret", [",]", ',"}', '\\",}', "\\\\", ", }, ]"])
def test_what_looks_like_a_trailing_comma_in_a_string_is_text(secret: str) -> None:
    text = json.dumps({"AccessToken": {"key": {"secret": secret}}})
    assert parse_document(text[:-1] + ",}").sections["AccessToken"] == [{"secret": secret}]


@pytest.mark.parametrize("text", ['{"a": ,}', '{"AccessToken": {}} ,', "{,,}"])
def test_other_commas_too_many_are_not(text: str) -> None:
    assert code_of(text) in {"msal_cache_not_json", "msal_cache_unknown_schema"}


def test_names_of_sections_are_compared_without_case() -> None:
    text = '{"accesstoken": {"a": 1}, "ACCESSTOKEN": {"b": 2}}'
    assert parse_document(text) == Document(NO_ENTRIES | {"AccessToken": [1, 2]}, {})


def test_sections_that_nobody_knows_are_kept() -> None:
    text = '{"Account": {}, "Future": [1, null], "Other": {"a": {}}}'
    assert parse_document(text) == Document(NO_ENTRIES, {"Future": [1, None], "Other": {"a": {}}})


def test_an_empty_cache_is_one() -> None:
    for text in ("{}", '{"AccessToken": null}', "[]"):
        assert parse_document(text) == Document(NO_ENTRIES, {})


def test_the_older_array_holds_entries_as_text() -> None:
    text = json.dumps(
        [
            {"Key": "access_tokens", "Value": ['{"secret": "a"}', "no json", 5]},
            {"Key": "refresh_tokens", "Value": ['{"secret": "r"}']},
            {"Key": "id_tokens", "Value": ['{"secret": "i"}']},
            {"Key": "accounts", "Value": None},
            {"Key": "future", "Value": ["x"]},
        ]
    )
    expected = NO_ENTRIES | {
        "AccessToken": [{"secret": "a"}, "no json", 5],
        "RefreshToken": [{"secret": "r"}],
        "IdToken": [{"secret": "i"}],
    }
    assert parse_document(text) == Document(expected, {"future": ["x"]})


@pytest.mark.parametrize(
    "data", ["", " ", "x", "{", "{}{}", "nul", "\ud800", b"\xff", '{"a": NaN}', '{"a": 1e999}', '"\\ud800"', "'{}'"]
)
def test_what_is_no_json_is_refused(data: str | bytes) -> None:
    assert code_of(data) == "msal_cache_not_json"


@pytest.mark.parametrize("data", ['{"AccessToken":{"a":{"secret":"CANARY"', "\ud800CANARY", '{"a":"CANARY",}}'])
def test_no_error_holds_the_text_nor_does_any_before_it(data: str) -> None:
    with pytest.raises(ClientError) as refused:
        parse_document(data)
    assert "CANARY" not in all_that_is_told_by(refused.value)


def test_a_name_twice_in_an_object_is_refused() -> None:
    assert code_of('{"AccessToken": {"a": 1, "a": 2}}') == "msal_cache_not_json"


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"AccessToken":{"a":{"x":['])
def test_deep_nesting_is_refused(opening: str) -> None:
    closing = {"[": "]", "{": "}"}
    for depth in (30, 5000, 200_000):
        text = opening * depth + "1" + "".join(closing.get(c, "") for c in reversed(opening)) * depth
        assert code_of(text) == "msal_cache_not_json"


@pytest.mark.parametrize(
    "text",
    [
        "5", "null", '"text"', '{"tokens": {}}', '{"AccessToken": []}', '{"AccessToken": "x"}', '{"Account": 5}', "[1]",
        '[{"Key": 5, "Value": []}]', '[{"Key": "accounts"}]', '[{"Key": "accounts", "Value": {}}]',
        '[{"tokenType": "Bearer", "accessToken": "x"}]', '[{"Key": "future", "Value": []}]',
    ],
)  # fmt: skip
def test_json_of_another_schema_is_refused(text: str) -> None:
    assert code_of(text) == "msal_cache_unknown_schema"


@pytest.mark.parametrize("data", [None, 5, {}, bytearray(b"{}")])
def test_what_is_no_text_is_a_type_error(data: Any) -> None:
    with pytest.raises(TypeError, match="str or bytes"):
        parse_document(data)


def test_size_values_and_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msal_document, "MAX_ENTRIES", 3)
    assert parse_document('{"AccessToken": {"a": 1, "b": 2}, "Account": {"c": 3}}').size == 3
    assert code_of('{"AccessToken": {"a": 1, "b": 2}, "Account": {"c": 3, "d": 4}}') == "msal_cache_too_large"
    monkeypatch.setattr(msal_document, "MAX_VALUES", 10)
    assert code_of('{"x": [' + "1," * 10 + "1]}") == "msal_cache_too_large"
    monkeypatch.setattr(msal_document, "MAX_BYTES", 20)
    assert code_of(ONE) == "msal_cache_too_large"


def test_no_message_shows_what_came() -> None:
    for text in ('{"CANARY": ', '{"CANARY": 1}', '["CANARY"]', "CANARY"):
        with pytest.raises(ClientError) as caught:
            parse_document(text)
        assert "CANARY" not in str(caught.value)
