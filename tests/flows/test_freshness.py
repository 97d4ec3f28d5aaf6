"""The expiry margin: as a rule on records, and as callers see it with a clock that is moved."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.world import SCOPES, World

from warmtoken.cache.records import AccessTokenRecord
from warmtoken.cache.vault import NewTokens
from warmtoken.flows import freshness
from warmtoken.flows.freshness import LONGEST, PAUSE, SET_BACK, draw_refresh_time, is_usable, margin_of
from warmtoken.protocol.scopes import lookup_scopes

NOW = 1_800_000_000


def token(lifetime: int) -> AccessTokenRecord:
    return AccessTokenRecord("u", "e", "c", "", "s", "secret", cached_at=NOW, expires_on=NOW + lifetime)


@pytest.mark.parametrize(
    ("lifetime", "expiry_margin", "margin"),
    [
        pytest.param(3600, None, 300, id="an hour"),
        pytest.param(3001, None, 300, id="just above the tenth"),
        pytest.param(3000, None, 300, id="where the tenth is the margin"),
        pytest.param(2990, None, 299, id="just below"),
        pytest.param(60, None, 6, id="a minute"),
        pytest.param(5, None, 0.5, id="five seconds"),
        pytest.param(0, None, 0, id="dead on arrival"),
        pytest.param(3600, 0, 0, id="no margin asked"),
        pytest.param(60, 45, 45, id="more than a tenth asked"),
        pytest.param(60, 1000, 1000, id="more than the lifetime asked"),
        pytest.param(3600, 0.25, 0.25, id="a fraction asked"),
    ],
)
def test_the_margin_is_300_seconds_but_at_most_a_tenth(
    lifetime: int, expiry_margin: float | None, margin: float
) -> None:
    record = token(lifetime)
    assert margin_of(record, expiry_margin) == pytest.approx(margin)
    end = record.expires_on - margin
    assert is_usable(record, end - 1, expiry_margin) == (end - 1 >= NOW - SET_BACK)  # not before it was cached
    assert not is_usable(record, end, expiry_margin)  # expires_on - now must be greater than the margin
    assert not is_usable(record, end + 1, expiry_margin)


def test_a_record_from_a_clock_that_ran_ahead_has_no_negative_margin() -> None:
    record = token(3600)._replace(cached_at=NOW + 7200)
    assert margin_of(record, None) == 0
    assert not is_usable(record, record.expires_on, None)


@pytest.mark.parametrize(("behind", "usable"), [(0, True), (SET_BACK, True), (SET_BACK + 1, False), (86_400, False)])
def test_a_token_from_the_future_is_not_used_since_the_clock_was_set_back(behind: float, usable: bool) -> None:
    assert is_usable(token(3600), NOW - behind, None) == usable


@pytest.mark.parametrize(("lifetime", "usable"), [(LONGEST, True), (LONGEST + 1, False), (1e11, False)])
def test_a_token_that_is_said_to_last_for_more_than_ten_years_is_not_used(
    world: World, lifetime: float, usable: bool
) -> None:
    """MSAL.NET: such an entry is damaged. Our own replies never say so; another library's that share the file may."""
    app = world.public()
    signed_in = world.sign_in(app)
    context, vault = app.application._context, world.cache.vault()
    slot = context.slot(signed_in.account.home_account_id, context.authority)
    (record,) = vault.access_tokens(slot.owner)
    damaged = record._replace(expires_on=int(world.clock.time() + lifetime))
    vault.save(NewTokens(slot, lookup_scopes(record.target.split()), damaged))
    served = app.acquire_token_silent(SCOPES, signed_in.account)
    assert (served.access_token == signed_in.access_token) == usable
    assert world.token_requests() == (0 if usable else 1)


@pytest.mark.parametrize("warm", [True, False], ids=["in memory", "in the store"])
@pytest.mark.parametrize(
    ("lifetime", "expiry_margin", "min_validity", "margin"),
    [
        pytest.param(3600, None, None, 300, id="300 s"),
        pytest.param(600, None, None, 60, id="a tenth"),
        pytest.param(3600, 0, None, 0, id="none on the application"),
        pytest.param(3600, 1200, None, 1200, id="more on the application"),
        pytest.param(3600, None, 900, 900, id="more on the call"),
        pytest.param(3600, None, 20, 20, id="less on the call"),
        pytest.param(3600, 1200, 0, 0, id="the call wins over the application"),
    ],
)
def test_a_token_is_used_until_the_margin_and_no_longer(
    world: World, lifetime: int, expiry_margin: float | None, min_validity: float | None, margin: int, warm: bool
) -> None:
    world.idp.access_token_lifetime = lifetime
    app = world.public(expiry_margin=expiry_margin)
    signed_in = world.sign_in(app)

    def token_now() -> str:
        token: str = app.acquire_token_silent(SCOPES, signed_in.account, min_validity=min_validity).access_token
        return token

    if warm:
        assert [token_now(), token_now()] == [signed_in.access_token] * 2
    end = signed_in.expires_on - margin
    world.clock.advance(end - 2 - world.clock.time())
    assert token_now() == signed_in.access_token
    world.clock.advance(end + 0.1 - world.clock.time())
    assert token_now() != signed_in.access_token
    assert world.token_requests() == 1


