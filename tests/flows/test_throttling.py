"""A provider that does not want to be asked is not, by any process, for as long as it said (MSAL.NET's rules)."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from hashlib import sha256
from typing import Any

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import (
    AuthenticationResult,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
    _engine,
)
from warmtoken.cache.sealing import RecordType
from warmtoken.errors import CacheFullError
from warmtoken.flows.search import STALE_PAUSE

KIND_AT = 14  # in a sealed record (docs/file-format.md)
MFA = {
    "error": "invalid_grant",
    "suberror": "basic_action",
    "error_description": "use a second factor",
    "claims": '{"access_token":{"acrs":{"value":"c1"}}}',
}


def throttled(world: World, retry_after: str | None = "17", status: int = 429, times: int = 1) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    body = {"error": "slow_down_please", "error_description": "too many", "error_codes": [90055]}
    world.idp.fail_next("token", times, status=status, body=body, headers=headers)


def refused(world: World, body: dict[str, str] = MFA) -> None:
    world.idp.fail_next("token", status=400, body=dict(body))


def forced(app: Client, signed_in: AuthenticationResult, **options: Any) -> AuthenticationResult:
    result: AuthenticationResult = app.acquire_token_silent(SCOPES, signed_in.account, force_refresh=True, **options)
    return result


def failed(call: Callable[[], object], kind: type[WarmTokenError] = WarmTokenError) -> Any:
    with pytest.raises(kind) as raised:
        call()
    return raised.value


def notes(world: World) -> int:
    found = _engine.scan(world.cache.vault().shared.store, _engine.NOTE, b"")
    return sum(value[KIND_AT] == RecordType.NOTE for _, value in found)


def words_of(error: ServiceError) -> tuple[Any, ...]:
    return (
        error.code, error.message, error.status, error.error, error.error_description, error.suberror,
        error.error_codes, error.claims, error.is_retryable, error.correlation_id,
    )  # fmt: skip


# --- Retry-After ---


def test_as_long_as_the_provider_said_its_words_are_repeated_without_a_request(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world)
    since = world.clock.time()
    first = failed(lambda: forced(app, signed_in), ThrottledError)
    assert first.retry_after == 17
    world.clock.advance(10)
    again = failed(lambda: forced(app, signed_in, correlation_id="another"), ThrottledError)
    assert words_of(again) == words_of(first)
    assert since + 16.99 - world.clock.time() <= again.retry_after <= 7
    assert world.token_requests() == 1
    world.clock.advance(7)
    assert forced(app, signed_in).access_token != signed_in.access_token
    assert world.token_requests() == 2
    assert world.cache.stats().throttled == 1


def test_a_date_serves_as_well(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world, formatdate(world.clock.time() + 200, usegmt=True))  # the reply's Date is the system's time
    failed(lambda: forced(app, signed_in), ThrottledError)
    world.clock.advance(100)
    failed(lambda: forced(app, signed_in), ThrottledError)
    world.clock.advance(101)
    forced(app, signed_in)
    assert world.token_requests() == 2


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_retry_after_counts_with_any_status(world: World, app: Client, status: int) -> None:
    signed_in = world.sign_in(app)
    throttled(world, status=status)
    for _ in range(2):
        assert failed(lambda: forced(app, signed_in), ThrottledError).status == status
    assert world.token_requests() == 1


def test_nobody_is_kept_away_for_more_than_an_hour(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world, "86400")
    assert failed(lambda: forced(app, signed_in), ThrottledError).retry_after == 3600
    world.clock.advance(3590)
    failed(lambda: forced(app, signed_in), ThrottledError)
    world.clock.advance(11)
    assert forced(app, signed_in).access_token


@pytest.mark.parametrize("status", [429, 500, 503])
def test_without_retry_after_a_public_client_waits_for_a_minute(world: World, app: Client, status: int) -> None:
    signed_in = world.sign_in(app)
    throttled(world, None, status, times=2)
    since = world.clock.time()
    first = failed(lambda: forced(app, signed_in), ServiceError)
    asked = world.token_requests()
    world.clock.advance(50)
    again = failed(lambda: forced(app, signed_in), ThrottledError)
    assert words_of(again) == words_of(first)
    assert since + 59.99 - world.clock.time() <= again.retry_after <= 10
    world.idp.clear_faults()
    world.clock.advance(again.retry_after + 0.1)
    forced(app, signed_in)
    assert world.token_requests() == asked + 1


def test_without_retry_after_a_service_waits_for_five_seconds(world: World) -> None:
    service = world.confidential()
    throttled(world, None)
    for _ in range(2):
        failed(lambda: service.acquire_token_for_client(SCOPES), ThrottledError)
    assert world.token_requests() == 1
    world.clock.advance(5.1)
    assert service.acquire_token_for_client(SCOPES).access_token


def test_zero_seconds_are_none(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world, "0")
    failed(lambda: forced(app, signed_in), ThrottledError)
    assert forced(app, signed_in).access_token
    assert notes(world) == 0


def test_other_refusals_keep_nobody_away(world: World) -> None:
    service = world.confidential(secret="wrong")
    for _ in range(3):
        failed(lambda: service.acquire_token_for_client(SCOPES), ServiceError)
    assert world.token_requests() == 3


def test_other_users_scopes_and_clients_are_not_kept_away(world: World, app: Client) -> None:
    alice, bob = world.sign_in(app, ALICE), world.sign_in(app, BOB)
    throttled(world)
    failed(lambda: forced(app, alice), ThrottledError)
    assert forced(app, bob).access_token
    assert app.acquire_token_silent(SCOPES[:1], alice.account, force_refresh=True).access_token
    assert world.confidential().acquire_token_for_client(SCOPES).access_token
    other = world.public("other")
    assert forced(other, world.sign_in(other, ALICE)).access_token
    failed(lambda: forced(app, alice), ThrottledError)


def test_scopes_in_another_order_and_case_are_the_same(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world)
    failed(lambda: forced(app, signed_in), ThrottledError)
    others = [scope.upper() for scope in reversed(SCOPES)]
    failed(lambda: app.acquire_token_silent(others, signed_in.account, force_refresh=True), ThrottledError)
    assert world.token_requests() == 1


def test_a_sign_in_ends_the_wait(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world, "3600")
    failed(lambda: forced(app, signed_in), ThrottledError)
    assert forced(app, world.sign_in(app)).access_token
    assert notes(world) == 0


def test_a_note_goes_with_its_account(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world)
    failed(lambda: forced(app, signed_in), ThrottledError)
    assert notes(world) == 1
    app.remove_account(signed_in.account)
    assert notes(world) == 0


def test_a_note_that_has_ended_is_deleted_when_it_is_met(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world)
    failed(lambda: forced(app, signed_in), ThrottledError)
    world.clock.advance(18)
    forced(app, signed_in)
    assert notes(world) == 0


def test_a_note_from_the_future_is_ignored(world: World, app: Client) -> None:
    """The clock was set back: nobody knows how long ago the provider said that."""
    signed_in = world.sign_in(app)
    throttled(world, "3600")
    failed(lambda: forced(app, signed_in), ThrottledError)
    world.clock.step_wall(-30)
    assert forced(app, signed_in).access_token
    assert world.token_requests() == 2


# --- the user is needed ---


def test_a_refusal_is_repeated_for_two_minutes(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    refused(world)
    first = failed(lambda: forced(app, signed_in), UiRequiredError)
    world.clock.advance(110)
    again = failed(lambda: forced(app, signed_in), UiRequiredError)
    assert vars(again) == vars(first)
    assert (again.code, again.claims, again.classification) == ("invalid_grant", MFA["claims"], "basic_action")
    assert world.token_requests() == 1
    world.clock.advance(10.1)
    assert forced(app, signed_in).access_token


def test_a_refusal_holds_for_its_scopes_and_claims_alone(world: World, app: Client) -> None:
    """Who asks for something else may get it; the answer to a claims challenge is another request."""
    signed_in = world.sign_in(app)
    refused(world)
    failed(lambda: forced(app, signed_in), UiRequiredError)
    assert app.acquire_token_silent(SCOPES[:1], signed_in.account, force_refresh=True).access_token


def test_claims_are_another_request(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.rotation = "never"
    refused(world)
    failed(lambda: forced(app, signed_in), UiRequiredError)
    assert app.acquire_token_silent(SCOPES, signed_in.account, claims="{}").access_token
    failed(lambda: forced(app, signed_in), UiRequiredError)
    assert world.token_requests() == 2


def test_a_sign_in_ends_a_refusal(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    refused(world)
    failed(lambda: forced(app, signed_in), UiRequiredError)
    assert forced(app, world.sign_in(app)).access_token


def test_who_signs_in_is_never_kept_away(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world)
    failed(lambda: forced(app, signed_in), ThrottledError)
    refused(world)
    failed(lambda: app.acquire_token_silent(SCOPES[:1], signed_in.account, force_refresh=True), UiRequiredError)
    assert world.sign_in(app).access_token


def test_scopes_that_were_not_granted_are_asked_for_once(world: World, app: Client) -> None:
    account = world.sign_in(app, scopes=["orders.read"]).account
    for _ in range(3):
        error = failed(lambda: app.acquire_token_silent(SCOPES, account), UiRequiredError)
        assert (error.code, error.classification) == ("invalid_scope", "consent_required")
    assert world.token_requests() == 1


def test_a_dead_refresh_token_leaves_no_note(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.revoke_user(ALICE)
    failed(lambda: forced(app, signed_in), UiRequiredError)
    assert notes(world) == 0


# --- a cache that cannot be written ---


def test_where_the_note_cannot_be_written_this_process_keeps_it(
    world: World, app: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = world.sign_in(app)

    def full(_: object) -> None:
        raise CacheFullError("disk_full", "the disk is full; free some space and try again")

    with monkeypatch.context() as patch:
        patch.setattr(world.cache.vault().shared, "commit", full)
        throttled(world, "3600")
        for _ in range(2):
            assert failed(lambda: forced(app, signed_in), ThrottledError).code == "slow_down_please"
        assert world.token_requests() == 1
    assert notes(world) == 0
    failed(lambda: forced(world.public(cache=world.new_cache()), signed_in), ThrottledError)
    assert forced(app, world.sign_in(app)).access_token


# --- a token that is still good ---


def fails(world: World) -> None:
    world.idp.fail_next("token", 2, status=503)


def throttles(world: World) -> None:
    throttled(world)


def hangs_up(world: World) -> None:
    world.idp.fail_next("token", 2, disconnect="before")


@pytest.mark.parametrize("fault", [fails, throttles, hangs_up])
def test_a_token_within_its_margin_serves_while_the_provider_fails(
    world: World, app: Client, fault: Callable[[World], None]
) -> None:
    signed_in = world.sign_in(app)
    world.clock.advance(3400)
    fault(world)
    served = [app.acquire_token_silent(SCOPES, signed_in.account) for _ in range(3)]
    assert {result.access_token for result in served} == {signed_in.access_token}
    assert [result.metadata.cache_level for result in served] == ["store", "L1", "L1"]
    for result in served:
        assert (result.metadata.token_source, result.metadata.cache_refresh_reason) == ("cache", "expired")
        assert result.expires_on == signed_in.expires_on
    asked = world.token_requests()
    world.clock.advance(STALE_PAUSE + 0.1)
    world.idp.clear_faults()
    app.acquire_token_silent(SCOPES, signed_in.account)
    assert world.token_requests() == asked + (fault is hangs_up)  # the others left a note


def test_a_note_that_holds_serves_it_too(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    throttled(world, "3600")
    failed(lambda: forced(app, signed_in), ThrottledError)
    world.clock.advance(3400)
    again = world.public(cache=world.new_cache()).acquire_token_silent(SCOPES, signed_in.account)
    assert again.access_token == signed_in.access_token
    assert again.metadata.cache_refresh_reason == "expired"
    assert world.token_requests() == 1


@pytest.mark.parametrize("fault", [fails, throttles, hangs_up])
def test_an_expired_token_never_serves(world: World, app: Client, fault: Callable[[World], None]) -> None:
    signed_in = world.sign_in(app)
    world.clock.advance(3590)
    fault(world)
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    world.clock.advance(signed_in.expires_on - world.clock.time() + 0.01)
    fault(world)
    failed(lambda: app.acquire_token_silent(SCOPES, signed_in.account), WarmTokenError)


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param({"force_refresh": True}, id="forced"),
        pytest.param({"claims": "{}"}, id="claims"),
        pytest.param({"min_validity": 250}, id="min_validity"),
    ],
)
def test_who_wants_a_newer_token_gets_the_error(world: World, app: Client, wish: dict[str, Any]) -> None:
    account = world.sign_in(app).account
    world.clock.advance(3400)
    fails(world)
    failed(lambda: app.acquire_token_silent(SCOPES, account, **wish), ServiceError)


def test_a_token_that_an_api_refused_does_not_serve_either(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    hashed = sha256(signed_in.access_token.encode()).hexdigest()
    world.clock.advance(3400)
    fails(world)
    failed(lambda: app.acquire_token_silent(SCOPES, signed_in.account, refresh_if_sha256=hashed), ServiceError)


def test_what_will_not_pass_by_itself_is_told_at_once(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    world.clock.advance(3400)
    world.idp.fail_next("token", status=400, body={"error": "invalid_client"})
    assert failed(lambda: app.acquire_token_silent(SCOPES, account), ServiceError).code == "invalid_client"


def test_a_need_of_the_user_is_told_though_the_token_lasts_a_little(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    world.clock.advance(3400)
    refused(world)
    failed(lambda: app.acquire_token_silent(SCOPES, account), UiRequiredError)


def test_a_services_own_token_serves_as_well(world: World) -> None:
    service = world.confidential()
    first = service.acquire_token_for_client(SCOPES)
    world.clock.advance(3400)
    hangs_up(world)
    again = service.acquire_token_for_client(SCOPES)
    assert again.access_token == first.access_token
    assert (again.metadata.token_source, again.metadata.cache_refresh_reason) == ("cache", "expired")
    world.clock.advance(200)
    hangs_up(world)
    failed(lambda: service.acquire_token_for_client(SCOPES), TransportError)
