"""Sessions on behalf of a user that outlive the user's call (MSAL.NET's long-running OnBehalfOf)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flows.test_refresh import FullDisk
from flows.test_single_flight import at_once, tokens_of
from support.on_behalf_of import API, GRANT, caller, grants, renewed, sessions
from support.world import ALICE, BOB, SCOPES, Client, World

from warmtoken import ClientError, TokenCache, UiRequiredError, _engine
from warmtoken.cache.sealing import RecordType, read_header
from warmtoken.errors import CacheFullError
from warmtoken.protocol.user_assertion import assertion_hash
from warmtoken.transport import HttpRequest


@pytest.fixture
def assertion(world: World) -> str:
    return caller(world)


@pytest.fixture
def api(world: World) -> Client:
    return world.confidential()


def test_a_session_is_begun_and_gone_on_with_by_its_key(world: World, api: Client, assertion: str) -> None:
    """MSAL.NET: the key is the hash of the assertion unless one is given."""
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    assert session.session_key == assertion_hash(assertion)
    results = [session.result]
    results += [api.acquire_token_in_long_running_on_behalf_of(session.session_key, API) for _ in range(3)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1", "L1"]
    assert len(tokens_of(results)) == 1
    assert {result.account for result in results} == {session.result.account}
    assert {result.id_token for result in results} == {session.result.id_token}
    assert session.session_key not in repr(session)
    assert grants(world) == {GRANT: 1}


def test_a_key_of_ones_own_is_used(world: World, api: Client, assertion: str) -> None:
    session = api.initiate_long_running_on_behalf_of(assertion, API, session_key="job 7")
    assert session.session_key == "job 7"
    got = world.confidential(cache=world.new_cache()).acquire_token_in_long_running_on_behalf_of("job 7", API)
    assert got.access_token == session.result.access_token
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of("JOB 7", API)


def test_an_expired_token_is_refreshed_by_the_sessions_refresh_token(world: World, api: Client, assertion: str) -> None:
    """MSAL.NET: the refresh token is found by the session's key; here it is rotated each time."""
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    results = [session.result, *(renewed(world, api, session.session_key) for _ in range(3))]
    assert len(tokens_of(results)) == 4
    assert grants(world) == {GRANT: 1, "refresh_token": 3}
    assert world.idp.counters.replays_detected == 0
    assert results[-1].account == session.result.account
    fewer = api.acquire_token_in_long_running_on_behalf_of(session.session_key, API[:1], force_refresh=True)
    assert fewer.access_token not in tokens_of(results)


def test_one_refresh_for_all_of_a_session(world: World, api: Client, assertion: str) -> None:
    key = api.initiate_long_running_on_behalf_of(assertion, API).session_key
    world.clock.advance(3600)
    world.idp.token_delay = 0.2
    results = at_once(world, api, lambda client, _: client.acquire_token_in_long_running_on_behalf_of(key, API), 16)
    assert len(tokens_of(results)) == 1
    assert (world.idp.counters.refreshes_granted, world.idp.counters.replays_detected) == (1, 0)


def test_a_session_is_begun_without_the_cache_unless_it_is_to_be_searched(
    world: World, api: Client, assertion: str
) -> None:
    begin = api.initiate_long_running_on_behalf_of
    first = begin(assertion, API)
    second = begin(assertion, API)
    found = begin(assertion, API, search_in_cache=True)
    assert first.result.access_token != second.result.access_token == found.result.access_token
    assert found.result.metadata.token_source == "cache"
    challenged = begin(assertion, API, search_in_cache=True, claims='{"access_token":{}}')
    assert challenged.result.metadata.token_source == "identity_provider"
    world.clock.advance(3600)
    assert begin(assertion, API, search_in_cache=True).result.metadata.token_source == "identity_provider"
    assert grants(world) == {GRANT: 4}


def test_a_token_without_a_refresh_token_begins_no_session(world: World, api: Client, assertion: str) -> None:
    api.acquire_token_on_behalf_of(assertion, API)
    session = api.initiate_long_running_on_behalf_of(assertion, API, search_in_cache=True)
    assert session.result.metadata.token_source == "identity_provider"
    assert renewed(world, api, session.session_key).metadata.token_source == "identity_provider"


