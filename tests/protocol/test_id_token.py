from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmtoken.errors import ProtocolError
from warmtoken.protocol.id_token import check_id_token, same_subject

NOW = 1_800_000_000
ISSUER = "https://idp.example.test"
ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
GOOD = {"iss": ISSUER, "sub": "s", "aud": "app", "exp": NOW + 3600, "iat": NOW, "nonce": "n"}


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(header=None, **changes):
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return f"{part(header or {'alg': 'RS256'})}.{part(claims)}.c2ln"


def check(token, *, issuer=ISSUER, nonce="n", now=NOW, since=None):
    return check_id_token(token, issuer=issuer, client_id="app", now=now, nonce=nonce, signed_in_since=since)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="usual"),
        pytest.param({"aud": ["app"]}, id="one audience as a list"),
        pytest.param({"aud": ["other", "app"], "azp": "app"}, id="two audiences and azp"),
        pytest.param({"azp": "app"}, id="azp without need"),
        pytest.param({"exp": NOW - 299}, id="expired within the leeway"),
        pytest.param({"iat": NOW + 300}, id="issued at the leeway's end"),
        pytest.param({"nbf": NOW + 300}, id="not before at the leeway's end"),
        pytest.param({"exp": NOW + 0.5, "iat": NOW - 0.5}, id="fractions"),
        pytest.param({"nonce": "n", "extra": {"a": [1]}}, id="more claims"),
    ],
)
def test_accepted(changes):
    assert check(jwt(**changes)) == {**GOOD, **changes}


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "EdDSA", "HS256"])
def test_signed_algorithms(algorithm):
    assert check(jwt({"alg": algorithm}))["sub"] == "s"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": ...}, "id_token_issuer_mismatch"),
        ({"iss": ISSUER + "/"}, "id_token_issuer_mismatch"),
        ({"iss": ISSUER.upper()}, "id_token_issuer_mismatch"),
        ({"iss": [ISSUER]}, "id_token_issuer_mismatch"),
        ({"sub": ...}, "id_token_subject_missing"),
        ({"sub": ""}, "id_token_subject_missing"),
        ({"sub": 5}, "id_token_subject_missing"),
        ({"aud": ...}, "id_token_audience_mismatch"),
        ({"aud": "other"}, "id_token_audience_mismatch"),
        ({"aud": "app2"}, "id_token_audience_mismatch"),
        ({"aud": []}, "id_token_audience_mismatch"),
        ({"aud": {"app": 1}}, "id_token_audience_mismatch"),
        ({"aud": ["app", "other"]}, "id_token_authorized_party_mismatch"),
        ({"aud": ["app", "other"], "azp": "other"}, "id_token_authorized_party_mismatch"),
        ({"azp": "other"}, "id_token_authorized_party_mismatch"),
        ({"exp": ...}, "id_token_exp_invalid"),
        ({"exp": "1900000000"}, "id_token_exp_invalid"),
        ({"exp": True}, "id_token_exp_invalid"),
        ({"exp": NOW - 300}, "id_token_expired"),
        ({"iat": ...}, "id_token_iat_invalid"),
        ({"iat": None}, "id_token_iat_invalid"),
        ({"iat": NOW + 301}, "id_token_issued_in_future"),
        ({"nbf": NOW + 301}, "id_token_not_yet_valid"),
        ({"nbf": "x"}, "id_token_nbf_invalid"),
        ({"nonce": ...}, "id_token_nonce_mismatch"),
        ({"nonce": "N"}, "id_token_nonce_mismatch"),
        ({"nonce": "n "}, "id_token_nonce_mismatch"),
        ({"nonce": 5}, "id_token_nonce_mismatch"),
    ],
)
def test_one_fault_each(changes, code):
    with pytest.raises(ProtocolError) as caught:
        check(jwt(**changes))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "header",
    [{"alg": "none"}, {"alg": "None"}, {"alg": ""}, {"alg": None}, {"x": 1}, {"alg": ["RS256"]}, {"alg": "RS1"}],
)
def test_unsigned_tokens_are_refused(header):
    with pytest.raises(ProtocolError) as caught:
        check(jwt(header))
    assert caught.value.code == "id_token_algorithm_refused"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        f"{part({'alg': 'RS256'})}.{part([])}.x",
        f"{part([])}.{part(GOOD)}.x",
        "é.é.é",
    ],
)
def test_not_a_jwt(token):
    with pytest.raises(ProtocolError) as caught:
        check(token)
    assert caught.value.code == "id_token_invalid"


