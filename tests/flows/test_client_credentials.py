"""The client's own tokens (RFC 6749, section 4.4)."""

from __future__ import annotations

import hashlib

import pytest
from support.world import SCOPES, World

from warmtoken import ClientError, ServiceError, UiRequiredError

SCOPE = ["api/.default"]


def test_a_token_is_asked_for_once_and_then_cached(world: World) -> None:
    service = world.confidential()
    results = [service.acquire_token_for_client(SCOPE) for _ in range(4)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1", "L1"]
    assert results[0].metadata.cache_refresh_reason == "no_cached_access_token"
    assert len({result.access_token for result in results}) == 1
    assert results[0].account is None
    assert results[0].id_token is None
    assert world.idp.counters.grants == {"client_credentials": 1}


def test_another_object_finds_the_token_in_the_store(world: World) -> None:
    first = world.confidential().acquire_token_for_client(SCOPE)
    again = world.confidential(cache=world.new_cache()).acquire_token_for_client(SCOPE)
    assert again.access_token == first.access_token


def test_an_expired_token_is_replaced(world: World) -> None:
    service = world.confidential()
    first = service.acquire_token_for_client(SCOPE)
    world.clock.advance(3600)
    second = service.acquire_token_for_client(SCOPE)
    assert second.access_token != first.access_token
    assert second.metadata.cache_refresh_reason == "expired"


def test_a_list_that_is_changed_during_the_call_keeps_nothing_for_what_it_says_then(world: World) -> None:
    asked = list(SCOPE)
    service = world.confidential(before=lambda _: asked.__setitem__(0, "other/.default"))
    service.acquire_token_for_client(asked)
    asked[0] = SCOPE[0]
    world.clock.advance(3600 - 10)
    world.idp.fail_next("token", status=503, times=2)
    kept = service.acquire_token_for_client(asked)  # the provider fails: not expired yet
    assert asked == ["other/.default"]
    assert service.acquire_token_for_client(asked).access_token != kept.access_token


def test_force_refresh_claims_and_min_validity(world: World) -> None:
    service = world.confidential()
    first = service.acquire_token_for_client(SCOPE)
    forced = service.acquire_token_for_client(SCOPE, force_refresh=True)
    challenged = service.acquire_token_for_client(SCOPE, claims='{"access_token":{}}', correlation_id="mine")
    assert len({first.access_token, forced.access_token, challenged.access_token}) == 3
    assert challenged.correlation_id == "mine"
    assert service.acquire_token_for_client(SCOPE).access_token == challenged.access_token
    assert service.acquire_token_for_client(SCOPE, min_validity=60).access_token == challenged.access_token


def test_client_claims_tell_tokens_apart_and_do_not_bypass_the_cache(world: World) -> None:
    service = world.confidential()
    kinds = ['{"access_token":{"a":null}}', '{"access_token":{"b":null}}', None]
    for _ in range(3):
        tokens = {service.acquire_token_for_client(SCOPE, client_claims=kind).access_token for kind in kinds}
        assert len(tokens) == 3
    assert [asked.claims for asked in world.idp.token_requests] == kinds


def test_a_token_that_an_api_refused_is_not_served_and_its_successor_is(world: World) -> None:
    service = world.confidential()
    refused = service.acquire_token_for_client(SCOPE)
    named = hashlib.sha256(refused.access_token.encode()).hexdigest()
    results = [service.acquire_token_for_client(SCOPE, refresh_if_sha256=named) for _ in range(3)]
    assert [result.metadata.token_source for result in results] == ["identity_provider", "cache", "cache"]
    assert refused.access_token not in {result.access_token for result in results}
    assert service.acquire_token_for_client(SCOPE).access_token == results[0].access_token
    with pytest.raises(ValueError, match="force_refresh"):
        service.acquire_token_for_client(SCOPE, refresh_if_sha256=named, force_refresh=True)


@pytest.mark.parametrize("claims", ["[1]", "secret-claim-7"])
def test_client_claims_that_are_no_json_object_are_refused_without_being_shown(world: World, claims: str) -> None:
    service = world.confidential()
    service.acquire_token_for_client(SCOPE)
    with pytest.raises(ClientError, match="invalid_json_claims_format") as refused:
        service.acquire_token_for_client(SCOPE, client_claims=claims)
    assert "secret-claim-7" not in str(refused.value)


def test_the_scopes_go_as_typed_without_reserved_ones(world: World) -> None:
    world.confidential().acquire_token_for_client(SCOPE)
    (asked,) = world.idp.token_requests
    assert (asked.scope, asked.client_id) == ("api/.default", "service")


def test_other_scopes_are_other_tokens(world: World) -> None:
    service = world.confidential()
    tokens = {service.acquire_token_for_client([scope]).access_token for scope in ("a/.default", "b/.default")}
    assert len(tokens) == 2


def test_the_clients_token_is_never_taken_for_a_users(world: World) -> None:
    service = world.confidential()
    for _ in range(3):
        service.acquire_token_for_client(SCOPES)
    for _ in range(2):
        with pytest.raises(UiRequiredError, match="user_null"):
            service.acquire_token_silent(SCOPES)
    assert service.get_accounts() == []


def test_a_users_token_is_never_taken_for_the_clients(world: World) -> None:
    app = world.public("service2")
    user = world.sign_in(app)
    app.acquire_token_silent(SCOPES, user.account)
    world.idp.add_client("service2", "secret-2")
    own = world.confidential("service2", "secret-2").acquire_token_for_client(SCOPES)
    assert own.access_token != user.access_token


def test_a_wrong_secret_is_told_without_the_secret(world: World) -> None:
    service = world.confidential(secret="wrong-secret-canary")
    with pytest.raises(ServiceError) as refused:
        service.acquire_token_for_client(SCOPE)
    assert (refused.value.code, refused.value.status) == ("invalid_client", 401)
    assert not refused.value.is_retryable
    assert "canary" not in f"{refused.value}{refused.value!r}{service.application!r}"


def test_the_clients_tokens_are_removed_at_once_for_all_and_others_stay(world: World) -> None:
    """MSAL Python: remove_tokens_for_client."""
    user = world.sign_in(world.public("service2"))
    world.idp.add_client("service2", "secret-2")
    service, same_file = (world.confidential("service2", "secret-2", cache=world.new_cache()) for _ in range(2))
    other = world.confidential()
    theirs = other.acquire_token_for_client(SCOPE)
    before = {service.acquire_token_for_client([scope]).access_token for scope in ("a/.default", "b/.default")}
    for _ in range(3):
        same_file.acquire_token_for_client(["a/.default"])
    service.remove_tokens_for_client()
    for client in (same_file, service):
        after = client.acquire_token_for_client(["a/.default"])
        assert after.access_token not in before
    assert after.metadata.token_source == "cache"
    assert other.acquire_token_for_client(SCOPE).access_token == theirs.access_token
    assert service.acquire_token_silent(SCOPES, user.account).access_token == user.access_token


def test_removing_tokens_of_a_client_that_has_none_changes_nothing(world: World) -> None:
    service = world.confidential()
    service.remove_tokens_for_client()
    assert service.acquire_token_for_client(SCOPE).metadata.cache_refresh_reason == "no_cached_access_token"


def test_a_plain_issuer_has_no_tenants(world: World) -> None:
    with pytest.raises(ValueError, match="tenant"):
        world.confidential().acquire_token_for_client(SCOPE, tenant_id="contoso.example")