def test_an_ordinary_call_leaves_the_refresh_token_of_a_session_alone(
    world: World, api: Client, assertion: str
) -> None:
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    api.acquire_token_on_behalf_of(assertion, ["other"])
    assert api.acquire_token_on_behalf_of(assertion, API).access_token == session.result.access_token
    renewed(world, api, session.session_key)
    assert grants(world) == {GRANT: 2, "refresh_token": 1}


@pytest.mark.parametrize("named", [{}, {"force_refresh": True}, {"claims": '{"access_token":{}}'}])
def test_a_session_without_tokens_is_not_in_the_cache(world: World, api: Client, named: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        api.acquire_token_in_long_running_on_behalf_of("secret-key", API, correlation_id="mine", **named)
    assert (refused.value.code, refused.value.correlation_id) == ("obo_cache_key_not_in_cache_error", "mine")
    assert "secret-key" not in f"{refused.value!r}"
    assert world.token_requests() == 0


def test_a_session_that_is_stopped_has_no_tokens_in_any_process(world: World, api: Client, assertion: str) -> None:
    """MSAL.NET: access and refresh tokens of the key leave, and whether there were any is told."""
    key = api.initiate_long_running_on_behalf_of(assertion, API).session_key
    same_file = world.confidential(cache=world.new_cache())
    for _ in range(3):
        same_file.acquire_token_in_long_running_on_behalf_of(key, API)
    assert sessions(world) == 1
    assert [api.stop_long_running_on_behalf_of(key) for _ in range(2)] == [True, False]
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        same_file.acquire_token_in_long_running_on_behalf_of(key, API)
    assert sessions(world) == 0
    assert {entry["client_id"] for entry in json.loads(world.cache.export_msal())["RefreshToken"].values()} == {"cli"}


def test_the_end_of_a_session_is_not_undone_by_what_could_not_be_stored(
    world: World, api: Client, assertion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    disk.full = False
    api.stop_long_running_on_behalf_of(session.session_key)
    world.cache.vault().save_unsaved()
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of(session.session_key, API)


def test_a_session_whose_beginning_could_not_be_stored_goes_on_when_it_can(
    world: World, api: Client, assertion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(world, monkeypatch)
    disk.full = True
    session = api.initiate_long_running_on_behalf_of(assertion, API)
    with pytest.raises(CacheFullError):
        api.acquire_token_in_long_running_on_behalf_of(session.session_key, API)
    disk.full = False
    got = api.acquire_token_in_long_running_on_behalf_of(session.session_key, API)
    assert got.account == session.result.account
    assert renewed(world, api, session.session_key).account == session.result.account
    assert world.idp.counters.replays_detected == 0


def test_a_dead_session_needs_the_user_and_then_is_gone(world: World, api: Client, assertion: str) -> None:
    key = api.initiate_long_running_on_behalf_of(assertion, API).session_key
    world.idp.revoke_user(ALICE)
    with pytest.raises(UiRequiredError) as refused:
        renewed(world, api, key)
    assert refused.value.code == "invalid_grant"
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of(key, API)
    assert ends(world) == [world.idp.token_requests[0].time // 1 + 3600]


def ends(world: World) -> list[float]:
    """Until when the lists name sessions, in Unix seconds."""
    values = [value for _, value in _engine.scan(world.cache.vault().shared.store, _engine.NOTE, b"")]
    return [read_header(value).expires_ms / 1000 for value in values if value[14] == RecordType.SESSION]


def test_of_two_users_with_one_key_the_second_gets_nothing_of_the_first(world: World, api: Client) -> None:
    hers, his = caller(world), caller(world, BOB)
    api.initiate_long_running_on_behalf_of(hers, ["other"], session_key="job")
    first = api.initiate_long_running_on_behalf_of(hers, API, session_key="job")
    world.idp.omit_refresh_token = True
    second = api.initiate_long_running_on_behalf_of(his, API, session_key="job")
    assert second.result.account.username == BOB
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of("job", ["other"])
    api.remove_account(first.result.account)
    assert api.acquire_token_in_long_running_on_behalf_of("job", API).account.username == BOB


def test_two_users_who_begin_with_one_key_at_once_get_an_answer_each(world: World, api: Client) -> None:
    assertions = [caller(world), caller(world, BOB)]
    world.idp.token_delay = 0.2
    found = at_once(
        world,
        api,
        lambda client, number: client.initiate_long_running_on_behalf_of(assertions[number], API, session_key="job"),
        2,
    )
    assert [session.result.account.username for session in found] == [ALICE, BOB]


def test_a_refresh_does_not_undo_the_end_of_its_session(world: World, assertion: str) -> None:
    def stop(request: HttpRequest) -> None:
        if b"grant_type=refresh_token" in request.body:
            sibling = world.sibling()
            sibling.confidential().stop_long_running_on_behalf_of("job")
            sibling.close()

    api = world.confidential(before=stop)
    api.initiate_long_running_on_behalf_of(assertion, API, session_key="job")
    assert renewed(world, api, "job").metadata.token_source == "identity_provider"
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        api.acquire_token_in_long_running_on_behalf_of("job", API)


def test_what_an_export_says_of_a_session_is_nobodys_own(world: World, api: Client, assertion: str) -> None:
    """MSAL.NET: `user_assertion_hash` is on access and refresh tokens, and holds the session's key."""
    session = api.initiate_long_running_on_behalf_of(assertion, API, session_key="job")
    exported = json.loads(world.cache.export_msal("dotnet"))
    for section in ("AccessToken", "RefreshToken"):
        (entry,) = [entry for entry in exported[section].values() if entry["client_id"] == "service"]
        assert entry["user_assertion_hash"] == "job"
        assert entry["home_account_id"] == session.result.account.home_account_id
    other = TokenCache(world.directory / "other", key=bytes(32), clock=world.clock)
    other.import_msal(json.dumps(exported))
    stranger = world.confidential(cache=other)
    with pytest.raises(UiRequiredError, match="no_tokens_found"):
        stranger.acquire_token_silent(API, session.result.account)


def test_the_list_names_a_session_with_a_refresh_token_without_end(world: World, api: Client, assertion: str) -> None:
    api.initiate_long_running_on_behalf_of(assertion, API)
    api.acquire_token_on_behalf_of(assertion, ["other"])
    assert ends(world) == [((1 << 63) - 1) / 1000]
    world.idp.omit_refresh_token = True
    later = api.acquire_token_on_behalf_of(caller(world), API)
    assert sorted(ends(world))[0] == later.expires_on


@pytest.mark.parametrize(
    ("given", "error"),
    [(7, TypeError), (None, TypeError), ("", ValueError), (" ", ValueError), ("canary\ud800", ValueError)],
)
def test_what_can_be_no_session_key_is_refused(api: Client, assertion: str, given: Any, error: type[Exception]) -> None:
    calls = [
        lambda: api.acquire_token_in_long_running_on_behalf_of(given, API),
        lambda: api.stop_long_running_on_behalf_of(given),
    ]
    if given is not None:
        calls.append(lambda: api.initiate_long_running_on_behalf_of(assertion, API, session_key=given))
    for call in calls:
        with pytest.raises(error, match="session_key") as refused:
            call()
        assert "canary" not in repr(refused.value)


def test_whether_to_search_is_no_text(api: Client, assertion: str) -> None:
    with pytest.raises(TypeError, match="search_in_cache"):
        api.initiate_long_running_on_behalf_of(assertion, API, search_in_cache="no")


def test_a_session_and_a_tenant_do_not_run_into_each_other_in_memory(api: Client, assertion: str) -> None:
    for _ in range(3):
        api.initiate_long_running_on_behalf_of(assertion, SCOPES, session_key="a@b", search_in_cache=True)
        api.acquire_token_in_long_running_on_behalf_of("a@b", SCOPES)
    with pytest.raises(ValueError, match="tenant"):
        api.acquire_token_in_long_running_on_behalf_of("a", SCOPES, tenant_id="b")
