"""Accounts, results and credentials: frozen, picklable, and silent about secrets."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest

from warmtoken import Account, AuthenticationResult, ClientAssertion, ClientCertificate, ClientSecret, TenantProfile
from warmtoken.models import ResultMetadata, claims_of

ALICE = Account("oid.tid", "login.example", "alice@example.test", "tid", "oid", "Alice", "authorization_code")


def jwt(claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.c2ln"


def result(**changes: Any) -> AuthenticationResult:
    fields: dict[str, Any] = {"access_token": "at-canary", "expires_on": 1_900_000_000, "scopes": ("a", "b")}
    return AuthenticationResult(**(fields | changes))


def test_the_authorization_header_has_type_and_token() -> None:
    assert result().authorization_header() == "Bearer at-canary"
    assert result(token_type="pop").authorization_header() == "pop at-canary"


def test_a_tenant_profile_decodes_its_claims_when_asked_and_shows_no_token() -> None:
    token = jwt({"sub": "1", "canary": "canary"})
    profile = TenantProfile("tid", "oid", True, token)
    assert profile.id_token_claims == {"sub": "1", "canary": "canary"}
    assert repr(profile) == "TenantProfile(tenant_id='tid', local_account_id='oid', is_home=True)"
    assert pickle.loads(pickle.dumps(profile)) == profile
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.is_home = False  # type: ignore[misc]


def test_id_token_claims_are_decoded_anew_at_each_access() -> None:
    claims = {"sub": "1", "name": "Zoë", "roles": ["x"]}
    made = result(id_token=jwt(claims))
    made.id_token_claims["roles"].append("y")
    assert made.id_token_claims == claims


def test_there_are_no_claims_without_an_id_token() -> None:
    assert result().id_token_claims == {}


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c.d", "a.!!!.c", f"a.{base64.b64encode(b'not json').decode()}.c"])
def test_what_is_no_jwt_has_no_claims(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        claims_of(text)


def test_claims_that_are_no_object_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON object"):
        claims_of(jwt([1, 2]))


@pytest.mark.parametrize(
    "model",
    [
        ALICE,
        ResultMetadata("cache"),
        result(account=ALICE),
        ClientSecret("x"),
        ClientCertificate(b"x"),
        ClientAssertion("x"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_are_frozen_and_can_be_pickled_and_copied(model: Any) -> None:
    field = dataclasses.fields(model)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(model, field, "changed")
    with pytest.raises((AttributeError, TypeError)):
        model.another = 1
    for twin in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        assert twin == model
        assert twin is not model
    assert hash(model) == hash(copy.deepcopy(model))


@pytest.mark.parametrize(("home_account_id", "environment"), [(None, "login.example"), ("oid.tid", None), (b"o", 7)])
def test_an_account_without_an_id_or_a_host_cannot_be_made(home_account_id: Any, environment: Any) -> None:
    with pytest.raises(TypeError, match="home_account_id and environment of an Account"):
        Account(home_account_id, environment)


@pytest.mark.parametrize(
    "model",
    [
        result(id_token=f"canary.{jwt({})}", account=ALICE),
        ClientSecret("canary"),
        ClientCertificate(b"canary", password=b"canary"),
        ClientAssertion("canary"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_no_repr_shows_a_secret(model: object) -> None:
    assert "canary" not in f"{model!r} {model} {[model]}"


def test_a_result_shows_what_is_no_secret() -> None:
    shown = repr(result(account=ALICE))
    assert "alice@example.test" in shown
    assert "1900000000" in shown
