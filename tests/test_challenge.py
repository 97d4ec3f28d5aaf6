"""Claims are read from the challenges of an API, whatever else its headers hold (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.challenge import MAX_HEADER, MAX_HEADERS, claims_from_challenge

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"},"a":">>>???"}}'
PADDED = base64.b64encode(CLAIMS.encode()).decode()
BARE = base64.urlsafe_b64encode(CLAIMS.encode()).rstrip(b"=").decode()
ERROR = 'error="insufficient_claims"'


def test_the_two_alphabets_differ_for_these_claims() -> None:
    assert set("+/=") <= set(PADDED)
    assert set("-_") <= set(BARE)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(f'Bearer {ERROR}, claims="{BARE}"', id="base64url"),
        pytest.param(f'Bearer {ERROR}, claims="{PADDED}"', id="base64"),
        pytest.param(f"bEARER ERROR=Insufficient_Claims,CLAIMS={BARE}", id="tokens, in another case"),
        pytest.param(f'Bearer realm="", authorization_uri="https://x/y?a=b,c", {ERROR}, claims="{BARE}"', id="others"),
        pytest.param(f'Bearer realm="a \\", b", {ERROR} , claims\t=  "{BARE}"', id="escapes and blanks"),
        pytest.param(f'Bearer error="insufficient\\_claims", claims="{BARE}"', id="an escape in the error"),
        pytest.param(f',, Bearer  {ERROR},, claims="{BARE}" ,', id="empty items"),
        pytest.param(f'Basic realm="x", Bearer {ERROR}, claims="{BARE}"', id="after another scheme"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}", Basic realm="x"', id="before another scheme"),
        pytest.param(f'Negotiate YWJj==, Bearer {ERROR}, claims="{BARE}", Negotiate', id="between others"),
        pytest.param(f'Bearer realm="x", Bearer {ERROR}, claims="{BARE}"', id="the second Bearer"),
        pytest.param(f'Bearer {ERROR}, claims="%%", Bearer {ERROR}, claims="{BARE}"', id="after one that is not right"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}", Bearer {ERROR}, claims="e30"', id="the first counts"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}", Basic, x="', id="before a challenge that is malformed"),
    ],
)
def test_claims_are_found(header: str) -> None:
    assert claims_from_challenge(header) == CLAIMS
    assert claims_from_challenge([header]) == CLAIMS
    assert claims_from_challenge(('Basic realm="x"', header)) == CLAIMS


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param("Bearer", id="no parameters"),
        pytest.param(f"Bearer {ERROR}", id="no claims"),
        pytest.param(f'Bearer claims="{BARE}"', id="no error"),
        pytest.param(f'Bearer error="invalid_token", claims="{BARE}"', id="another error"),
        pytest.param(f'DPoP {ERROR}, claims="{BARE}"', id="another scheme"),
        pytest.param(f'Bearer {ERROR}, Basic claims="{BARE}"', id="claims of another scheme"),
        pytest.param(f'Basic {ERROR}, Bearer claims="{BARE}"', id="the error of another scheme"),
        pytest.param(f'{ERROR}, claims="{BARE}"', id="no scheme"),
        pytest.param(f'Bearer {ERROR}, {ERROR}, claims="{BARE}"', id="a name twice"),
        pytest.param(f'Bearer {ERROR}, Claims="{BARE}", claims="e30"', id="a name twice in another case"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}', id="a quote that does not end"),
        pytest.param(f'Bearer {ERROR}, Evil x=y z, claims="{BARE}"', id="after what is malformed"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}" x', id="malformed itself"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}", x="', id="malformed at its end"),
        pytest.param(f'Bearer {ERROR}, claims="{encoded("[1]")}"', id="no object"),
        pytest.param(f'Bearer {ERROR}, claims="{encoded("{")}"', id="no JSON"),
        pytest.param(f'Bearer {ERROR}, claims="{encoded(chr(123) * 9)}"', id="no JSON, nested"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE[:-3]}"', id="cut short"),
        pytest.param(f'Bearer {ERROR}, claims="A"', id="no base64"),
        pytest.param(f'Bearer {ERROR}, claims="/////w=="', id="no UTF-8"),
        pytest.param(f'Bearer {ERROR}, claims="{BARE}", x="{"y" * MAX_HEADER}"', id="too long"),
    ],
)
def test_no_claims_are_found(header: str) -> None:
    assert claims_from_challenge(header) is None


def test_a_great_many_headers_are_not_all_read() -> None:
    wanted = f'Bearer {ERROR}, claims="{BARE}"'
    assert claims_from_challenge([*["Basic"] * (MAX_HEADERS - 1), wanted]) == CLAIMS
    assert claims_from_challenge([*["Basic"] * MAX_HEADERS, wanted]) is None


@pytest.mark.parametrize("given_", [None, 5, b"Bearer", {"Bearer": 1}, ["Bearer", None], [b"Bearer"]])
def test_other_types_are_refused(given_: Any) -> None:
    with pytest.raises(TypeError, match="www_authenticate"):
        claims_from_challenge(given_)


PIECES = st.sampled_from(
    ["Bearer ", "Bearer", ERROR, f'claims="{BARE}"', "claims=", ",", " ", '"', "\\", "=", "\n", "é", "Basic ", "a=b"]
)


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60))
def test_whatever_comes_it_is_claims_or_none(header: str) -> None:
    assert claims_from_challenge(header) in (CLAIMS, None)


@pytest.mark.parametrize(
    "unit", ['"', '\\"', "\\", 'a="', 'a="\\', "a ", " ", "=", ",", 'Bearer a="b",', "Bearer ", "a=a ", "\t=", '""']
)
def test_a_header_that_repeats_itself_takes_one_pass(unit: str) -> None:
    """A pattern that went back and forth would take hours for the larger of these, and the test would time out."""
    for start in ("", 'Bearer a="', "Bearer "):
        assert claims_from_challenge([(start + unit * MAX_HEADER)[:MAX_HEADER]] * MAX_HEADERS) is None
