"""The pattern in one call: silently if that is possible, else by asking the user."""

from __future__ import annotations

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import ClientError, ServiceError, UiRequiredError
from warmtoken.testing import UserAgent


class Asking:
    """A browser whose use is counted and whose URLs are kept."""

    def __init__(self, username: str = ALICE) -> None:
        self.urls: list[str] = []
        self._agent = UserAgent(username=username)

    def __call__(self, url: str) -> None:
        self.urls.append(url)
        self._agent(url)


def test_the_first_call_asks_and_the_next_ones_do_not(world: World, app: Client) -> None:
    browser = Asking()
    first = app.acquire_token(SCOPES, open_browser=browser)
    for _ in range(3):
        assert app.acquire_token(SCOPES, open_browser=browser).access_token == first.access_token
        assert app.acquire_token(SCOPES, first.account, open_browser=browser).access_token == first.access_token
    assert len(browser.urls) == 1
    world.clock.advance(3600)
    assert app.acquire_token(SCOPES, open_browser=browser).access_token != first.access_token
    assert len(browser.urls) == 1


def test_a_dead_sign_in_asks_the_same_user_again(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.revoke_user(ALICE)
    world.clock.advance(3600)
    browser = Asking()
    result = app.acquire_token(SCOPES, open_browser=browser)
    assert result.account == signed_in.account
    assert result.metadata.cache_refresh_reason == "not_applicable"
    (url,) = browser.urls
    assert "login_hint=alice%40example.test" in url


def test_a_sign_in_that_was_found_dead_before_asks_the_same_user_again(world: World, app: Client) -> None:
    signed_in = world.sign_in(app)
    world.idp.revoke_user(ALICE)
    world.clock.advance(3600)
    with pytest.raises(UiRequiredError, match="invalid_grant"):
        app.acquire_token_silent(SCOPES, signed_in.account)
    assert app.get_accounts() == []
    browser = Asking()
    assert app.acquire_token(SCOPES, open_browser=browser).account == signed_in.account
    assert "login_hint=alice%40example.test" in browser.urls[0]


def test_one_who_can_be_served_is_taken_where_another_cannot(world: World, app: Client) -> None:
    world.idp.omit_refresh_token = True
    world.sign_in(app, ALICE)
    world.idp.omit_refresh_token = False
    world.clock.advance(3600)
    bob = world.sign_in(app, BOB)
    assert app.acquire_token(SCOPES).account == bob.account


def test_more_scopes_than_were_granted_ask_the_user(world: World, app: Client) -> None:
    world.sign_in(app, scopes=["orders.read"])
    browser = Asking()
    assert set(SCOPES) <= set(app.acquire_token(SCOPES, open_browser=browser).scopes)
    assert len(browser.urls) == 1


def test_several_accounts_ask_for_one(world: World, app: Client) -> None:
    alice = world.sign_in(app, ALICE)
    for _ in range(3):
        assert app.acquire_token(SCOPES).account == alice.account
    bob = world.sign_in(app, BOB)
    with pytest.raises(ClientError) as refused:
        app.acquire_token(SCOPES)
    assert refused.value.code == "multiple_accounts"
    assert app.acquire_token(SCOPES, bob.account).access_token == bob.access_token


def test_a_claims_challenge_is_passed_on_to_the_sign_in(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    world.clock.advance(3600)
    body = {"error": "invalid_grant", "claims": '{"access_token":{"acrs":{"value":"c1"}}}'}
    world.idp.fail_next("token", status=400, body=body)
    browser = Asking()
    app.acquire_token(SCOPES, account, open_browser=browser)
    assert world.idp.token_requests[-1].grant_type == "authorization_code"
    assert "%22acrs%22" in browser.urls[0]


def test_another_user_than_the_account_that_was_passed_is_refused(world: World, app: Client) -> None:
    alice = world.sign_in(app, ALICE)
    world.idp.revoke_user(ALICE)
    world.clock.advance(3600)
    with pytest.raises(ClientError) as refused:
        app.acquire_token(SCOPES, alice.account, open_browser=Asking(BOB))
    assert refused.value.code == "user_mismatch"
    assert app.get_accounts() == []  # nothing of the other user, and the first one is signed out


def test_a_failure_that_the_user_cannot_mend_does_not_ask(world: World, app: Client) -> None:
    world.sign_in(app)
    world.clock.advance(3600)
    world.idp.fail_next("token", 2, status=503)
    browser = Asking()
    with pytest.raises(ServiceError):
        app.acquire_token(SCOPES, open_browser=browser)
    assert browser.urls == []


def test_only_the_interactive_fallback_is_known(app: Client) -> None:
    with pytest.raises(ValueError, match="fallback"):
        app.acquire_token(SCOPES, fallback="guess")