def test_no_nonce_was_sent():
    assert check(jwt(nonce=...), nonce=None)["sub"] == "s"


@pytest.mark.parametrize("auth_time", [NOW, NOW - 300, NOW - 299.5])
def test_a_sign_in_that_is_recent_enough(auth_time):
    assert check(jwt(auth_time=auth_time), since=NOW)["auth_time"] == auth_time


@pytest.mark.parametrize(
    ("auth_time", "code"),
    [
        (NOW - 301, "id_token_auth_time_too_old"),
        (..., "id_token_auth_time_invalid"),
        (None, "id_token_auth_time_invalid"),
        (str(NOW), "id_token_auth_time_invalid"),
        (True, "id_token_auth_time_invalid"),
    ],
)
def test_a_sign_in_that_is_too_old_or_of_no_time(auth_time, code):
    with pytest.raises(ProtocolError) as caught:
        check(jwt(auth_time=auth_time), since=NOW)
    assert caught.value.code == code
    assert check(jwt(auth_time=auth_time))["sub"] == "s"  # where that does not matter


def test_entra_issuer_of_the_tokens_own_tenant():
    issuer = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert check(jwt(iss=issuer, tid=TENANT), issuer=ENTRA)["tid"] == TENANT


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0"}, "id_token_tenant_missing"),
        ({"iss": f"https://login.microsoftonline.com/{TENANT}/v2.0", "tid": "other"}, "id_token_issuer_mismatch"),
        ({"iss": f"https://sts.windows.net/{TENANT}/", "tid": TENANT}, "id_token_issuer_mismatch"),
        ({"iss": ENTRA, "tid": "{tenantid}"}, "id_token_tenant_missing"),
        ({"iss": "https://login.microsoftonline.com/a/b/v2.0", "tid": "a/b"}, "id_token_tenant_missing"),
    ],
)
def test_entra_issuers_that_do_not_fit(changes, code):
    with pytest.raises(ProtocolError) as caught:
        check(jwt(**changes), issuer=ENTRA)
    assert caught.value.code == code


def test_no_claim_is_shown():
    with pytest.raises(ProtocolError) as caught:
        check(jwt(aud="canary", sub="canary", nonce="canary"))
    assert "canary" not in f"{caught.value!r}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"iss": "i", "sub": "s"}, {"iss": "i", "sub": "s"}, True),
        ({"iss": "i", "sub": "s"}, {"iss": "i", "sub": "t"}, False),
        ({"iss": "i", "sub": "s"}, {"iss": "j", "sub": "s"}, False),
        ({}, {}, False),
        ("s", {"sub": "s"}, True),
        ("s", {"sub": "S"}, False),
        ("s", {}, False),
        ("", {"sub": ""}, False),
    ],
)
def test_same_subject(old, new, expected):
    assert same_subject(old, new) is expected


values = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.sampled_from([*GOOD, "azp", "nbf", "tid"]), values))
def test_nothing_but_protocol_errors(changes):
    try:
        claims = check(jwt(**changes))
    except ProtocolError as error:
        code = error.code
    else:
        code = "id_token_"
        assert claims["iss"] == ISSUER
    assert code.startswith("id_token_")


@given(st.text())
def test_any_text(token):
    with pytest.raises(ProtocolError):
        check(token)
