from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.errors import ProtocolError, ServiceError, WarmTokenError
from warmtoken.protocol.device_reply import MAX_INTERVAL, MAX_LIFETIME, DeviceAuthorization, parse_device_reply
from warmtoken.transport import HttpResponse

JSON = {"content-type": "application/json"}
LEAST = {
    "device_code": "DC-canary",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://idp.example.test/device",
    "expires_in": 900,
}


def reply(status=200, **changes):
    fields = {name: value for name, value in {**LEAST, **changes}.items() if value is not ...}
    return HttpResponse(status, JSON, json.dumps(fields).encode())


def refused(response):
    with pytest.raises(ProtocolError) as caught:
        parse_device_reply(response, correlation_id="c-1")
    assert caught.value.correlation_id == "c-1"
    assert "canary" not in f"{caught.value} {caught.value!r}"
    return caught.value.code


def test_the_least_reply():
    assert parse_device_reply(reply()) == DeviceAuthorization(
        "DC-canary", "WDJB-MJHT", "https://idp.example.test/device", None, 900, 5
    )


def test_a_full_reply():
    complete = "https://idp.example.test/device?user_code=WDJB-MJHT"
    parsed = parse_device_reply(reply(verification_uri_complete=complete, interval=7, message="anything"))
    assert (parsed.verification_uri_complete, parsed.interval) == (complete, 7)


def test_the_repr_hides_the_device_code():
    assert "canary" not in repr(parse_device_reply(reply()))
    assert "WDJB-MJHT" in repr(parse_device_reply(reply()))


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("nothing", [..., None, ""])
def test_a_field_is_missing(name, nothing):
    assert refused(reply(**{name: nothing})) == f"{name}_missing"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device_code", 5),
        ("device_code", "canary with blank"),
        ("device_code", "canary\n"),
        ("user_code", ["canary"]),
        ("user_code", "canary\x1b[31m"),
        ("user_code", "canary\n"),
        ("user_code", " canary"),
        ("user_code", "canary\u202e"),
        ("user_code", "c" * 101),
        ("verification_uri", 5),
        ("verification_uri", "http://canary.example.test/device"),
        ("verification_uri", "javascript:canary()"),
        ("verification_uri", "https://user@canary.example.test/"),
        ("verification_uri", "https://idp.example.test/\x1b]canary"),
        ("verification_uri_complete", "http://canary.example.test/device?user_code=A"),
        ("verification_uri_complete", {"canary": 1}),
        ("expires_in", "canary"),
        ("expires_in", True),
        ("expires_in", -1),
        ("interval", "canary"),
        ("interval", -5),
        ("interval", False),
        ("interval", [5]),
    ],
)
def test_a_field_is_not_as_it_must_be(name, value):
    assert refused(reply(**{name: value})) == f"{name}_invalid"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost"])
def test_http_is_for_loopback(host):
    assert parse_device_reply(reply(verification_uri=f"http://{host}/device")).verification_uri.startswith("http://")


@pytest.mark.parametrize(
    ("given_interval", "interval"),
    [(None, 5), ("", 5), (0, 1), (0.2, 1), (5.1, 6), ("10", 10), ("2.5", 3), (10**9, MAX_INTERVAL)],
)
def test_intervals_are_whole_seconds(given_interval, interval):
    assert parse_device_reply(reply(interval=given_interval)).interval == interval


@pytest.mark.parametrize(("given_lifetime", "lifetime"), [("900", 900), (1.9, 1), (0, 0), (10**12, MAX_LIFETIME)])
def test_lifetimes_are_whole_seconds(given_lifetime, lifetime):
    assert parse_device_reply(reply(expires_in=given_lifetime)).expires_in == lifetime


@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_is_a_service_error(status):
    body = json.dumps({"error": "unauthorized_client", "error_description": "no secret-canary here"}).encode()
    with pytest.raises(ServiceError) as caught:
        parse_device_reply(HttpResponse(status, JSON, body), secrets=["secret-canary"])
    assert caught.value.code == "unauthorized_client"
    assert "canary" not in str(caught.value)


def test_a_grant_with_an_empty_error_is_a_grant():
    assert parse_device_reply(reply(error=None)).device_code == "DC-canary"


def test_a_page_is_no_reply():
    assert refused(HttpResponse(200, {"content-type": "text/html"}, b"<html>canary")) == "non_parsable_oauth_error"


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from([*LEAST, "interval", "verification_uri_complete", "error"]), VALUES))
def test_whatever_comes_is_read_or_refused(changes):
    try:
        parsed = parse_device_reply(reply(**changes))
    except WarmTokenError:
        return
    assert 1 <= parsed.interval <= MAX_INTERVAL
    assert 0 <= parsed.expires_in <= MAX_LIFETIME
    assert parsed.verification_uri.startswith("https://")
