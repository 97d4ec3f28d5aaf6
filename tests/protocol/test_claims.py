from __future__ import annotations

import json

import pytest

from warmtoken.errors import ClientError
from warmtoken.protocol.claims import merge_claims

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


@pytest.mark.parametrize("claims", [None, "", "{}"])
def test_nothing_to_say(claims):
    assert merge_claims(claims, ()) is None


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
