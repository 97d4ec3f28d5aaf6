"""A provider that answers wrongly, late or not at all: typed errors, and nothing that was cached is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from integration.program import LIFETIME, READ
from warmtoken import ProtocolError, ServiceError, ThrottledError, TransportError, UiRequiredError, WarmTokenError

if TYPE_CHECKING:
    from integration.program import Program

HOLD = 60  # seconds: a provider that fails is not asked again by a public client for so long
HTML = "<!doctype html><html><body>Sign in to the guest network</body></html>"
# What may pass is sent once more: those that fail twice are errors.
FAULTS: dict[str, tuple[dict[str, Any], type[WarmTokenError], str]] = {
    "500": ({"status": 500, "body": "{}", "times": 2}, ServiceError, "service_not_available"),
    "503 with Retry-After": (
        {"status": 503, "headers": {"retry-after": "7"}, "body": "{}"},
        ThrottledError,
        "service_not_available",
    ),
    "429": ({"status": 429, "headers": {"retry-after": "7"}, "body": "{}"}, ThrottledError, "request_throttled"),
    "HTML with status 200": (
        {"status": 200, "headers": {"content-type": "text/html"}, "body": HTML},
        ProtocolError,
        "non_parsable_oauth_error",
    ),
    "empty object": ({"status": 200, "body": "{}"}, ProtocolError, "access_token_missing"),
    "reset": ({"reset": True, "times": 2}, TransportError, "connection_failed"),
    "truncated": (
        {"headers": {"content-length": "200"}, "body": '{"access_token": "a', "truncate": 10, "times": 2},
        TransportError,
        "connection_failed",
    ),
}


@pytest.fixture(params=list(FAULTS))
def fault(request: pytest.FixtureRequest) -> tuple[dict[str, Any], type[WarmTokenError], str]:
    return FAULTS[request.param]


def test_a_fault_is_a_typed_error_and_the_next_refresh_works(
    program: Program, fault: tuple[dict[str, Any], type[WarmTokenError], str]
) -> None:
    wrong, kind, code = fault
    signed_in = program.sign_in()
    program.pass_time(LIFETIME + 1)
    program.provider.fail(**wrong)

    with pytest.raises(kind) as raised:
        program.silent()

    assert type(raised.value) is kind
    assert raised.value.code == code
    assert program.provider.counters.token_requests == 1 + wrong.get("times", 1)
    program.pass_time(HOLD)
    assert program.silent().access_token != signed_in.access_token
    assert program.provider.counters.refused_refreshes == 0


def test_a_valid_token_stays_usable_while_the_provider_fails(
    program: Program, fault: tuple[dict[str, Any], type[WarmTokenError], str]
) -> None:
    wrong, kind, _ = fault
    signed_in = program.sign_in()
    program.provider.fail(**wrong)

    with pytest.raises(kind):
        program.silent(force_refresh=True)

    assert program.silent().access_token == signed_in.access_token
    assert program.silent().metadata.token_source == "cache"


def test_a_slow_provider_delays_its_caller_and_nobody_with_a_cached_token(program: Program) -> None:
    signed_in = program.sign_in()
    program.provider.fail(delay_ms=3000)
    cached = [lambda: program.app.acquire_token_silent([READ], signed_in.account)] * 4
    slow = [lambda: program.app.acquire_token_silent([READ], signed_in.account, force_refresh=True)]

    *served, refreshed = program.world.run_at_once([*cached, *slow])

    assert {result.access_token for result in served} == {signed_in.access_token}
    assert refreshed.access_token != signed_in.access_token
    assert refreshed.metadata.duration_http_ms >= 3000


def test_a_reply_that_is_lost_after_the_refresh_token_was_spent_ends_at_the_user(program: Program) -> None:
    """A provider without a grace period takes the next use for a replay: one interactive sign-in mends it."""
    program.sign_in()
    program.pass_time(LIFETIME + 1)
    program.provider.fail(after=True)

    with pytest.raises(UiRequiredError) as raised:  # it was sent once more
        program.silent()
    again = program.acquire()

    assert raised.value.code == "invalid_grant"
    assert program.silent().access_token == again.access_token
    assert len(program.browser.visits) == 2


def test_a_fault_of_the_metadata_endpoint_is_typed_and_not_remembered(program: Program) -> None:
    program.provider.fail(path="/.well-known/openid-configuration", times=2, status=500, body="{}")

    with pytest.raises(ServiceError) as raised:
        program.sign_in()

    assert raised.value.status == 500
    assert program.sign_in().metadata.token_source == "identity_provider"


def test_an_expired_token_is_not_served_while_the_provider_is_away(program: Program) -> None:
    program.sign_in()
    program.pass_time(LIFETIME + 1)
    program.provider.fail(times=6, reset=True)
    began = time.monotonic()

    for _ in range(3):
        with pytest.raises(TransportError):
            program.silent()

    assert time.monotonic() - began < 30
