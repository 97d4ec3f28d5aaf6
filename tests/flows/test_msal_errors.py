"""MSAL.NET's table of errors, row by row: what the provider or the program did, and what the program gets to see.

Codes and classifications are MSAL.NET's; where ours differ on purpose the row says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import (
    Account,
    AuthenticationResult,
    ClientError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)
from warmtoken.flows import sending
from warmtoken.testing import UserAgent

CLAIMS = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}'


@dataclass(frozen=True)
class Row:
    """One row: what the token endpoint answers, the error it becomes, and what that says besides its code."""

    rule: str
    fault: dict[str, Any]
    kind: type[WarmTokenError]
    code: str
    says: dict[str, object] = field(default_factory=dict)
    words: str = ""


def refusal(error: str, *, status: int = 400, **more: object) -> dict[str, Any]:
    return {"status": status, "body": {"error": error, **more}}


def granted(**fields: object) -> dict[str, Any]:
    return {"status": 200, "body": {"access_token": "at", "token_type": "Bearer", **fields}}


def classified(suberror: str, classification: str) -> Row:
    says = {"classification": classification, "suberror": suberror}
    fault = refusal("invalid_grant", suberror=suberror)
    return Row(
        f"the suberror {suberror} is classified as {classification}", fault, UiRequiredError, "invalid_grant", says
    )


def refused(suberror: str) -> Row:
    says = {"suberror": suberror, "status": 400}
    fault = refusal("invalid_grant", suberror=suberror)
    return Row(f"the suberror {suberror} is no matter for the user", fault, ServiceError, "invalid_grant", says)


def retryable(fault: dict[str, Any], what: str, code: str, kind: type[ServiceError] = ServiceError) -> Row:
    return Row(f"{what} may be tried again", fault, kind, code, {"is_retryable": True})


def final(fault: dict[str, Any], what: str, code: str) -> Row:
    return Row(f"{what} need not be tried again", fault, ServiceError, code, {"is_retryable": False})


USER_NEEDED = [
    Row("invalid_grant needs the user", refusal("invalid_grant"), UiRequiredError, "invalid_grant"),
    Row(
        "interaction_required needs the user", refusal("interaction_required"), UiRequiredError, "interaction_required"
    ),
    Row(
        "claims of invalid_grant go to the sign-in",
        refusal("invalid_grant", claims=CLAIMS),
        UiRequiredError,
        "invalid_grant",
        {"claims": CLAIMS},
    ),
    Row(
        "claims of interaction_required go to the sign-in",
        refusal("interaction_required", claims=CLAIMS),
        UiRequiredError,
        "interaction_required",
        {"claims": CLAIMS},
    ),
    Row(
        "a loop that the provider has detected (AADSTS50196) needs the user",
        refusal("invalid_request", error_description="AADSTS50196: loop"),
        UiRequiredError,
        "invalid_request",
        words="throttles",
    ),
    Row(
        "the provider's words come along",
        refusal("invalid_grant", error_description="AADSTS50076: a second factor"),
        UiRequiredError,
        "invalid_grant",
        {"error_description": "AADSTS50076: a second factor"},
        words="AADSTS50076",
    ),
]
CLASSIFICATIONS = [
    classified("basic_action", "basic_action"),
    classified("additional_action", "additional_action"),
    classified("message_only", "message_only"),
    classified("consent_required", "consent_required"),
    classified("user_password_expired", "user_password_expired"),
    classified("bad_token", "none"),
    classified("token_expired", "none"),
    classified("device_authentication_failed", "none"),
    classified("what_comes_next_year", "none"),
    Row(
        "consent_required as the error itself is classified as consent_required",
        refusal("consent_required"),
        UiRequiredError,
        "consent_required",
        {"classification": "consent_required"},
    ),
    Row(
        "login_required is classified as none",
        refusal("login_required"),
        UiRequiredError,
        "login_required",
        {"classification": "none", "suberror": None},
    ),
    refused("client_mismatch"),
    refused("protection_policy_required"),
]
REFUSALS = [
    Row(
        "invalid_client says what to check, and the provider's words",
        refusal("invalid_client", status=401, error_description="AADSTS7000215", error_codes=[7000215]),
        ServiceError,
        "invalid_client",
        {"status": 401, "error_codes": (7000215,)},
        words="check the client id",
    ),
    Row("5xx is service_not_available", {"status": 502, "body": "<p>"}, ServiceError, "service_not_available"),
    Row("404 is not_found", {"status": 404, "body": "<p>"}, ServiceError, "not_found"),
    Row("another status is http_status_not_200", {"status": 418, "body": "<p>"}, ServiceError, "http_status_not_200"),
    Row(
        "429 without JSON is request_throttled",
        {"status": 429, "body": "<p>", "headers": {"retry-after": "9"}},
        ThrottledError,
        "request_throttled",
        {"status": 429, "retry_after": 9},
    ),
    Row(
        "a body that is not JSON is non_parsable_oauth_error",
        {"status": 200, "body": "<p>"},
        ProtocolError,
        "non_parsable_oauth_error",
    ),
    Row("no answer in time is request_timeout", {"status": 200, "delay": 60}, TransportError, "request_timeout"),
    Row("a cut connection is connection_failed", {"disconnect": "before"}, TransportError, "connection_failed"),
]
RETRIES = [
    retryable({"status": 500}, "500", "service_not_available"),
    retryable({"status": 503}, "503", "service_not_available"),
    retryable({"status": 429}, "429", "temporarily_unavailable", ThrottledError),
    retryable({"status": 408, "body": "<p>"}, "408", "request_timeout"),
    retryable(refusal("temporarily_unavailable"), "temporarily_unavailable", "temporarily_unavailable"),
    final(refusal("invalid_client", status=401), "invalid_client", "invalid_client"),
    final(refusal("unauthorized_client"), "unauthorized_client", "unauthorized_client"),
    final({"status": 404, "body": "<p>"}, "404", "not_found"),
]
REPLIES = [
    Row(
        "a token without a type is token_type_missing",
        {"status": 200, "body": {"access_token": "at"}},
        ProtocolError,
        "token_type_missing",
    ),
    Row(
        "a token of another type is token_type_mismatch",
        granted(token_type="mac"),
        ProtocolError,
        "token_type_mismatch",
    ),
    Row("an id token that is none (MSAL: invalid_jwt)", granted(id_token="a"), ProtocolError, "id_token_invalid"),
]


def description_of(fault: dict[str, Any]) -> str:
    body = fault.get("body")
    return str(body.get("error_description", "")) if isinstance(body, dict) else ""


ROWS = USER_NEEDED + CLASSIFICATIONS + REFUSALS + RETRIES + REPLIES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
def test_what_the_provider_says(world: World, app: Client, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_in = world.sign_in(app)
    if "delay" in row.fault:
        monkeypatch.setattr(sending, "HTTP_TIMEOUT", 1.0)
    world.idp.fail_next("token", times=2, **row.fault)
    with pytest.raises(WarmTokenError) as caught:
        app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert type(caught.value) is row.kind
    assert caught.value.code == row.code
    assert {name: getattr(caught.value, name) for name in row.says} == row.says
    assert row.words in caught.value.message
    assert description_of(row.fault) in caught.value.message
    assert "?" not in caught.value.message


# --- what this library finds out by itself ---


def for_nobody(app: Client, _: AuthenticationResult) -> object:
    return app.acquire_token_silent(SCOPES)


def for_a_stranger(app: Client, signed_in: AuthenticationResult) -> object:
    assert signed_in.account is not None
    return app.acquire_token_silent(SCOPES, Account("stranger", signed_in.account.environment))


def by_a_hint_of_nobody(app: Client, _: AuthenticationResult) -> object:
    return app.acquire_token_silent(SCOPES, login_hint="nobody@example.test")


def by_a_hint_of_two(app: Client, _: AuthenticationResult) -> object:
    return app.acquire_token_silent(SCOPES, login_hint="shared@example.test")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(for_nobody, "user_null", id="neither account nor hint is user_null"),
        pytest.param(for_a_stranger, "no_tokens_found", id="an account without tokens is no_tokens_found"),
        pytest.param(by_a_hint_of_nobody, "no_account_for_login_hint", id="a hint of nobody"),
        pytest.param(by_a_hint_of_two, "multiple_accounts_for_login_hint", id="a hint of two"),
    ],
)
def test_what_the_cache_cannot_serve(
    world: World, app: Client, call: Callable[[Client, AuthenticationResult], object], code: str
) -> None:
    for user in (ALICE, BOB):
        world.idp.set_user_claims(user, {"preferred_username": "shared@example.test"})
    signed_in = [world.sign_in(app, user) for user in (ALICE, BOB)]
    with pytest.raises(UiRequiredError) as caught:
        call(app, signed_in[0])
    assert (caught.value.code, caught.value.classification) == (code, "acquire_token_silent_failed")
    assert world.token_requests() == 0


def test_claims_that_are_no_json_are_invalid_json_claims_format(world: World, app: Client) -> None:
    with pytest.raises(ClientError) as caught:
        app.acquire_token_silent(SCOPES, world.sign_in(app).account, claims="{")
    assert caught.value.code == "invalid_json_claims_format"


def test_tokens_of_another_user_are_user_mismatch(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.id_token_claims = {"sub": "mallory"}
    with pytest.raises(ClientError) as caught:
        app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True)
    assert caught.value.code == "user_mismatch"


def test_several_tokens_that_serve_are_no_error(world: World, app: Client) -> None:
    """MSAL.NET raises multiple_matching_tokens_detected; here the one that lasts longest serves."""
    world.idp.allow_wider_scope = True
    account = world.sign_in(app, scopes=["a", "x"]).account
    world.clock.advance(60)
    later = app.acquire_token_silent(["b", "x"], account)
    for asked in (["x"], []):
        assert app.acquire_token_silent(asked, account).access_token == later.access_token
    assert world.token_requests() == 1


@pytest.mark.parametrize(
    ("prompt", "error", "classification"),
    [
        pytest.param("none", "login_required", "prompt_never_failed", id="no prompt was allowed"),
        pytest.param("none", "consent_required", "prompt_never_failed", id="no prompt was allowed, for a consent"),
        pytest.param(None, "consent_required", "consent_required", id="a consent"),
        pytest.param("login", "interaction_required", "none", id="anything else"),
    ],
)
def test_what_the_browser_brings_back(
    world: World, app: Client, prompt: str | None, error: str, classification: str
) -> None:
    world.idp.authorization_response = {"error": error, "code": None}
    with pytest.raises(UiRequiredError) as caught:
        app.acquire_token_interactive(SCOPES, prompt=prompt, open_browser=UserAgent(ALICE))
    assert (caught.value.code, caught.value.classification) == (error, classification)
