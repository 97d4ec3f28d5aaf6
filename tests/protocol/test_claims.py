from __future__ import annotations

import json

import pytest

from warmtoken.errors import ClientError
from warmtoken.protocol.claims import canonical_claims, merge_claims

CP1 = {"access_token": {"xms_cc": {"values": ["CP1"]}}}
CHALLENGE = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


@pytest.mark.parametrize(
    ("claims", "capabilities", "expected"),
    [
        pytest.param(None, ["CP1"], CP1, id="capabilities alone"),
        pytest.param("", ["CP1"], CP1, id="empty claims"),
        pytest.param(CHALLENGE, [], json.loads(CHALLENGE), id="claims alone"),
        pytest.param(
            CHALLENGE,
            ["CP1"],
            {"access_token": {"xms_cc": {"values": ["CP1"]}, "nbf": {"essential": True, "value": "1"}}},
            id="merged deeply",
        ),
        pytest.param(
            '{"access_token":{"xms_cc":{"values":["CP2"]}}}',
            ["CP1"],
            {"access_token": {"xms_cc": {"values": ["CP2"]}}},
            id="request wins",
        ),
        pytest.param('{"access_token":null}', ["CP1"], {"access_token": None}, id="request wins with null"),
        pytest.param('{"id_token":{"a":null}}', ["CP1"], {**CP1, "id_token": {"a": None}}, id="side by side"),
    ],
)
def test_merge(claims, capabilities, expected):
    assert json.loads(merge_claims(claims, capabilities)) == expected


CLIENT = '{"access_token":{"xms_cc":{"values":["of the client"]},"nbf":{"value":"2"},"own":null}}'


def test_the_clients_own_claims_win_over_capabilities_and_the_challenge_over_both():
    assert json.loads(merge_claims(CHALLENGE, ["CP1"], CLIENT)) == {
        "access_token": {
            "xms_cc": {"values": ["of the client"]},
            "nbf": {"essential": True, "value": "1"},
            "own": None,
        }
    }


@pytest.mark.parametrize("claims", [None, "", "{}"])
def test_nothing_to_say(claims):
    assert merge_claims(claims, (), claims) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param('{"b":1,"a":{"d":1,"c":2}}', ' {"a": {"c": 2, "d": 1},\n"b": 1}', id="order and blanks"),
        pytest.param('{"a":"\u00e9"}', '{"\\u0061":"é"}', id="escapes"),
    ],
)
def test_claims_that_say_the_same_have_one_canonical_text(text, same):
    assert canonical_claims(text) == canonical_claims(same)


@pytest.mark.parametrize(
    "other", ['{"a":1.0}', '{"a":"1"}', '{"a":[1]}', '{"A":1}', '{"a":1,"b":null}', '{"a":true}', '{"a":null}']
)
def test_claims_that_say_something_else_have_another_canonical_text(other):
    assert canonical_claims(other) != canonical_claims('{"a":1}')


def test_no_claims_have_no_canonical_text():
    assert canonical_claims("{ }") == ""


@pytest.mark.parametrize("claims", ["secret", "[]", '{"secret"', '{"a":1,"a":2}', f'{{"secret":"{"x" * 16_384}"}}'])
def test_client_claims_that_are_not_right_are_refused_and_not_shown(claims):
    for use in (canonical_claims, lambda claims: merge_claims(None, (), claims)):
        with pytest.raises(ClientError) as caught:
            use(claims)
        assert caught.value.code == "invalid_json_claims_format"
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("claims", ["secret", "[]", '{"secret"', "null", '"secret"', '{"a":1,"a":2}', "\ud800"])
@pytest.mark.parametrize("capabilities", [(), ("CP1",)])
def test_bad_json_is_refused_and_not_shown(claims, capabilities):
    with pytest.raises(ClientError) as caught:
        merge_claims(claims, capabilities)
    assert caught.value.code == "invalid_json_claims_format"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("claims", "capabilities"), [({"a": 1}, ()), (None, "CP1")])
def test_wrong_types(claims, capabilities):
    with pytest.raises(TypeError):
        merge_claims(claims, capabilities)
