from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.chains import all_that_is_told_by

from warmtoken.protocol.json_object import MAX_BYTES, MAX_DEPTH, parse_base64url_object, parse_object


def nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


def padded(size):
    return b'{"a":"' + b"x" * (size - 8) + b'"}'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"<html>", "not JSON", id="html"),
        pytest.param(b"[]", "no object", id="array"),
        pytest.param(b"null", "no object", id="null"),
        pytest.param(b'{"a":1', "not JSON", id="cut"),
        pytest.param(b'{"a":1}x', "not JSON", id="tail"),
        pytest.param(b'{"a":1,"a":1}', "twice", id="duplicate"),
        pytest.param(b'{"b":{"a":1,"\\u0061":2}}', "twice", id="escaped duplicate inside"),
        pytest.param(b'{"a":NaN}', "not JSON", id="nan"),
        pytest.param(b'{"a":"\xff"}', "not JSON", id="not utf-8"),
        pytest.param('{"a":1}'.encode("utf-16"), "not JSON", id="utf-16"),
        pytest.param(b'{"a":"\\ud800"}', "not JSON", id="lone surrogate"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", "not JSON", id="too many digits"),
        pytest.param(nested(MAX_DEPTH + 1), "deeper", id="one level too deep"),
        pytest.param(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", "deeper", id="deep arrays"),
        pytest.param(padded(MAX_BYTES + 1), "longer", id="one byte too long"),
    ],
)
def test_refused(body, reason):
    with pytest.raises(ValueError, match=reason):
        parse_object(body)


@pytest.mark.parametrize("body", [b'{"access_token":"CANARY"', b'{"a":"CANARY","a":1}', b'{"a":"CANARY\xff"}'])
def test_no_error_holds_the_body(body):
    """Nor does any before it, which tools that report errors may show with its attributes."""
    with pytest.raises(ValueError, match=r"JSON|twice") as raised:
        parse_object(body)
    assert "CANARY" not in all_that_is_told_by(raised.value)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"[" * 1010 + b"]" * 1010 + b"}"])
def test_bottomless_nesting_is_a_value_error(body):
    with pytest.raises(ValueError, match=r"not JSON|deeper"):
        parse_object(body)


@pytest.mark.parametrize("body", [nested(MAX_DEPTH), padded(MAX_BYTES), b" {} ", b'{"a":1e3}'])
def test_accepted(body):
    assert isinstance(parse_object(body), dict)


@given(st.binary())
def test_nothing_but_value_error(body):
    try:
        parsed = parse_object(body)
    except ValueError as error:
        reason = str(error)
    else:
        reason = ""
        assert isinstance(parsed, dict)
    assert len(reason) < 60  # nothing of the body


@pytest.mark.parametrize("text", ["e30", "e30=", "eyJhIjoxfQ", "eyJhIjoxfQ=="])
def test_base64url_with_and_without_padding(text):
    assert parse_base64url_object(text) in ({}, {"a": 1})


@pytest.mark.parametrize("text", ["", "e3 0", "e30\n", "é", "e", "e+//", "W10", base64.b64encode(b"x{}").decode()])
def test_base64url_refused(text):
    with pytest.raises(ValueError, match=r"not base64url|not JSON|no object|base64|padding|characters"):
        parse_base64url_object(text)