def test_min_validity_does_not_replace_what_calls_without_it_get(world: World) -> None:
    app = world.public()
    signed_in = world.sign_in(app)
    world.clock.advance(3400)  # 200 s are left: enough for those who ask for 100, not for others
    for _ in range(2):
        lax = app.acquire_token_silent(SCOPES, signed_in.account, min_validity=100)
        assert lax.access_token == signed_in.access_token
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token != signed_in.access_token


def test_a_validity_that_no_token_has_gets_a_new_one_each_time(world: World) -> None:
    app = world.public()
    account = world.sign_in(app).account
    tokens = {app.acquire_token_silent(SCOPES, account, min_validity=7200).access_token for _ in range(3)}
    assert len(tokens) == world.token_requests() == 3


def test_a_token_of_a_few_seconds_is_cached(world: World) -> None:
    world.idp.access_token_lifetime = 20
    app = world.public()
    signed_in = world.sign_in(app)
    assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token


def test_a_wall_clock_that_is_set_back_hands_out_no_expired_token(world: World) -> None:
    app = world.public()
    signed_in = world.sign_in(app)
    for _ in range(2):
        app.acquire_token_silent(SCOPES, signed_in.account)
    world.clock.advance(3700)
    world.clock.step_wall(-3700)
    level = app.acquire_token_silent(SCOPES, signed_in.account).metadata.cache_level
    assert level != "L1"  # memory knows by the monotonic clock; the file has the wall clock alone


# --- the time to refresh ---


def drawn(refresh_in: int, lifetime: int = 86_400, expiry_margin: float | None = None) -> list[float]:
    """Many draws for a token, in seconds after it came."""
    made = token(lifetime)._replace(refresh_on=NOW + refresh_in)
    return [draw_refresh_time(made, expiry_margin) - NOW for _ in range(2000)]


@pytest.mark.parametrize(
    ("refresh_in", "lifetime", "expiry_margin", "reach"),
    [
        pytest.param(43_200, 86_400, None, 300, id="half a day"),
        pytest.param(3_000, 86_400, None, 300, id="where a tenth is 300 s"),
        pytest.param(1_000, 86_400, None, 100, id="a tenth of the time"),
        pytest.param(43_200, 43_600, None, 100, id="what the margin leaves"),
        pytest.param(43_200, 86_400, 43_150, 50, id="what an own margin leaves"),
        pytest.param(43_200, 43_400, None, 0, id="refreshed within the margin: as the provider says"),
    ],
)
def test_the_jitter_reaches_so_far(refresh_in: int, lifetime: int, expiry_margin: float | None, reach: int) -> None:
    draws = drawn(refresh_in, lifetime, expiry_margin)
    assert min(draws) >= refresh_in - reach
    assert max(draws) <= refresh_in + reach
    if reach:
        assert min(draws) < refresh_in - 0.9 * reach
        assert max(draws) > refresh_in + 0.9 * reach


def test_a_token_that_is_to_be_refreshed_at_once_rests_for_a_pause() -> None:
    """Else a provider that says so would be asked by one process after the other."""
    assert set(drawn(1)) == {PAUSE}


def test_without_refresh_in_there_is_no_time_to_refresh() -> None:
    assert draw_refresh_time(token(3600), None) == 0


@pytest.mark.parametrize(
    ("now", "kept_until"),
    [
        pytest.param(999.9, 1000, id="until the refresh is due"),
        pytest.param(1000, 1000 + PAUSE, id="due: until the next try"),
        pytest.param(3_290, 3_300, id="but never past its use"),
    ],
)
def test_memory_serves_until_the_next_thing_is_to_be_done(now: float, kept_until: float) -> None:
    found = SimpleNamespace(cached_at=0, expires_on=3600, refresh_on=1000, refresh_ms=1_000_000)
    assert freshness.kept_until(found, now, None) == kept_until
    assert freshness.is_due(found, now) == (now >= 1000)
    found.refresh_ms = 0
    assert freshness.kept_until(found, now, None) == 3300
    assert not freshness.is_due(found, now)


@pytest.mark.parametrize("refresh_on", [0, NOW + 1000, NOW + 3500])
@pytest.mark.parametrize("expiry_margin", [None, 0, 600])
def test_one_look_says_what_the_three_rules_say(refresh_on: int, expiry_margin: float | None) -> None:
    found: Any = SimpleNamespace(cached_at=NOW, expires_on=NOW + 3600, refresh_ms=refresh_on * 1000)
    for now in (*range(NOW - 120, NOW + 3660, 20), NOW + 3600 - int(LONGEST) - 1):
        serves = is_usable(found, now, expiry_margin) and not freshness.is_due(found, now)
        until = freshness.kept_until(found, now, expiry_margin) if serves else 0
        assert freshness.served_until(found, now, expiry_margin) == until
