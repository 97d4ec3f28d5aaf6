"""Refresh with rotation, replay, and the way back after the provider has revoked a grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.program import LIFETIME, READ, WRITE
from warmtoken import UiRequiredError

if TYPE_CHECKING:
    from integration.program import Program


def test_an_expired_token_is_refreshed_silently_and_served_from_then_on(program: Program) -> None:
    signed_in = program.sign_in()
    program.pass_time(LIFETIME + 1)

    refreshed, served = program.silent(), program.silent()

    assert refreshed.access_token != signed_in.access_token
    assert refreshed.metadata.cache_refresh_reason == "expired"
    assert refreshed.account == signed_in.account
    assert program.world.run(program.app.get_accounts("Alice@example.test")) == [signed_in.account]
    assert served.access_token == refreshed.access_token
    assert program.provider.counters.grants == {"authorization_code": 1, "refresh_token": 1}


def test_each_refresh_uses_the_refresh_token_that_the_one_before_brought(program: Program) -> None:
    program.sign_in()
    for _ in range(3):
        program.pass_time(LIFETIME + 1)
        program.silent()

    sent = [exchange.form.get("refresh_token") for exchange in program.exchanges]
    brought = [exchange.reply["refresh_token"] for exchange in program.exchanges]
    assert sent == [None, *brought[:3]]
    assert len(set(brought)) == 4
    assert program.provider.counters.refused_refreshes == 0


def test_a_provider_that_does_not_rotate_gets_the_same_refresh_token_again(program: Program) -> None:
    program.provider.set_rotation("never")
    program.sign_in()
    for _ in range(2):
        program.pass_time(LIFETIME + 1)
        program.silent()

    assert program.exchanges[1].form["refresh_token"] == program.exchanges[2].form["refresh_token"]
    assert program.provider.counters.refreshes == 2


def test_a_forced_refresh_replaces_a_token_that_is_still_good(program: Program) -> None:
    signed_in = program.sign_in()

    forced = program.silent(force_refresh=True)

    assert forced.access_token != signed_in.access_token
    assert forced.metadata.cache_refresh_reason == "force_refresh_or_claims"
    assert program.silent().access_token == forced.access_token


def test_many_callers_at_once_cause_one_refresh(program: Program) -> None:
    account = program.sign_in().account
    program.pass_time(LIFETIME + 1)
    program.provider.fail(delay_ms=300)  # slow, not wrong: all callers come while the refresh is under way

    results = program.world.run_at_once([lambda: program.app.acquire_token_silent([READ], account)] * 16)

    assert len({result.access_token for result in results}) == 1
    assert program.provider.counters.refreshes == 1
    assert program.provider.counters.refused_refreshes == 0


def test_a_replayed_refresh_token_ends_the_grant_and_the_user_can_begin_anew(program: Program) -> None:
    program.sign_in()
    program.pass_time(LIFETIME + 1)
    program.silent()
    spent = program.exchanges[0].reply["refresh_token"]
    assert program.provider.redeem(spent).json()["error"] == "invalid_grant"
    program.pass_time(LIFETIME + 1)

    with pytest.raises(UiRequiredError) as raised:
        program.silent()
    again = program.acquire()

    assert raised.value.code == "invalid_grant"
    assert again.account is not None
    assert again.account.username == "alice@example.test"
    assert program.silent().access_token == again.access_token
    assert program.silent().metadata.token_source == "cache"


def test_a_dead_refresh_token_is_not_sent_twice(program: Program) -> None:
    program.sign_in()
    program.provider.reset()  # it knows nobody any more
    program.pass_time(LIFETIME + 1)

    codes = []
    for _ in range(2):
        with pytest.raises(UiRequiredError) as raised:
            program.silent()
        codes.append(raised.value.code)

    assert codes == ["invalid_grant", "no_tokens_found"]
    assert program.provider.counters.token_requests == 1


def test_sign_in_refresh_and_refresh_again_after_the_grant_was_revoked(program: Program) -> None:
    program.sign_in()
    program.provider.reset()
    program.pass_time(LIFETIME + 1)
    with pytest.raises(UiRequiredError):
        program.silent()

    program.sign_in()
    program.pass_time(LIFETIME + 1)

    assert program.silent().metadata.cache_refresh_reason == "expired"
    assert program.provider.counters.refreshes == 1


def test_a_prompt_that_hides_the_consent_costs_the_refresh_token(program: Program) -> None:
    """OpenID Connect Core, section 11: no offline_access without consent; the library asks for it by default."""
    program.sign_in(prompt="login")
    program.pass_time(LIFETIME + 1)

    with pytest.raises(UiRequiredError) as raised:
        program.silent()

    assert raised.value.code == "no_tokens_found"
    assert "refresh_token" not in program.exchanges[0].reply


def test_a_sign_in_through_the_pattern_can_be_refreshed(program: Program) -> None:
    program.acquire()
    program.pass_time(LIFETIME + 1)

    assert program.acquire().metadata.cache_refresh_reason == "expired"
    assert len(program.browser.visits) == 1


def test_the_pattern_asks_the_user_for_a_scope_that_the_grant_does_not_cover(program: Program) -> None:
    program.acquire(READ)
    program.browser.join()

    wider = program.acquire(READ, WRITE)

    assert set(wider.scopes) == {READ, WRITE}
    assert len(program.browser.visits) == 2
    assert program.silent(WRITE).access_token == wider.access_token


def test_the_pattern_in_one_call_signs_in_once_and_then_serves_from_the_cache(program: Program) -> None:
    first, second = program.acquire(), program.acquire()

    assert first.metadata.token_source == "identity_provider"
    assert second.access_token == first.access_token
    assert second.metadata.token_source == "cache"
    assert len(program.browser.visits) == 1


def test_a_refresh_token_of_another_library_is_taken_over(program: Program) -> None:
    program.sign_in()
    foreign = program.exchanges[0].reply["refresh_token"]
    program.world.run(program.app.remove_account(program.world.run(program.app.get_accounts())[0]))

    imported = program.world.run(program.app.acquire_token_by_refresh_token(foreign, [READ]))

    assert imported.account is not None
    assert imported.account.home_account_id == "alice"
    assert program.silent().access_token == imported.access_token
