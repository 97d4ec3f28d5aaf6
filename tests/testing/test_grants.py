from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from testing.conftest import ALICE, SCOPE, App, error_of

if TYPE_CHECKING:
    import httpx2
    from testing.conftest import MovableTime

    from warmtoken.testing import IdentityProvider


def verified_claims(app: App, token: str) -> dict[str, Any]:
    """Check the signature with another implementation than the one that made it."""
    keys = KeySet.import_key_set(app.http.get("/jwks").json())
    return dict(jwt.decode(token, keys, algorithms=["ES256"]).claims)


def test_code_gives_all_tokens(app: App) -> None:
    reply = app.sign_in()
    assert reply["token_type"] == "Bearer"
    assert reply["expires_in"] == 3600
    assert reply["scope"] == SCOPE
    assert len({reply["access_token"], reply["refresh_token"], reply["id_token"]}) == 3
    assert "refresh_in" not in reply


def test_token_replies_must_not_be_cached(app: App) -> None:
    """RFC 6749, section 5.1."""
    assert app.redeem(app.code()).headers["cache-control"] == "no-store"


def test_id_token_is_signed_and_complete(app: App, idp: IdentityProvider, clock: MovableTime) -> None:
    idp.id_token_lifetime = 120
    claims = verified_claims(app, app.sign_in()["id_token"])
    assert len(claims.pop("sub")) == 32
    assert claims == {
        "iss": idp.issuer,
        "aud": "app",
        "iat": int(clock.now),
        "exp": int(clock.now) + 120,
        "auth_time": int(clock.now),
        "nonce": "nonce-1",
        "preferred_username": ALICE,
        "name": "Alice",
        "email": ALICE,
    }


def test_users_have_their_own_lasting_subject(app: App) -> None:
    subjects = [verified_claims(app, app.sign_in(name)["id_token"])["sub"] for name in (ALICE, "bob", ALICE)]
    assert subjects[0] == subjects[2] != subjects[1]


def test_user_claims_can_be_set(app: App, idp: IdentityProvider) -> None:
    idp.set_user_claims(ALICE, {"oid": "o-1", "tid": "t-1", "email": None})
    claims = verified_claims(app, app.sign_in()["id_token"])
    assert (claims["oid"], claims["tid"], "email" in claims) == ("o-1", "t-1", False)


def test_id_token_can_be_spoilt_on_purpose(app: App, idp: IdentityProvider) -> None:
    idp.id_token_claims = {"nonce": "other", "aud": ["app", "b"], "auth_time": None}
    claims = verified_claims(app, app.sign_in()["id_token"])
    assert (claims["nonce"], claims["aud"], "auth_time" in claims) == ("other", ["app", "b"], False)


def test_old_id_tokens_verify_after_a_new_signing_key(app: App, idp: IdentityProvider) -> None:
    old = app.sign_in()["id_token"]
    idp.rotate_signing_key()
    new = app.sign_in()["id_token"]
    assert old.split(".")[0] != new.split(".")[0]
    assert verified_claims(app, old)["sub"] == verified_claims(app, new)["sub"]


def test_tokens_depend_on_the_scope(app: App) -> None:
    assert set(app.sign_in(scope="orders.read")) == {"access_token", "token_type", "expires_in", "scope"}


@pytest.mark.parametrize("verifier", ["x" * 43, "too-short", ""])
def test_wrong_code_verifier(app: App, verifier: str) -> None:
    assert error_of(app.redeem(app.code(), code_verifier=verifier)) == (400, "invalid_grant")


def test_missing_code_verifier(app: App) -> None:
    code = app.code()
    reply = app.token("authorization_code", code=code, redirect_uri="http://127.0.0.1:51234/callback")
    assert error_of(reply) == (400, "invalid_grant")


def test_code_verifier_without_challenge_is_refused(http: httpx2.Client) -> None:
    """RFC 9700, section 4.8.2: no downgrade of PKCE."""
    service = App(http, "service")
    code = service.code(code_challenge=None, code_challenge_method=None)
    assert error_of(service.redeem(code, client_secret="service-secret")) == (400, "invalid_grant")


