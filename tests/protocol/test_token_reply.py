from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.errors import ProtocolError, ServiceError, ThrottledError, UiRequiredError, WarmTokenError
from warmtoken.protocol.token_reply import MAX_LIFETIME, TokenReply, parse_token_reply
from warmtoken.transport import HttpResponse

JSON = {"content-type": "application/json; charset=utf-8"}
LEAST = {"access_token": "AT-canary", "token_type": "Bearer"}


def reply(status=200, **changes):
    fields = {name: value for name, value in {**LEAST, **changes}.items() if value is not ...}
    return raw(json.dumps(fields).encode(), status=status)


def raw(body, status=200, headers=JSON):
    return HttpResponse(status, headers, body)


def base64url(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_the_least_reply():
    assert parse_token_reply(reply()) == TokenReply("AT-canary", "Bearer", 300)


def test_a_full_reply():
    parsed = parse_token_reply(
        reply(
            expires_in=3599,
            refresh_in=1800,
            scope="User.Read  openid User.Read",
            refresh_token="RT-canary",
            id_token="a.b.c",
            client_info=base64url({"uid": "u", "utid": "t"}),
            foci="1",
            ext_expires_in=3599,
        )
    )
    assert parsed == TokenReply(
        "AT-canary",
        "Bearer",
        3599,
        1800,
        ("User.Read", "openid"),
        "RT-canary",
        "a.b.c",
        {"uid": "u", "utid": "t"},
        "1",
        {"ext_expires_in": 3599},
    )


def test_what_nothing_reads_is_handed_on_where_it_is_a_text_a_number_or_a_truth_value():
    info = base64url({"uid": "u", "utid": "t", "xms_tdbr": "EU", "list": [1]})
    parsed = parse_token_reply(reply(client_info=info, spa_code="S", n=1.5, yes=True, none=None, nested={"a": 1}))
    assert parsed.more() == (("xms_tdbr", "EU"), ("spa_code", "S"), ("n", 1.5), ("yes", True))
    assert parse_token_reply(reply()).more() == ()


def test_repr_shows_no_secret():
    shown = repr(parse_token_reply(reply(refresh_token="RT-canary", id_token="ID-canary", device_secret="DS-canary")))
    assert "canary" not in shown
    assert "Bearer" in shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(..., 300, id="missing"),
        pytest.param(None, 300, id="null"),
        pytest.param(0, 0, id="zero"),
        pytest.param(3599, 3599, id="integer"),
        pytest.param(3599.9, 3599, id="fraction"),
        pytest.param("3599", 3599, id="numeric string"),
        pytest.param("3599.5", 3599, id="fraction as string"),
        pytest.param(MAX_LIFETIME, MAX_LIFETIME, id="90 days"),
        pytest.param(MAX_LIFETIME + 1, MAX_LIFETIME, id="90 days and a second"),
        pytest.param(10**12, MAX_LIFETIME, id="10^12"),
        pytest.param("9" * 300, MAX_LIFETIME, id="300 digits"),
    ],
)
def test_expires_in(value, expected):
    assert parse_token_reply(reply(expires_in=value)).expires_in == expected


@pytest.mark.parametrize("name", ["expires_in", "refresh_in"])
@pytest.mark.parametrize("value", [-1, "-1", "", "x", "1e3", " 1", "٣", True, False, [], {}, [3600], "NaN", "9" * 301])
def test_lifetimes_that_are_none(name, value):
    with pytest.raises(ProtocolError) as caught:
        parse_token_reply(reply(**{name: value}))
    assert caught.value.code == f"{name}_invalid"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_none(number):
    body = b'{"access_token":"a","token_type":"Bearer","expires_in":' + number + b"}"
    with pytest.raises(ProtocolError) as caught:
        parse_token_reply(raw(body))
    assert caught.value.code in {"non_parsable_oauth_error", "expires_in_invalid"}


@pytest.mark.parametrize(("value", "expected"), [(..., None), (None, None), (60, 60), ("60", 60)])
def test_refresh_in(value, expected):
    assert parse_token_reply(reply(refresh_in=value)).refresh_in == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(..., None), (None, None), ("", ()), ("a", ("a",)), ("b a", ("b", "a")), (" a  a ", ("a",))],
)
def test_scopes(value, expected):
    assert parse_token_reply(reply(scope=value)).scopes == expected


@pytest.mark.parametrize("value", ["bearer", "BEARER", "Bearer"])
def test_token_type_in_any_case_becomes_the_usual_spelling(value):
    assert parse_token_reply(reply(token_type=value)).token_type == "Bearer"


