"""Listing, finding and removing accounts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import Account, ClientError, TenantProfile, UiRequiredError, _engine
from warmtoken.cache.lookup_keys import Owner
from warmtoken.cache.records import AppRecord, IdTokenRecord
from warmtoken.cache.sealing import RecordType


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


def test_two_subjects_that_differ_in_case_are_two_users(world: World, app: Client) -> None:
    """OpenID Connect Core 1.0, section 2: `sub` is case-sensitive. MSAL.NET would serve each the other's tokens."""
    results = []
    for subject in ("ann", "Ann"):
        world.idp.id_token_claims = {"sub": subject}
        results.append(world.sign_in(app))
    assert [account.home_account_id for account in app.get_accounts()] == ["Ann", "ann"]
    for client in (app, world.public()):
        for result in results:
            found = client.get_account(result.account.home_account_id)
            assert found == result.account
            assert client.acquire_token_silent(SCOPES, found).access_token == result.access_token
    assert app.get_account("ANN") is None
    with pytest.raises(ClientError, match="user_mismatch"):  # the provider says "Ann" still
        app.acquire_token_silent(SCOPES, results[0].account, force_refresh=True)
    app.remove_account(results[1].account)
    assert app.get_accounts() == [results[0].account]


def test_whose_access_token_has_expired_but_not_the_refresh_token_is_listed(world: World, app: Client) -> None:
    """MSAL.NET: an account is listed where it has a refresh token."""
    account = world.sign_in(app).account
    world.clock.advance(7200)
    assert (app.get_accounts(), app.get_account(account.home_account_id)) == ([account], account)


def test_who_has_no_refresh_token_is_listed_while_the_access_token_is_usable(world: World, app: Client) -> None:
    """MSAL.NET does not list it, MSAL Python does for ever; here as long as silent acquisition can serve it."""
    world.idp.omit_refresh_token = True
    account = world.sign_in(app).account
    other = world.public("other")
    world.clock.advance(3600 - 300 - 60)
    assert app.get_accounts() == app.get_accounts(ALICE) == [account]
    assert app.get_account(account.home_account_id) == account
    assert app.acquire_token_silent(SCOPES, account).account == account
    assert app.acquire_token_silent(SCOPES, login_hint=ALICE).account == account
    world.clock.advance(60)
    assert app.get_accounts() == app.get_accounts(ALICE) == other.get_accounts() == []
    assert app.get_account(account.home_account_id) is None
    for who in ({"account": account}, {"login_hint": ALICE}):
        with pytest.raises(UiRequiredError, match=r"no_tokens_found|no_account_for_login_hint"):
            app.acquire_token_silent(SCOPES, **who)
    assert world.idp.counters.requests == {}


def test_an_access_token_counts_by_the_margin_of_the_application(world: World) -> None:
    world.idp.omit_refresh_token = True
    patient, careful = world.public(expiry_margin=0), world.public(expiry_margin=3000)
    account = world.sign_in(patient).account
    world.clock.advance(1000)
    assert (patient.get_accounts(), careful.get_accounts()) == ([account], [])


def test_whose_refresh_token_is_dead_is_listed_no_more(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    world.idp.revoke_user(ALICE)
    world.clock.advance(3600)
    assert app.get_accounts() == [account]  # nobody has found out yet
    with pytest.raises(UiRequiredError, match="invalid_grant"):
        app.acquire_token_silent(SCOPES, account)
    assert app.get_accounts() == []
    again = world.sign_in(app).account
    assert app.get_accounts() == [again]


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


def test_an_account_of_another_issuer_with_the_same_id_is_not_removed(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    app.remove_account(replace(account, environment="another.example"))
    assert app.get_accounts() == [account]


def test_what_the_provider_said_of_the_client_stays_when_an_account_is_removed(world: World, app: Client) -> None:
    """MSAL.NET: app metadata is never removed."""
    account = world.sign_in(app).account
    vault = world.cache.vault()
    key = vault.keys.app(Owner(world.idp.issuer, "cli"))
    vault.shared.commit([vault._put(_engine.APP, RecordType.APP, key, AppRecord("cli", "e", "1"))])
    app.remove_account(account)
    assert _engine.read(vault.shared.store, _engine.APP, key)[1] is not None


def test_a_removed_account_may_sign_in_again(world: World, app: Client) -> None:
    app.remove_account(world.sign_in(app).account)
    again = world.sign_in(app)
    assert app.acquire_token_silent(SCOPES, again.account).access_token == again.access_token


# --- tenant profiles ---


def test_an_issuer_without_tenants_has_one_profile_of_a_user(world: World, app: Client) -> None:
    """MSAL.NET: a profile is what an id token of this client says."""
    world.idp.set_user_claims(ALICE, {"oid": "oid-1"})
    signed_in, other = world.sign_in(app), world.public("other")
    (profile,) = app.get_tenant_profiles(signed_in.account)
    assert profile == TenantProfile("", "oid-1", True, signed_in.id_token)
    assert profile.id_token_claims == signed_in.id_token_claims
    assert signed_in.id_token not in repr(profile)
    assert other.get_tenant_profiles(signed_in.account) == []
    assert app.get_tenant_profiles(replace(signed_in.account, environment="another.example")) == []
    app.remove_account(signed_in.account)
    assert app.get_tenant_profiles(signed_in.account) == []


def test_an_id_token_that_cannot_be_read_is_no_profile(world: World, app: Client) -> None:
    account = world.sign_in(app).account
    vault, owner = world.cache.vault(), Owner(world.idp.issuer, "cli", account.home_account_id)
    broken = IdTokenRecord(account.home_account_id, account.environment, "cli", "", "not.a.jwt")
    vault.shared.commit([vault._put(_engine.IDENTITY, RecordType.ID_TOKEN, vault.keys.id_token(owner, ""), broken)])
    assert app.get_tenant_profiles(account) == []


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("get_accounts", 7),
        ("get_account", None),
        ("get_account", 7),
        ("remove_account", None),
        ("remove_account", "id"),
        ("get_tenant_profiles", None),
        ("get_tenant_profiles", "id"),
    ],
)
def test_what_is_no_account_is_refused(app: Client, method: str, argument: object) -> None:
    with pytest.raises(TypeError, match=r"username|home_account_id|account"):
        getattr(app, method)(argument)
