"""Applications that name different partitions of one cache see nothing of each other, in the file and in memory."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from flows.test_family import EVERYTHING, Household
from flows.test_single_flight import at_once, tokens_of
from flows.test_throttling import failed, throttled
from support.on_behalf_of import API, GRANT, caller, grants
from support.world import ALICE, BOB, SCOPES, Client, World, new_world

from warmtoken import (
    ClientError,
    PublicClientApplication,
    ThrottledError,
    TokenCache,
    UiRequiredError,
    _engine,
)
from warmtoken.cache.lookup_keys import Owner
from warmtoken.errors import CacheFullError

SCOPE = ["api/.default"]
NAMES = ("", "contoso", "Contoso")
every_pair = pytest.mark.parametrize(("one", "other"), list(permutations(NAMES, 2)))


def silent(app: Client, account: Any, **options: Any) -> Any:
    return app.acquire_token_silent(SCOPES, account, **options)


@every_pair
def test_a_user_is_signed_in_to_one_partition_alone(world: World, one: str, other: str) -> None:
    here, there = world.public(partition=one), world.public(partition=other)
    signed_in = world.sign_in(here)
    account = signed_in.account
    assert (there.get_accounts(), there.get_account(account.home_account_id)) == ([], None)
    assert there.get_tenant_profiles(account) == []
    assert failed(lambda: silent(there, account), UiRequiredError).code == "no_tokens_found"
    assert here.get_accounts() == [account]
    assert len(here.get_tenant_profiles(account)) == 1
    assert silent(here, account).access_token == signed_in.access_token
    assert world.token_requests() == 0


def test_applications_with_the_same_partition_share_all(world: World) -> None:
    signed_in = world.sign_in(world.public(partition="contoso"))
    again = world.public(partition="contoso", cache=world.new_cache())
    assert silent(again, signed_in.account).access_token == signed_in.access_token
    assert again.get_accounts() == [signed_in.account]
    world.clock.advance(3600)
    refreshed = silent(again, signed_in.account).access_token
    assert silent(world.public(partition="contoso"), signed_in.account).access_token == refreshed
    assert world.idp.counters.grants == {"refresh_token": 1}


def test_what_one_has_in_memory_the_other_does_not_get(world: World) -> None:
    apps = [world.public(partition=name) for name in NAMES]
    signed_in = [world.sign_in(app) for app in apps]
    assert len({result.account for result in signed_in}) == 1
    for _ in range(3):
        found = [silent(app, signed_in[0].account) for app in apps]
        assert [result.access_token for result in found] == [result.access_token for result in signed_in]
    assert [result.metadata.cache_level for result in found] == ["L1"] * 3
    assert world.token_requests() == 0


def test_each_partition_has_tokens_of_the_clients_own(world: World) -> None:
    services = [world.confidential(partition=name) for name in NAMES]
    for _ in range(3):
        found = [service.acquire_token_for_client(SCOPE) for service in services]
    assert [result.metadata.cache_level for result in found] == ["L1"] * 3
    assert len(tokens_of(found)) == 3
    assert world.idp.counters.grants == {"client_credentials": 3}
    services[1].remove_tokens_for_client()
    after = [service.acquire_token_for_client(SCOPE) for service in services]
    assert [result.metadata.token_source for result in after] == ["cache", "identity_provider", "cache"]


def test_a_sign_out_is_of_one_partition(world: World) -> None:
    here, there, everywhere = (world.public(partition=name) for name in ("contoso", "fabrikam", ""))
    [account] = {world.sign_in(app).account for app in (here, there, everywhere)}
    here.remove_account(account)
    assert failed(lambda: silent(here, account), UiRequiredError).code == "no_tokens_found"
    assert here.get_accounts() == []
    for app in (there, everywhere):
        assert app.get_accounts() == [account]
        assert silent(app, account).metadata.token_source == "cache"
        assert silent(app, account, force_refresh=True).metadata.token_source == "identity_provider"


def test_a_provider_that_asks_to_wait_is_heeded_in_one_partition(world: World) -> None:
    """Like users and clients (MSAL.NET): that one customer's requests are too many says nothing of another's."""
    here, there = world.public(partition="contoso"), world.public(partition="fabrikam")
    [account] = {world.sign_in(app).account for app in (here, there)}
    throttled(world)
    for _ in range(2):
        failed(lambda: silent(here, account, force_refresh=True), ThrottledError)
    assert world.token_requests() == 1
    assert silent(there, account, force_refresh=True).metadata.token_source == "identity_provider"


def test_what_cannot_be_written_is_written_later_to_its_own_partition(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = world.public(partition="contoso"), world.public(partition="fabrikam")
    [account] = {world.sign_in(app).account for app in (here, there)}
    with monkeypatch.context() as patched:

        def full(_: object) -> None:
            raise CacheFullError("cache_full", "no room")

        patched.setattr(world.cache.vault().shared, "commit", full)
        refreshed = silent(here, account, force_refresh=True)
    silent(there, account, force_refresh=True)
    assert silent(here, account, force_refresh=True).access_token != refreshed.access_token
    assert world.idp.counters.replays_detected == 0
    assert world.idp.counters.refreshes_refused == 0


def test_each_partition_makes_its_own_request_at_the_same_time(world: World) -> None:
    services = [world.confidential(partition=name) for name in ("contoso", "fabrikam")]
    world.idp.token_delay = 0.2
    results = at_once(
        world,
        services[0],
        lambda _, number: services[number % 2].application.acquire_token_for_client(SCOPE),
        16,
    )
    assert len(tokens_of(results)) == 2
    assert tokens_of(results[::2]).isdisjoint(tokens_of(results[1::2]))
    assert world.token_requests() == 2


def test_a_session_is_one_of_its_partition(world: World) -> None:
    assertion = caller(world)
    here, there = world.confidential(partition="contoso"), world.confidential(partition="fabrikam")
    tokens = {api.acquire_token_on_behalf_of(assertion, API).access_token for api in (here, there) for _ in range(3)}
    assert len(tokens) == 2
    assert grants(world) == {GRANT: 2}
    here.initiate_long_running_on_behalf_of(assertion, API, session_key="mine")
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        there.acquire_token_in_long_running_on_behalf_of("mine", API)
    assert there.stop_long_running_on_behalf_of("mine") is False
    assert here.acquire_token_in_long_running_on_behalf_of("mine", API).metadata.token_source == "cache"
    assert here.stop_long_running_on_behalf_of("mine") is True


def test_a_removed_account_takes_the_sessions_of_its_partition_along_and_no_others(world: World) -> None:
    assertion = caller(world)
    here, there = world.confidential(partition="contoso"), world.confidential(partition="fabrikam")
    [account] = {
        api.initiate_long_running_on_behalf_of(assertion, API, session_key="mine").result.account
        for api in (here, there)
    }
    here.remove_account(account)
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        here.acquire_token_in_long_running_on_behalf_of("mine", API)
    assert there.acquire_token_in_long_running_on_behalf_of("mine", API).metadata.token_source == "cache"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_family_is_one_of_its_partition(mode: str, tmp_path: Path) -> None:
    house = Household(mode, tmp_path)
    account = house.sign_in("cli")
    member, stranger = EVERYTHING[1], house.app(EVERYTHING[1], partition="contoso")
    assert house.app(member).get_accounts() == [account]
    assert stranger.get_accounts() == []
    assert failed(lambda: stranger.acquire_token_silent(["User.Read"], account)).code == "no_tokens_found"
    assert house.requests() == []


def test_what_is_learnt_of_a_client_stays_in_its_partition(world: World) -> None:
    from warmtoken.cache.records import AppRecord

    vault, owner = world.cache.vault(), Owner("login.windows.net", "cli")
    vault.save_app(owner._replace(partition="contoso"), AppRecord("cli", "login.windows.net", "1"))
    assert vault.app(owner) is None
    assert vault.app(owner._replace(partition="contoso")) is not None


# --- what looks through all of a file ---


def test_an_export_leaves_partitions_out_also_after_a_change_of_the_data_key(world: World) -> None:
    for username, partition in ((ALICE, ""), (BOB, "contoso")):
        world.sign_in(world.public(partition=partition), username)
        world.confidential(partition=partition).acquire_token_for_client(SCOPE)
    for _ in range(2):
        sections = json.loads(world.cache.export_msal())
        assert [account["username"] for account in sections["Account"].values()] == [ALICE]
        assert {name: len(sections[name]) for name in ("AccessToken", "RefreshToken", "IdToken")} == {
            "AccessToken": 2, "RefreshToken": 1, "IdToken": 1,
        }  # fmt: skip
        world.cache.rotate_data_key()
    assert len(world.public(partition="contoso").get_accounts()) == 1


def test_an_import_is_for_applications_without_a_partition(world: World, tmp_path: Path) -> None:
    account = world.sign_in(world.public()).account
    with TokenCache(tmp_path / "other", key=bytes(32), clock=world.clock) as other:
        other.import_msal(world.cache.export_msal())
        apps = [world.public(partition=name, cache=other) for name in ("", "contoso")]
        assert [app.get_accounts() for app in apps] == [[account], []]


def test_an_application_of_msal_sees_no_partition(tmp_path: Path) -> None:
    from warmtoken.interop import msal

    with new_world("sync", tmp_path) as world:
        account = world.sign_in(world.public(partition="contoso")).account
        world.confidential(partition="contoso").acquire_token_for_client(SCOPE)
        cache = msal.SerializableTokenCache(world.cache)
        for section in ("AccessToken", "RefreshToken", "IdToken", "Account", "AppMetadata"):
            for query in ({}, {"environment": account.environment}, {"home_account_id": account.home_account_id}):
                assert list(cache.search(section, query=query)) == []
        assert not any(json.loads(cache.serialize()).values())


def test_a_record_that_is_moved_to_another_partition_does_not_open(world: World) -> None:
    """Who can write the file must not get one customer the tokens of another."""
    here, there = world.public(partition="contoso"), world.public(partition="fabrikam")
    account = world.sign_in(here).account
    vault = world.cache.vault()
    slots = [
        app.application._context.slot(account.home_account_id, app.application._context.authority)
        for app in (here, there)
    ]
    moves = {
        _engine.REFRESH: [vault.keys.refresh_token(slot.owner) for slot in slots],
        _engine.IDENTITY: [vault.keys.id_token(slot.owner, slot.realm) for slot in slots],
        _engine.ACCOUNT: [vault.keys.account_in(slot.owner, slot.realm) for slot in slots],
    }
    for db, (source, target) in moves.items():
        _, value = _engine.read(vault.shared.store, db, source)
        assert value is not None
        vault.shared.commit([(_engine.PUT, db, target, value)])
    scopes = tuple(sorted(SCOPES))
    keys = [vault.keys.access_token(slot, scopes) for slot in slots]
    _, value = _engine.read(vault.shared.store, _engine.ACCESS, keys[0])
    assert value is not None
    hashes = b"".join(vault.keys.scopes(slots[1], scopes))
    vault.shared.commit([(_engine.PUT_TOKEN, _engine.ACCESS, keys[1], value, hashes)])
    refused = vault.refused_records
    assert there.get_accounts() == []
    assert failed(lambda: silent(there, account), UiRequiredError).code == "no_tokens_found"
    assert vault.refused_records > refused
    assert silent(here, account).metadata.token_source == "cache"


def test_the_name_is_shown_where_there_is_one() -> None:
    apps = [PublicClientApplication("cli", authority="https://idp.example", partition=name) for name in NAMES]
    assert [repr(app) for app in apps] == [
        "PublicClientApplication('cli', authority='https://idp.example')",
        "PublicClientApplication('cli', authority='https://idp.example', partition='contoso')",
        "PublicClientApplication('cli', authority='https://idp.example', partition='Contoso')",
    ]
