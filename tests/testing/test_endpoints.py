from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import httpx2
import pytest
from support.world import eventually, held_replies
from testing.conftest import ALICE, error_of

if TYPE_CHECKING:
    from testing.conftest import App, MovableTime

    from warmtoken.testing import IdentityProvider


def test_discovery_names_what_is_there(http: httpx2.Client, idp: IdentityProvider) -> None:
    found = http.get("/.well-known/openid-configuration").json()
    assert found["issuer"] == idp.issuer
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert http.get("/.well-known/oauth-authorization-server").json() == found
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "device_authorization_endpoint"):
        assert found[name].startswith(f"{idp.issuer}/")
    assert http.get(found["jwks_uri"]).json()["keys"][0]["alg"] == "ES256"


def test_unknown_paths_and_methods(http: httpx2.Client) -> None:
    assert http.get("/favicon.ico").status_code == 404
    assert http.get("/token").status_code == 404
    assert http.delete("/token").status_code == 501


def test_requests_are_counted_by_endpoint(http: httpx2.Client, app: App, idp: IdentityProvider) -> None:
    app.sign_in()
    http.get("/jwks")
    assert idp.counters.requests == {"authorize": 1, "token": 1, "jwks": 1}
    idp.reset_counters()
    assert (idp.counters.requests, idp.counters.sign_ins, idp.token_requests) == ({}, 0, [])


def test_user_info(app: App, clock: MovableTime) -> None:
    header = {"Authorization": f"Bearer {app.sign_in()['access_token']}"}
    assert app.http.get("/userinfo", headers=header).json()["preferred_username"] == ALICE
    assert app.http.get("/userinfo").status_code == 401
    clock.now += 3600
    assert app.http.get("/userinfo", headers=header).status_code == 401


def test_revocation(app: App) -> None:
    """RFC 7009: a refresh token goes with its family; unknown and foreign tokens are no error and no effect."""
    tokens, other = app.sign_in(), app.sign_in()
    for value in ("unknown", tokens["refresh_token"]):
        assert app.http.post("/revoke", data={"client_id": "app", "token": value}).status_code == 200
    assert error_of(app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert app.http.post("/revoke", data={"client_id": "b", "token": other["refresh_token"]}).status_code == 200
    assert app.refresh(other["refresh_token"]).status_code == 200
    assert error_of(app.http.post("/revoke", data={"client_id": "app"})) == (400, "invalid_request")


def test_revocation_of_an_access_token(app: App) -> None:
    tokens = app.sign_in()
    header = {"Authorization": f"Bearer {tokens['access_token']}"}
    app.http.post("/revoke", data={"client_id": "b", "token": tokens["access_token"]})
    assert app.http.get("/userinfo", headers=header).status_code == 200
    app.http.post("/revoke", data={"client_id": "app", "token": tokens["access_token"]})
    assert app.http.get("/userinfo", headers=header).status_code == 401
    assert app.refresh(tokens["refresh_token"]).status_code == 200


def test_faults_come_in_order_and_end(app: App, idp: IdentityProvider) -> None:
    refresh_token = app.sign_in()["refresh_token"]
    idp.fail_next("token", 2, status=503, headers={"retry-after": "7"})
    idp.fail_next("token", status=200, body="<html>maintenance</html>")
    idp.fail_next("token", status=400, body={"error": "interaction_required", "suberror": "basic_action"})
    replies = [app.refresh(refresh_token) for _ in range(5)]
    assert [reply.status_code for reply in replies] == [503, 503, 200, 400, 200]
    assert replies[0].headers["retry-after"] == "7"
    assert replies[2].headers["content-type"].startswith("text/html")
    assert replies[3].json()["suberror"] == "basic_action"
    assert idp.counters.faults_injected == 4
    assert idp.counters.replays_detected == 0


def test_faults_hit_their_endpoint_only(http: httpx2.Client, idp: IdentityProvider) -> None:
    idp.fail_next("discovery", status=500)
    assert http.get("/jwks").status_code == 200
    assert http.get("/.well-known/openid-configuration").status_code == 500
    idp.fail_next("jwks", status=500)
    idp.clear_faults()
    assert http.get("/jwks").status_code == 200


def test_disconnect_before_the_work(app: App, idp: IdentityProvider) -> None:
    refresh_token = app.sign_in()["refresh_token"]
    idp.fail_next("token", disconnect="before")
    with pytest.raises(httpx2.RemoteProtocolError):
        app.refresh(refresh_token)
    assert app.refresh(refresh_token).status_code == 200


def test_disconnect_after_the_work_spends_the_refresh_token(app: App, idp: IdentityProvider) -> None:
    refresh_token = app.sign_in()["refresh_token"]
    idp.fail_next("token", disconnect="after")
    with pytest.raises(httpx2.RemoteProtocolError):
        app.refresh(refresh_token)
    assert idp.counters.refreshes_granted == 1
    assert error_of(app.refresh(refresh_token)) == (400, "invalid_grant")
    assert idp.counters.replays_detected == 1


def test_delays(app: App, idp: IdentityProvider) -> None:
    idp.fail_next("jwks", delay=0.2)
    before = time.monotonic()
    assert app.http.get("/jwks").status_code == 200
    assert time.monotonic() - before >= 0.2
    idp.token_delay = 0.2
    before = time.monotonic()
    app.sign_in()
    assert time.monotonic() - before >= 0.2


def test_stop_does_not_wait_for_delays(app: App, idp: IdentityProvider) -> None:
    idp.token_delay = 60
    errors = list[httpx2.TransportError]()

    def ask() -> None:
        with pytest.raises(httpx2.TransportError) as caught:
            app.token("refresh_token")
        errors.append(caught.value)

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 60
    while not idp.counters.requests.get("token") and time.monotonic() < deadline:
        time.sleep(0.005)
    idp.stop()
    thread.join(60)
    assert len(errors) == 1


def test_most_in_flight(app: App, idp: IdentityProvider) -> None:
    app.sign_in()
    assert idp.counters.most_in_flight == 1
    threads = [threading.Thread(target=app.token, args=("refresh_token",)) for _ in range(4)]
    with held_replies(idp):
        for thread in threads:
            thread.start()
        eventually(lambda: idp.counters.most_in_flight == 4)
    for thread in threads:
        thread.join()
    assert idp.counters.most_in_flight == 4
    idp.reset_counters()
    assert idp.counters.most_in_flight == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"endpoint": "tokens", "status": 500}, ValueError),
        ({"endpoint": "token"}, ValueError),
        ({"endpoint": "token", "status": 99}, ValueError),
        ({"endpoint": "token", "status": "500"}, TypeError),
        ({"endpoint": "token", "status": 500, "times": 0}, ValueError),
        ({"endpoint": "token", "status": 500, "disconnect": "after"}, ValueError),
        ({"endpoint": "token", "disconnect": "sometimes"}, ValueError),
        ({"endpoint": "token", "delay": -1}, ValueError),
        ({"endpoint": "token", "delay": 1, "body": "x"}, ValueError),
    ],
)
def test_faults_that_cannot_be(idp: IdentityProvider, arguments: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        idp.fail_next(**arguments)  # type: ignore[arg-type]
    assert idp.counters.faults_injected == 0