def test_wrong_redirect_uri(app: App) -> None:
    reply = app.redeem(app.code(), redirect_uri="http://127.0.0.1:51235/callback")
    assert error_of(reply) == (400, "invalid_grant")


def test_code_of_another_client(app: App, http: httpx2.Client) -> None:
    code = app.code()
    thief = App(http, "thief")
    thief.verifier = app.verifier
    assert error_of(thief.redeem(code)) == (400, "invalid_grant")
    assert app.redeem(code).status_code == 200


def test_code_expires(app: App, clock: MovableTime) -> None:
    code = app.code()
    clock.now += 60
    assert error_of(app.redeem(code)) == (400, "invalid_grant")


def test_second_use_of_a_code_revokes_what_the_first_gave(app: App) -> None:
    """RFC 6749, section 4.1.2."""
    code = app.code()
    first = app.redeem(code).json()
    assert error_of(app.redeem(code)) == (400, "invalid_grant")
    assert error_of(app.refresh(first["refresh_token"])) == (400, "invalid_grant")
    header = {"Authorization": f"Bearer {first['access_token']}"}
    assert app.http.get("/userinfo", headers=header).status_code == 401


def test_refresh_rotates(app: App, idp: IdentityProvider) -> None:
    first = app.sign_in()
    second = app.refresh(first["refresh_token"]).json()
    third = app.refresh(second["refresh_token"]).json()
    assert len({reply["refresh_token"] for reply in (first, second, third)}) == 3
    assert len({reply["access_token"] for reply in (first, second, third)}) == 3
    assert (idp.counters.refreshes_granted, idp.counters.refreshes_refused) == (2, 0)


def test_refreshed_id_token_is_of_the_same_sign_in(app: App, clock: MovableTime) -> None:
    """OpenID Connect Core, section 12.2."""
    first = app.sign_in()
    clock.now += 100
    before, after = (
        verified_claims(app, reply["id_token"]) for reply in (first, app.refresh(first["refresh_token"]).json())
    )
    assert after["iat"] == before["iat"] + 100
    for name in ("iss", "sub", "aud", "auth_time"):
        assert after[name] == before[name]
    assert "nonce" not in after


