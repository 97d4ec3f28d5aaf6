from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from testing.conftest import SCOPE, error_of

from warmtoken.errors import ProtocolError
from warmtoken.testing import UserAgent

if TYPE_CHECKING:
    from testing.conftest import App, MovableTime

    from warmtoken.testing import IdentityProvider

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def begin(app: App) -> dict[str, Any]:
    return app.http.post("/device_authorization", data={"client_id": "app", "scope": SCOPE}).json()


def poll(app: App, begun: dict[str, Any]) -> tuple[int, str]:
    reply = app.token(DEVICE_CODE, device_code=begun["device_code"])
    return (200, "") if reply.status_code == 200 else error_of(reply)


def test_pending_then_approved_then_used(app: App, idp: IdentityProvider, clock: MovableTime) -> None:
    begun = begin(app)
    assert begun["expires_in"] == 900
    assert begun["interval"] == 5
    assert begun["verification_uri_complete"].startswith(begun["verification_uri"])
    assert poll(app, begun) == (400, "authorization_pending")
    idp.approve_device(begun["user_code"].lower().replace("-", " "), "bob")
    clock.now += 5
    reply = app.token(DEVICE_CODE, device_code=begun["device_code"]).json()
    assert {"access_token", "refresh_token", "id_token"} < set(reply)
    assert app.refresh(reply["refresh_token"]).status_code == 200
    assert poll(app, begun) == (400, "invalid_grant")
    assert idp.counters.sign_ins == 1


def test_slow_down_lengthens_the_interval(app: App, clock: MovableTime) -> None:
    """RFC 8628, section 3.5: by five seconds, for this and all later requests."""
    begun, answers = begin(app), list[str]()
    for step in (0, 4, 9, 15, 15):
        clock.now += step
        answers.append(poll(app, begun)[1])
    assert answers == [
        "authorization_pending",
        "slow_down",
        "slow_down",
        "authorization_pending",
        "authorization_pending",
    ]


def test_denied(app: App, idp: IdentityProvider) -> None:
    begun = begin(app)
    idp.deny_device(begun["user_code"])
    assert poll(app, begun) == (400, "access_denied")


def test_expired(app: App, idp: IdentityProvider, clock: MovableTime) -> None:
    begun = begin(app)
    clock.now += 900
    assert poll(app, begun) == (400, "expired_token")
    with pytest.raises(ValueError, match="waits for its user"):
        idp.approve_device(begun["user_code"], "bob")


def test_another_client_cannot_poll(app: App, idp: IdentityProvider) -> None:
    begun = begin(app)
    idp.approve_device(begun["user_code"], "bob")
    reply = app.http.post(
        "/token", data={"grant_type": DEVICE_CODE, "client_id": "b", "device_code": begun["device_code"]}
    )
    assert error_of(reply) == (400, "invalid_grant")


def test_user_agent_approves_on_the_page(app: App) -> None:
    begun = begin(app)
    agent = UserAgent("bob", background=False)
    agent(begun["verification_uri_complete"])
    assert "Device connected" in agent.last_page
    assert poll(app, begun) == (200, "")


def test_user_agent_cancels_on_the_page(app: App) -> None:
    begun = begin(app)
    UserAgent("bob", behaviour="cancel", background=False)(begun["verification_uri_complete"])
    assert poll(app, begun) == (400, "access_denied")


def test_a_wrong_user_code_is_a_page_that_says_so(idp: IdentityProvider) -> None:
    with pytest.raises(ProtocolError, match="400"):
        UserAgent(background=False)(f"{idp.issuer}/device?user_code=XXXX-XXXX")