def test_another_token_type_where_it_is_expected():
    assert parse_token_reply(reply(token_type="dpop"), token_type="DPoP").token_type == "DPoP"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"access_token": ...}, "access_token_missing"),
        ({"access_token": None}, "access_token_missing"),
        ({"access_token": ""}, "access_token_missing"),
        ({"access_token": 5}, "access_token_invalid"),
        ({"access_token": ["canary"]}, "access_token_invalid"),
        ({"access_token": "canary x"}, "access_token_invalid"),
        ({"access_token": "canary\r\nx: y"}, "access_token_invalid"),
        ({"access_token": "canary\n"}, "access_token_invalid"),
        ({"access_token": "canary\x7f"}, "access_token_invalid"),
        ({"access_token": "canary\x00"}, "access_token_invalid"),
        ({"access_token": "canaryé"}, "access_token_invalid"),
        ({"token_type": ...}, "token_type_missing"),
        ({"token_type": None}, "token_type_missing"),
        ({"token_type": ""}, "token_type_missing"),
        ({"token_type": 5}, "token_type_invalid"),
        ({"token_type": "Bearer\r\nx:"}, "token_type_invalid"),
        ({"token_type": "Bearer "}, "token_type_invalid"),
        ({"token_type": "mac"}, "token_type_mismatch"),
        ({"scope": ["a"]}, "scope_invalid"),
        ({"scope": 5}, "scope_invalid"),
        ({"refresh_token": 5}, "refresh_token_invalid"),
        ({"refresh_token": "canary\n"}, "refresh_token_invalid"),
        ({"id_token": {}}, "id_token_invalid"),
        ({"foci": 1}, "foci_invalid"),
        ({"client_info": 1}, "client_info_invalid"),
        ({"client_info": "canary!"}, "client_info_invalid"),
        ({"client_info": base64url(["canary"])}, "client_info_invalid"),
    ],
)
def test_replies_that_break_the_protocol(changes, code):
    with pytest.raises(ProtocolError) as caught:
        parse_token_reply(reply(**changes), correlation_id="c")
    assert (caught.value.code, caught.value.correlation_id) == (code, "c")
    assert "canary" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"access_token=canary&token_type=Bearer", id="form"),
        pytest.param(b'["canary"]', id="array"),
        pytest.param(b'{"access_token":"canary"', id="cut"),
        pytest.param(b'{"access_token":"canary","access_token":"other","token_type":"Bearer"}', id="duplicate"),
        pytest.param(json.dumps({**LEAST, "x": "x" * (1 << 20)}).encode(), id="over a MiB"),
        pytest.param(json.dumps(LEAST).encode()[:-1] + b',"x":' + b"[" * 20 + b"]" * 20 + b"}", id="too deep"),
    ],
)
def test_bodies_that_are_no_object(body):
    with pytest.raises(ProtocolError, match="got application/json") as caught:
        parse_token_reply(raw(body))
    assert caught.value.code == "non_parsable_oauth_error"
    assert "canary" not in str(caught.value)


def test_an_html_page_is_told():
    with pytest.raises(ProtocolError, match=r"got text/html.*captive portal"):
        parse_token_reply(raw(b"<html>", headers={"content-type": "text/html"}))


@pytest.mark.parametrize("status", [400, 200])
def test_refusals_become_errors_without_the_secret(status):
    body = json.dumps({"error": "invalid_grant", "error_description": "token RT-canary is gone"}).encode()
    with pytest.raises(UiRequiredError, match="redacted") as caught:
        parse_token_reply(raw(body, status), correlation_id="c", secrets=["RT-canary"])
    assert (caught.value.code, caught.value.correlation_id) == ("invalid_grant", "c")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("status", "kind"), [(429, ThrottledError), (500, ServiceError), (201, ServiceError)])
def test_a_token_with_another_status_is_no_token(status, kind):
    with pytest.raises(kind):
        parse_token_reply(reply(status))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
names = st.sampled_from([*LEAST, "expires_in", "refresh_in", "scope", "refresh_token", "id_token", "client_info"])


@given(st.dictionaries(names, json_values), st.sampled_from([200, 200, 200, 400, 503]))
def test_typed_reply_or_typed_error(fields, status):
    check_whatever_comes(reply(status, **fields))


@given(st.binary() | st.text().map(str.encode))
def test_bytes_of_any_kind(body):
    check_whatever_comes(raw(body))


def check_whatever_comes(response):
    try:
        parsed = parse_token_reply(response)
    except WarmTokenError:
        return
    assert re.fullmatch(r"[\x21-\x7e]+", parsed.access_token)
    assert type(parsed.expires_in) is int
    assert 0 <= parsed.expires_in <= MAX_LIFETIME
