"""Listing, finding and removing accounts."""

from __future__ import annotations

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import Account, UiRequiredError


def test_accounts_come_sorted_by_username_without_case(world: World, app: Client) -> None:
    for user in ("carol@example.test", "Bob@example.test", "alice@example.test"):
        world.sign_in(app, user)
    names = [account.username for account in app.get_accounts()]
    assert names == ["alice@example.test", "Bob@example.test", "carol@example.test"]


def test_a_username_is_compared_without_case(world: World, app: Client) -> None:
    alice = world.sign_in(app, ALICE).account
    world.sign_in(app, BOB)
    assert app.get_accounts(ALICE.upper()) == [alice]
    assert app.get_accounts("nobody@example.test") == []


def test_an_account_is_found_by_its_id(world: World, app: Client) -> None:
    alice = world.sign_in(app, ALICE).account
    assert app.get_account(alice.home_account_id) == alice
    assert app.get_account("nobody") is None


def test_an_account_says_who_it_is(world: World, app: Client) -> None:
    world.idp.set_user_claims(ALICE, {"name": "Alice Example", "oid": "oid-1"})
    account = world.sign_in(app).account
    assert (account.name, account.local_account_id, account.tenant_id) == ("Alice Example", "oid-1", "")
    assert app.get_accounts() == [account]


def test_a_removed_account_is_gone_at_once_for_all_and_others_stay(world: World, app: Client) -> None:
    alice, bob = world.sign_in(app, ALICE), world.sign_in(app, BOB)
    same_cache, other_cache = world.public(), world.sibling().public()
    for client in (app, same_cache, other_cache):
        levels = [client.acquire_token_silent(SCOPES, alice.account).metadata.cache_level for _ in range(3)]
        assert levels[-1] == "L1"
    app.remove_account(alice.account)
    for client in (app, same_cache, other_cache):
        with pytest.raises(UiRequiredError, match="no_tokens_found"):
            client.acquire_token_silent(SCOPES, alice.account)
        assert client.get_accounts() == [bob.account]
        assert client.acquire_token_silent(SCOPES, bob.account).access_token == bob.access_token
    assert world.token_requests() == 0


def test_an_account_is_removed_for_one_client_only(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    other = world.public("other")
    theirs = world.sign_in(other)
    app.remove_account(account)
    assert other.acquire_token_silent(SCOPES, theirs.account).access_token == theirs.access_token


def test_removing_an_account_that_is_not_there_changes_nothing(world: World, app: Client) -> None:
    alice = world.sign_in(app)
    app.remove_account(Account("nobody", "127.0.0.1"))
    assert app.get_accounts() == [alice.account]


def test_a_removed_account_may_sign_in_again(world: World, app: Client) -> None:
    app.remove_account(world.sign_in(app).account)
    again = world.sign_in(app)
    assert app.acquire_token_silent(SCOPES, again.account).access_token == again.access_token


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("get_accounts", 7),
        ("get_account", None),
        ("get_account", 7),
        ("remove_account", None),
        ("remove_account", "id"),
    ],
)
def test_what_is_no_account_is_refused(app: Client, method: str, argument: object) -> None:
    with pytest.raises(TypeError, match=r"username|home_account_id|account"):
        getattr(app, method)(argument)
