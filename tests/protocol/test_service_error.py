from __future__ import annotations

import json
import pickle
import re
import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.errors import ServiceError, ThrottledError, UiRequiredError
from warmtoken.protocol.service_error import MAX_DESCRIPTION, error_from, retry_after_of
from warmtoken.transport import HttpResponse

NOW = 1_800_000_000


def refusal(status=400, headers=None, body=None, **fields):
    return HttpResponse(status, headers or {}, json.dumps(fields).encode() if body is None else body)


def grant(suberror=None, **more):
    return {"error": "invalid_grant", **({"suberror": suberror} if suberror else {}), **more}


@pytest.mark.parametrize(
    ("fields", "code", "classification"),
    [
        pytest.param(grant(), "invalid_grant", "none", id="invalid_grant"),
        pytest.param({"error": "interaction_required"}, "interaction_required", "none", id="interaction_required"),
        pytest.param({"error": "login_required"}, "login_required", "none", id="login_required"),
        pytest.param({"error": "consent_required"}, "consent_required", "consent_required", id="consent_required"),
        pytest.param(grant("basic_action"), "invalid_grant", "basic_action", id="basic_action"),
        pytest.param(grant("additional_action"), "invalid_grant", "additional_action", id="additional_action"),
        pytest.param(grant("message_only"), "invalid_grant", "message_only", id="message_only"),
        pytest.param(grant("consent_required"), "invalid_grant", "consent_required", id="suberror consent_required"),
        pytest.param(grant("user_password_expired"), "invalid_grant", "user_password_expired", id="password expired"),
        pytest.param(grant("bad_token"), "invalid_grant", "none", id="bad_token"),
        pytest.param(grant("token_expired"), "invalid_grant", "none", id="token_expired"),
        pytest.param(grant("device_authentication_failed"), "invalid_grant", "none", id="device_authentication_failed"),
        pytest.param(grant("whatever_comes_next"), "invalid_grant", "none", id="unknown suberror"),
        pytest.param(
            {"error": "interaction_required", "suberror": "client_mismatch"},
            "interaction_required",
            "none",
            id="interaction_required, whatever the suberror",
        ),
        pytest.param(
            {"error": "invalid_request", "error_description": "AADSTS50196: loop"},
            "invalid_request",
            "none",
            id="loop detected",
        ),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_the_user_is_needed(status, fields, code, classification):
    error = error_from(refusal(status, **fields))
    assert type(error) is UiRequiredError
    assert (error.code, error.classification) == (code, classification)
    assert error.suberror == fields.get("suberror")


@pytest.mark.parametrize(
    ("response", "kind", "code", "is_retryable"),
    [
        pytest.param(refusal(**grant("client_mismatch")), ServiceError, "invalid_grant", False, id="client_mismatch"),
        pytest.param(
            refusal(**grant("protection_policy_required")),
            ServiceError,
            "invalid_grant",
            False,
            id="protection_policy_required",
        ),
        pytest.param(refusal(401, error="invalid_client"), ServiceError, "invalid_client", False, id="invalid_client"),
        pytest.param(refusal(error="invalid_scope"), ServiceError, "invalid_scope", False, id="invalid_scope"),
        pytest.param(refusal(error="authorization_pending"), ServiceError, "authorization_pending", False, id="device"),
        pytest.param(
            refusal(error="temporarily_unavailable"), ServiceError, "temporarily_unavailable", True, id="unavailable"
        ),
        pytest.param(refusal(500), ServiceError, "service_not_available", True, id="500"),
        pytest.param(refusal(599, body=b"<html>"), ServiceError, "service_not_available", True, id="599 html"),
        pytest.param(refusal(503, error="x"), ServiceError, "service_not_available", True, id="5xx with error"),
        pytest.param(
            refusal(500, **grant()), ServiceError, "service_not_available", True, id="5xx is no word on the grant"
        ),
        pytest.param(
            refusal(503, {"retry-after": "5"}), ThrottledError, "service_not_available", True, id="503 retry-after"
        ),
        pytest.param(refusal(404, body=b"x"), ServiceError, "not_found", False, id="404"),
        pytest.param(
            refusal(404, error="invalid_request"), ServiceError, "invalid_request", False, id="404 with error"
        ),
        pytest.param(refusal(408), ServiceError, "request_timeout", True, id="408"),
        pytest.param(
            refusal(403, {"retry-after": "5"}, error="busy"), ThrottledError, "busy", True, id="403 retry-after"
        ),
        pytest.param(refusal(429, body=b""), ThrottledError, "request_throttled", True, id="429"),
        pytest.param(refusal(429, error="slow"), ThrottledError, "slow", True, id="429 with error"),
        pytest.param(refusal(429, **grant()), ThrottledError, "invalid_grant", True, id="429 is no word on the grant"),
        pytest.param(refusal(400, body=b"{}"), ServiceError, "http_status_not_200", False, id="400 without error"),
        pytest.param(refusal(302, body=b""), ServiceError, "http_status_not_200", False, id="redirect"),
        pytest.param(refusal(499, body=b"[]"), ServiceError, "http_status_not_200", False, id="499"),
    ],
)
def test_the_provider_said_no(response, kind, code, is_retryable):
    error = error_from(response)
    assert type(error) is kind
    assert (error.code, error.is_retryable, error.status) == (code, is_retryable, response.status)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("%a, %d %b %Y %H:%M:%S GMT", id="IMF-fixdate"),
        pytest.param("%A, %d-%b-%y %H:%M:%S GMT", id="RFC 850"),
        pytest.param("%a %b %d %H:%M:%S %Y", id="asctime"),
        pytest.param("%a, %d %b %Y %H:%M:%S -0000", id="no zone"),
    ],
)
def test_dates_of_all_forms_are_in_utc_wherever_this_host_is(form, monkeypatch):
    """RFC 9110, section 5.6.7."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "UTC+5")
        time.tzset()
        try:
            date = datetime.fromtimestamp(NOW + 30, UTC).strftime(form)
            assert retry_after_of({"retry-after": date}, NOW) == 30
        finally:
            elsewhere.undo()
            time.tzset()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="missing"),
        pytest.param({"retry-after": "0"}, 0, id="zero"),
        pytest.param({"retry-after": " 17 "}, 17, id="seconds"),
        pytest.param({"retry-after": "3600"}, 3600, id="the cap"),
        pytest.param({"retry-after": "3601"}, 3600, id="over the cap"),
        pytest.param({"retry-after": "9" * 400}, 3600, id="absurd"),
        pytest.param({"retry-after": "-1"}, None, id="negative"),
        pytest.param({"retry-after": "1.5"}, None, id="fraction"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"retry-after": "²"}, None, id="digit that is none"),
        pytest.param({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30, id="date"),
        pytest.param({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0, id="date in the past"),
        pytest.param({"retry-after": formatdate(NOW + 9999, usegmt=True)}, 3600, id="date over the cap"),
        pytest.param(
            {"retry-after": formatdate(NOW + 9999, usegmt=True), "date": formatdate(NOW + 9990, usegmt=True)},
            9,
            id="date by the provider's clock",
        ),
        pytest.param({"retry-after": "Fri, 99 Foo 2026 00:00:00 GMT"}, None, id="date that is none"),
    ],
)
def test_retry_after(headers, expected):
    error = error_from(refusal(429, headers), now=NOW)
    assert isinstance(error, ThrottledError)
    assert error.retry_after == expected


def test_a_need_of_the_user_is_one_whatever_the_headers_say():
    assert type(error_from(refusal(400, {"retry-after": "5"}, **grant()))) is UiRequiredError


def test_what_is_kept():
    error = error_from(
        refusal(
            error="invalid_client",
            error_description="AADSTS7000215: Invalid client secret",
            error_codes=[7000215, True, "8", 9],
            suberror="s",
            claims='{"a":1}',
            correlation_id="theirs",
        )
    )
    assert isinstance(error, ServiceError)
    assert (error.error, error.suberror, error.claims) == ("invalid_client", "s", '{"a":1}')
    assert error.error_codes == (7000215, 9)
    assert error.error_description == "AADSTS7000215: Invalid client secret"
    assert error.correlation_id == "theirs"
    assert "check the client id and the client credential" in error.message


def test_our_correlation_id_wins():
    assert error_from(refusal(correlation_id="theirs"), correlation_id="ours").correlation_id == "ours"


def test_claims_challenge_reaches_the_program():
    error = error_from(refusal(**grant(claims='{"access_token":{}}')))
    assert isinstance(error, UiRequiredError)
    assert error.claims == '{"access_token":{}}'


def test_loop_detection_says_throttled():
    assert "throttles" in error_from(refusal(**grant(error_description="AADSTS50196: x"))).message


@pytest.mark.parametrize("name", ["error", "error_description", "suberror", "claims", "correlation_id"])
@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client"])
def test_echoed_secrets_are_redacted(error, name):
    secrets = ["R3fresh/Token+x", "R3fresh/Token+x-longer", ""]
    fields = {"error": error, name: "a R3fresh/Token+x-longer b R3fresh%2FToken%2Bx c R3fresh/Token+x d"}
    caught = error_from(refusal(**fields), secrets=secrets)
    shown = f"{caught} {caught!r} {vars(caught)}"
    assert "R3fresh" not in shown
    assert "longer" not in shown
    assert "a [redacted] b [redacted] c [redacted] d" in shown


@pytest.mark.parametrize(
    "echoed",
    [
        pytest.param("M.R3!x*/y+z=~-_ \u00fc$$", id="plain"),
        pytest.param("M.R3%21x%2A%2Fy%2Bz%3D~-_%20%C3%BC%24%24", id="all of it"),
        pytest.param("M.R3!x*%2Fy%2Bz%3D~-_%20%C3%BC%24%24", id="JavaScript's encodeURIComponent"),
        pytest.param("M.R3!x*%2fy%2bz%3d~-_+%c3%bc%24%24", id=".NET's HttpUtility.UrlEncode"),
        pytest.param("M.R3!x*/y%2Bz%3D~-_%20%c3%BC$$", id="some of it"),
    ],
)
def test_a_secret_is_redacted_however_it_is_encoded(echoed):
    error = error_from(refusal(**grant(error_description=f"<{echoed}>")), secrets=["M.R3!x*/y+z=~-_ \u00fc$$"])
    assert error.error_description == "<[redacted]>"


def test_a_secret_across_the_bound_of_the_description_is_redacted():
    description = "x" * (MAX_DESCRIPTION - 3) + "SECRET"
    error = error_from(refusal(**grant(error_description=description)), secrets=["SECRET"])
    assert "SEC" not in str(error)


@pytest.mark.parametrize(("size", "kept"), [(999, 999), (1000, 1000), (1001, 1000), (900_000, 1000)])
def test_description_is_bounded(size, kept):
    error = error_from(refusal(error="e", error_description="d" * size))
    assert len(error.error_description) == kept
    assert len(str(error)) < 1300


def test_control_characters_are_removed():
    error = error_from(refusal(error="a\x1b[31mb", error_description="one\r\ntwo\x00\u2028three\x85"))
    assert error.error_description == "one two three"
    assert error.error == error.code == "a [31mb"


def test_errors_survive_pickling():
    error = pickle.loads(pickle.dumps(error_from(refusal(429, {"retry-after": "7"}))))
    assert (type(error), error.retry_after, error.status) == (ThrottledError, 7, 429)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
error_fields = st.dictionaries(
    st.sampled_from(["error", "error_description", "suberror", "error_codes", "claims", "correlation_id"]), json_values
)


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text()),
    st.binary() | error_fields.map(lambda fields: json.dumps(fields).encode()),
)
def test_whatever_comes_becomes_an_error_of_ours(status, headers, body):
    error = error_from(HttpResponse(status, headers, body), secrets=["secret"])
    assert isinstance(error, UiRequiredError | ServiceError)
    assert error.code
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", str(error))
