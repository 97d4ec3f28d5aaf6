"""Sign-in with the browser, and what is served from the cache afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from idp.browser import Browser

from integration.program import READ, WRITE
from warmtoken import ClientError, UiRequiredError

if TYPE_CHECKING:
    from integration.program import Program


def test_interactive_sign_in_brings_a_token_an_account_and_id_token_claims(program: Program) -> None:
    result = program.sign_in(READ)

    assert result.scopes == (READ,)
    assert result.metadata.token_source == "identity_provider"
    assert result.metadata.token_endpoint == f"{program.provider.issuer}/token"
    assert result.id_token_claims["iss"] == program.provider.issuer
    assert result.account is not None
    assert (result.account.username, result.account.home_account_id) == ("alice@example.test", "alice")
    assert program.world.run(program.app.get_accounts()) == [result.account]


def test_the_authorization_request_is_bound_by_pkce_state_and_nonce(program: Program) -> None:
    result = program.sign_in(READ)

    (sent,) = [parse_qs(urlsplit(url).query) for url in program.browser.visits]
    assert sent["code_challenge_method"] == ["S256"]
    assert len(sent["state"][0]) >= 43
    assert result.id_token_claims["nonce"] == sent["nonce"][0]
    assert sent["redirect_uri"][0].startswith("http://127.0.0.1:")


def test_the_browser_ends_on_the_landing_page(program: Program) -> None:
    program.sign_in()
    program.browser.join()

    assert "You can close this window" in program.browser.landing_page


def test_a_token_is_served_from_the_cache_without_a_request(program: Program) -> None:
    signed_in = program.sign_in()

    first, second = program.silent(), program.silent()

    assert first.access_token == second.access_token == signed_in.access_token
    assert [first.metadata.token_source, second.metadata.cache_level] == ["cache", "L1"]
    assert program.provider.counters.token_requests == 1


def test_a_token_serves_a_subset_of_its_scopes(program: Program) -> None:
    signed_in = program.sign_in(READ, WRITE)

    assert set(signed_in.scopes) == {READ, WRITE}
    assert program.silent(READ).access_token == signed_in.access_token
    assert program.silent(WRITE).access_token == signed_in.access_token
    assert program.provider.counters.token_requests == 1


def test_a_token_does_not_serve_a_scope_that_was_not_granted(program: Program) -> None:
    signed_in = program.sign_in(READ)

    with pytest.raises(UiRequiredError) as raised:
        program.silent(WRITE)

    assert (raised.value.code, raised.value.classification) == ("invalid_scope", "consent_required")
    assert program.silent(READ).access_token == signed_in.access_token


def test_accounts_of_two_users_keep_their_tokens_apart(program: Program) -> None:
    alice = program.sign_in()
    program.browser.join()
    program.browser.username = "bob"
    bob = program.sign_in()

    run, app = program.world.run, program.app
    assert [account.username for account in run(app.get_accounts())] == ["alice@example.test", "bob@example.test"]
    assert run(app.acquire_token_silent([READ], alice.account)).access_token == alice.access_token
    assert run(app.acquire_token_silent([READ], login_hint="bob@example.test")).access_token == bob.access_token


def test_a_removed_account_must_sign_in_again(program: Program) -> None:
    account = program.sign_in().account

    program.world.run(program.app.remove_account(account))

    assert program.world.run(program.app.get_accounts()) == []
    with pytest.raises(UiRequiredError) as raised:
        program.world.run(program.app.acquire_token_silent([READ], account))
    assert raised.value.code == "no_tokens_found"


def test_nobody_at_the_browser_is_a_timeout(program: Program) -> None:
    call = program.app.acquire_token_interactive

    with pytest.raises(ClientError) as raised:
        program.world.run(call([READ], open_browser=lambda url: None, timeout=0.2))

    assert raised.value.code == "authentication_timeout"


def test_a_consent_that_the_user_must_give_is_told_from_a_fault(program: Program) -> None:
    browser = Browser()
    call = program.app.acquire_token_interactive

    with pytest.raises(UiRequiredError) as raised:
        program.world.run(call([READ], prompt="none", open_browser=browser, timeout=30))

    browser.join()
    assert raised.value.code in {"login_required", "interaction_required"}
