from __future__ import annotations

import pickle
import time
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from testing.conftest import ALICE, error_of

from warmtoken.testing import IdentityProviderControl, server

if TYPE_CHECKING:
    import httpx2
    from testing.conftest import App

    from warmtoken.testing import IdentityProvider
    from warmtoken.testing.exchange import Reply

SETTINGS: dict[str, Any] = {
    "access_token_lifetime": 5,
    "refresh_token_lifetime": 6,
    "id_token_lifetime": 7,
    "code_lifetime": 8,
    "device_code_lifetime": 9,
    "device_interval": 1,
    "rotation": "never",
    "access_token_format": "jwt",
    "on_behalf_of": "token-exchange",
    "refresh_in": 2,
    "granted_scope": "a b",
    "omit_id_token": True,
    "omit_refresh_token": True,
    "omit_scope": True,
    "allow_wider_scope": True,
    "token_delay": 0.5,
    "id_token_claims": {"iss": "x"},
    "authorization_response": {"state": None},
}


@pytest.fixture
def control(idp: IdentityProvider) -> IdentityProviderControl:
    return IdentityProviderControl(idp.issuer)


def test_settings_are_the_same_on_both_sides(
    idp: IdentityProvider, control: IdentityProviderControl, http: httpx2.Client
) -> None:
    assert set(http.get("/control").json()["settings"]) == set(SETTINGS)
    for name, value in SETTINGS.items():
        assert getattr(idp, name) != value
        setattr(control, name, value)
        assert getattr(idp, name) == getattr(control, name) == value


@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("access_token_lifetime", -1, ValueError),
        ("access_token_lifetime", "5", TypeError),
        ("access_token_lifetime", True, TypeError),
        ("refresh_in", 1.5, TypeError),
        ("rotation", "sometimes", ValueError),
        ("omit_scope", 1, TypeError),
        ("granted_scope", 1, TypeError),
        ("token_delay", "1", TypeError),
        ("token_delay", float("inf"), ValueError),
        ("id_token_claims", None, TypeError),
        ("access_token_livetime", 5, AttributeError),
    ],
)
def test_wrong_settings_are_refused(
    idp: IdentityProvider, control: IdentityProviderControl, remote: bool, name: str, value: Any, error: type[Exception]
) -> None:
    before = control.execute("state", {})["settings"]
    with pytest.raises(error, match=name):
        setattr(control if remote else idp, name, value)
    assert control.execute("state", {})["settings"] == before


def test_all_methods_work_from_another_process(app: App, control: IdentityProviderControl) -> None:
    control.add_client("web", "secret", redirect_uris=("https://web.example.test/",))
    control.set_user_claims(ALICE, {"tid": "t-1"})
    control.rotate_signing_key()
    tokens = app.sign_in()
    assert control.revoke_user("bob") == 0
    assert control.revoke_user(ALICE) == 1
    assert error_of(app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    app.sign_in()
    assert control.revoke_refresh_tokens() == 1
    control.fail_next("jwks", status=418, body="tea", headers={"X-Kind": "green"})
    assert app.http.get("/jwks").headers["x-kind"] == "green"
    begun = app.http.post("/device_authorization", data={"client_id": "app"}).json()
    control.approve_device(begun["user_code"], "bob")
    with pytest.raises(ValueError, match="waits for its user"):
        control.deny_device(begun["user_code"])
    control.fail_next("jwks", status=418)
    control.clear_faults()
    assert app.http.get("/jwks").status_code == 200


def test_counters_are_the_same_on_both_sides(app: App, idp: IdentityProvider, control: IdentityProviderControl) -> None:
    app.refresh(app.sign_in()["refresh_token"])
    assert control.counters == idp.counters
    assert control.token_requests == idp.token_requests
    assert control.counters.refreshes_granted == 1
    control.reset_counters()
    assert idp.counters.refreshes_granted == 0


def test_counters_are_a_frozen_snapshot(app: App, idp: IdentityProvider) -> None:
    before = idp.counters
    app.sign_in()
    assert before.requests == {}
    with pytest.raises(FrozenInstanceError):
        before.sign_ins = 5  # type: ignore[misc]


def test_control_can_be_handed_to_worker_processes(control: IdentityProviderControl) -> None:
    assert pickle.loads(pickle.dumps(control)).counters == control.counters


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"set"', b"{}", b'{"command": 1}', b'{"command": "nap"}', b'{"command": "set"}']
)
def test_nonsense_is_refused(http: httpx2.Client, body: bytes) -> None:
    reply = http.post("/control", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error_description"]


def test_a_form_of_a_foreign_page_cannot_control(http: httpx2.Client, idp: IdentityProvider) -> None:
    body = b'{"command": "set", "arguments": {"name": "access_token_lifetime", "value": 1}}'
    assert http.post("/control", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
    assert idp.access_token_lifetime == 3600


def test_who_asks_it_to_stop_is_answered_however_slow_that_is(
    idp: IdentityProvider, control: IdentityProviderControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = server.Handler._send

    def send_late(handler: server.Handler, reply: Reply) -> None:
        time.sleep(0.2)
        send(handler, reply)

    monkeypatch.setattr(server.Handler, "_send", send_late)
    control.stop()
    assert idp.wait(60)


def test_stop(idp: IdentityProvider, control: IdentityProviderControl) -> None:
    control.stop()
    assert idp.wait(60)
    with pytest.raises(OSError, match="refused"):
        _ = control.counters
