"""The provider's grant for a web API that acts for its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from testing.conftest import ALICE, App, error_of
from testing.test_grants import verified_claims

if TYPE_CHECKING:
    import httpx2
    from testing.conftest import MovableTime

    from warmtoken.testing import IdentityProvider

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "openid offline_access graph/read"


def trade(
    app: App, assertion: str, *, auth: tuple[str, str] | None = ("service", "service-secret"), **form: str
) -> Any:
    asked = {"grant_type": GRANT, "assertion": assertion, "requested_token_use": "on_behalf_of", "scope": SCOPE}
    client = {} if auth else {"client_id": "public"}
    data = {name: value for name, value in (asked | client | form).items() if value}
    return app.http.post("/token", data=data, auth=auth)


def test_a_users_token_is_traded_for_the_apis_own(app: App) -> None:
    assertion = app.sign_in()["access_token"]
    reply: httpx2.Response = trade(app, assertion)
    tokens = reply.json()
    assert (reply.status_code, tokens["scope"]) == (200, SCOPE)
    assert tokens["access_token"] != assertion
    claims = verified_claims(app, tokens["id_token"])
    assert (claims["preferred_username"], claims["aud"]) == (ALICE, "service")
    assert app.http.get("/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"}).status_code == 200


def test_the_refresh_token_is_the_apis(app: App) -> None:
    tokens = trade(app, app.sign_in()["access_token"]).json()
    assert error_of(app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert app.http.post("/token", data=form, auth=("service", "service-secret")).status_code == 200


def test_a_jwt_is_traded_as_well(app: App, idp: IdentityProvider) -> None:
    idp.access_token_format = "jwt"
    assert trade(app, app.sign_in()["access_token"]).status_code == 200


def test_what_is_no_token_of_this_provider_is_refused(app: App) -> None:
    tokens = app.sign_in()
    for other in ("a.b.c", tokens["id_token"], tokens["refresh_token"]):
        assert error_of(trade(app, other)) == (400, "invalid_grant")


def test_a_token_that_has_expired_is_refused(app: App, clock: MovableTime) -> None:
    assertion = app.sign_in()["access_token"]
    clock.now += 3599
    assert trade(app, assertion).status_code == 200
    clock.now += 1
    assert error_of(trade(app, assertion)) == (400, "invalid_grant")


def test_a_token_that_was_revoked_is_refused(app: App, idp: IdentityProvider) -> None:
    assertion = app.sign_in()["access_token"]
    idp.revoke_user(ALICE)
    assert error_of(trade(app, assertion)) == (400, "invalid_grant")


def test_a_clients_own_token_names_no_user(app: App) -> None:
    own = app.http.post("/token", data={"grant_type": "client_credentials"}, auth=("service", "service-secret")).json()
    assert error_of(trade(app, own["access_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"assertion": ""}, "invalid_request"),
        ({"requested_token_use": ""}, "invalid_request"),
        ({"requested_token_use": "another"}, "invalid_request"),
    ],
)
def test_the_request_must_be_complete(app: App, form: dict[str, str], error: str) -> None:
    assertion = app.sign_in()["access_token"]
    assert error_of(trade(app, form.pop("assertion", assertion), **form)) == (400, error)


def test_a_public_client_cannot_act_for_its_callers(app: App) -> None:
    assertion = app.sign_in()["access_token"]
    assert error_of(trade(app, assertion, auth=None)) == (400, "unauthorized_client")


def test_more_may_be_demanded_of_the_user(app: App, idp: IdentityProvider) -> None:
    refusal = {"error": "interaction_required", "claims": '{"access_token":{}}'}
    idp.fail_next("token", status=400, body=refusal)
    reply = trade(app, app.http.get("/jwks").text[:1])
    assert (reply.status_code, reply.json()) == (400, refusal)


def test_trades_are_counted_by_their_grant(app: App, idp: IdentityProvider) -> None:
    assertion = app.sign_in()["access_token"]
    idp.reset_counters()
    trade(app, assertion)
    trade(app, "unknown")
    assert idp.counters.grants == {GRANT: 2}
    assert [request.outcome for request in idp.token_requests] == ["granted", "invalid_grant"]
    assert GRANT in app.http.get("/.well-known/openid-configuration").json()["grant_types_supported"]


EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def exchange(app: App, subject: str, **form: str) -> Any:
    asked = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, "scope": SCOPE}
    data = {name: value for name, value in (asked | form).items() if value}
    return app.http.post("/token", data=data, auth=("service", "service-secret"))


def test_a_provider_of_token_exchange_has_no_other_grant_for_it(app: App, idp: IdentityProvider) -> None:
    assertion = app.sign_in()["access_token"]
    assert error_of(exchange(app, assertion)) == (400, "unsupported_grant_type")
    idp.on_behalf_of = "token-exchange"
    tokens = exchange(app, assertion, requested_token_type=ACCESS_TOKEN).json()
    assert (tokens["issued_token_type"], tokens["token_type"]) == (ACCESS_TOKEN, "Bearer")
    assert verified_claims(app, tokens["id_token"])["preferred_username"] == ALICE
    assert error_of(trade(app, assertion)) == (400, "unsupported_grant_type")
    listed = app.http.get("/.well-known/openid-configuration").json()["grant_types_supported"]
    assert (EXCHANGE in listed, GRANT in listed) == (True, False)


@pytest.mark.parametrize(
    "form",
    [
        {"subject_token": ""},
        {"subject_token": "unknown"},
        {"subject_token_type": ""},
        {"subject_token_type": "urn:x"},
        {"requested_token_type": "urn:x"},
    ],
)
def test_what_cannot_be_exchanged_is_an_invalid_request(app: App, idp: IdentityProvider, form: dict[str, str]) -> None:
    """RFC 8693, section 2.2.2."""
    idp.on_behalf_of = "token-exchange"
    assert error_of(exchange(app, app.sign_in()["access_token"], **form)) == (400, "invalid_request")