def test_replay_revokes_the_whole_family(app: App, idp: IdentityProvider) -> None:
    """RFC 9700, section 4.14.2."""
    bystander = app.sign_in()
    first = app.sign_in()
    second = app.refresh(first["refresh_token"]).json()
    assert error_of(app.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error_of(app.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert idp.counters.replays_detected == 1
    assert idp.counters.refreshes_refused == 2
    assert app.refresh(bystander["refresh_token"]).status_code == 200


def test_of_many_refreshes_at_once_one_wins_and_the_family_dies(app: App, idp: IdentityProvider) -> None:
    refresh_token = app.sign_in()["refresh_token"]
    start, replies = threading.Barrier(8), list[Any]()

    def refresh() -> None:
        start.wait()
        replies.append(app.refresh(refresh_token))

    threads = [threading.Thread(target=refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [reply for reply in replies if reply.status_code == 200]
    assert (len(replies), len(winners)) == (8, 1)
    assert error_of(app.refresh(winners[0].json()["refresh_token"])) == (400, "invalid_grant")
    assert idp.counters.replays_detected == 7


def test_without_rotation_the_refresh_token_stays(app: App, idp: IdentityProvider) -> None:
    idp.rotation = "never"
    refresh_token = app.sign_in()["refresh_token"]
    replies = [app.refresh(refresh_token).json() for _ in range(2)]
    assert all("refresh_token" not in reply for reply in replies)
    assert idp.counters.replays_detected == 0


def test_refresh_token_expires(app: App, idp: IdentityProvider, clock: MovableTime) -> None:
    idp.refresh_token_lifetime = 10
    refresh_token = app.sign_in()["refresh_token"]
    clock.now += 10
    assert error_of(app.refresh(refresh_token)) == (400, "invalid_grant")


def test_refresh_token_of_another_client(app: App, http: httpx2.Client) -> None:
    refresh_token = app.sign_in()["refresh_token"]
    assert error_of(App(http, "thief").refresh(refresh_token)) == (400, "invalid_grant")
    assert app.refresh(refresh_token).status_code == 200


def test_refresh_for_fewer_scopes(app: App) -> None:
    reply = app.refresh(app.sign_in()["refresh_token"], scope="orders.read").json()
    assert reply["scope"] == "orders.read"
    assert "id_token" not in reply
    assert app.refresh(reply["refresh_token"]).json()["scope"] == SCOPE


def test_refresh_for_more_scopes_spends_nothing(app: App, idp: IdentityProvider) -> None:
    """RFC 6749, section 6."""
    refresh_token = app.sign_in()["refresh_token"]
    assert error_of(app.refresh(refresh_token, scope="orders.write")) == (400, "invalid_scope")
    idp.allow_wider_scope = True
    assert app.refresh(refresh_token, scope="orders.write").json()["scope"] == "orders.write"


@pytest.mark.parametrize("everybody", [True, False])
def test_revoked_refresh_tokens_are_invalid_grants(app: App, idp: IdentityProvider, everybody: bool) -> None:
    alice, bob = app.sign_in(), app.sign_in("bob")
    assert (idp.revoke_refresh_tokens() if everybody else idp.revoke_user(ALICE)) == (2 if everybody else 1)
    assert error_of(app.refresh(alice["refresh_token"])) == (400, "invalid_grant")
    assert app.refresh(bob["refresh_token"]).status_code == (400 if everybody else 200)
    assert app.refresh(app.sign_in()["refresh_token"]).status_code == 200
    assert idp.counters.replays_detected == 0


@pytest.mark.parametrize("way", ["basic", "post"])
def test_client_credentials(http: httpx2.Client, way: str) -> None:
    form = {"grant_type": "client_credentials", "scope": "api/.default"}
    secret = {"client_id": "service", "client_secret": "service-secret"}
    basic = ("service", "service-secret") if way == "basic" else None
    reply = http.post("/token", data=form | (secret if way == "post" else {}), auth=basic)
    assert reply.status_code == 200
    assert set(reply.json()) == {"access_token", "token_type", "expires_in", "scope"}


def test_basic_credentials_are_form_encoded(http: httpx2.Client, idp: IdentityProvider) -> None:
    """RFC 6749, section 2.3.1."""
    idp.add_client("a:b", "s%c +ü")
    reply = http.post("/token", data={"grant_type": "client_credentials"}, auth=("a%3Ab", "s%25c+%2B%C3%BC"))
    assert reply.status_code == 200


@pytest.mark.parametrize("client", [("service", "wrong"), ("service", ""), ("unknown", "any")])
def test_wrong_secrets(http: httpx2.Client, client: tuple[str, str]) -> None:
    reply = http.post("/token", data={"grant_type": "client_credentials"}, auth=client)
    assert error_of(reply) == (401, "invalid_client")
    assert reply.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic c2VydmljZQ==", "Bearer abc", "Basic /w=="])
def test_malformed_credentials(http: httpx2.Client, header: str) -> None:
    reply = http.post("/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header})
    assert error_of(reply) == (401, "invalid_client")


def test_confidential_clients_must_prove_themselves_for_every_grant(http: httpx2.Client) -> None:
    service = App(http, "service")
    assert error_of(service.redeem(service.code())) == (401, "invalid_client")


def test_two_ways_of_authentication_at_once(http: httpx2.Client) -> None:
    """RFC 6749, section 2.3."""
    form = {"grant_type": "client_credentials", "client_secret": "service-secret"}
    assert error_of(http.post("/token", data=form, auth=("service", "service-secret"))) == (400, "invalid_request")


def test_public_clients_have_no_credentials(app: App) -> None:
    assert error_of(app.token("client_credentials")) == (400, "unauthorized_client")


def test_malformed_token_requests(app: App, http: httpx2.Client) -> None:
    assert error_of(app.token("password")) == (400, "unsupported_grant_type")
    assert error_of(app.token("refresh_token")) == (400, "invalid_request")
    assert error_of(http.post("/token", data={"grant_type": "refresh_token"})) == (400, "invalid_request")
    assert error_of(http.post("/token", data={"client_id": "app"})) == (400, "invalid_request")
    assert error_of(http.post("/token", json={"grant_type": "refresh_token"})) == (400, "invalid_request")
    twice = b"grant_type=refresh_token&grant_type=refresh_token&client_id=app&refresh_token=x"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert error_of(http.post("/token", content=twice, headers=form)) == (400, "invalid_request")


def test_replies_as_the_settings_say(app: App, idp: IdentityProvider) -> None:
    idp.access_token_lifetime, idp.refresh_in, idp.granted_scope = 7, 3, "orders.read extra"
    reply = app.sign_in()
    assert (reply["expires_in"], reply["refresh_in"], reply["scope"]) == (7, 3, "orders.read extra")
    idp.omit_scope = idp.omit_id_token = idp.omit_refresh_token = True
    assert set(app.sign_in()) == {"access_token", "token_type", "expires_in", "refresh_in"}


def test_a_refresh_token_is_not_spent_when_no_new_one_is_given(app: App, idp: IdentityProvider) -> None:
    refresh_token = app.sign_in()["refresh_token"]
    idp.omit_refresh_token = True
    assert [app.refresh(refresh_token).status_code for _ in range(2)] == [200, 200]


def test_access_tokens_as_jwt(app: App, idp: IdentityProvider, clock: MovableTime) -> None:
    """RFC 9068."""
    idp.access_token_format = "jwt"
    first = app.sign_in()
    claims = verified_claims(app, first["access_token"])
    assert claims["exp"] == int(clock.now) + 3600
    assert (claims["client_id"], claims["scope"]) == ("app", SCOPE)
    assert app.refresh(first["refresh_token"]).json()["access_token"] != first["access_token"]


def test_the_log_has_what_no_standard_names(app: App, idp: IdentityProvider) -> None:
    reply = app.sign_in(audience="not of the code's request")
    app.refresh(reply["refresh_token"], audience="https://api.example", subject_token="secret", acr_values="gold")
    assert [asked.parameters for asked in idp.token_requests] == [
        {}, {"acr_values": "gold", "audience": "https://api.example"},
    ]  # fmt: skip


def test_access_tokens_are_for_the_audience_that_was_asked_for(app: App, idp: IdentityProvider) -> None:
    """A refresh has the audience of its sign-in, whatever it asks for, as at Auth0."""
    idp.access_token_format = "jwt"
    reply = app.sign_in(audience="one")
    for again in (reply, app.refresh(reply["refresh_token"], audience="two").json()):
        assert verified_claims(app, again["access_token"])["aud"] == "one"
    service = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "service-secret"}
    token = app.http.post("/token", data=service | {"resource": ["a:1", "a:2"]}).json()["access_token"]
    assert verified_claims(app, token)["aud"] == "a:1 a:2"
    assert idp.token_requests[-1].parameters == {"resource": "a:1 a:2"}  # RFC 8707, section 2: may be there twice


def test_log_tells_all_but_secrets(app: App, idp: IdentityProvider, clock: MovableTime) -> None:
    reply = app.sign_in()
    claims = '{"access_token":{}}'
    app.refresh(reply["refresh_token"], claims=claims, scope="orders.read")
    app.refresh(reply["refresh_token"])
    redeemed, refreshed, replayed = idp.token_requests
    assert (redeemed.grant_type, redeemed.client_id, redeemed.outcome) == ("authorization_code", "app", "granted")
    assert (refreshed.scope, refreshed.claims, refreshed.time) == ("orders.read", claims, clock.now)
    assert replayed.outcome == "invalid_grant"
    assert reply["refresh_token"] not in repr(idp.token_requests)
    assert idp.counters.grants == {"authorization_code": 1, "refresh_token": 2}
    assert idp.counters.tokens_issued == 2
