"""On behalf of users at an issuer that exchanges tokens (RFC 8693)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.on_behalf_of import API, DAY, caller, grants, renewed
from support.world import ALICE, BOB, Client, World

from warmtoken import ProtocolError, ServiceError, UiRequiredError
from warmtoken.protocol.token_exchange import TOKEN_EXCHANGE_GRANT

if TYPE_CHECKING:
    from warmtoken import AuthenticationResult

NAMED = [*API, "openid"]


@pytest.fixture
def assertion(world: World) -> str:
    world.idp.on_behalf_of = "token-exchange"
    return caller(world)


@pytest.fixture
def api(world: World, assertion: str) -> Client:
    return world.confidential()


def test_a_token_is_exchanged_once_and_then_cached(world: World, api: Client, assertion: str) -> None:
    results: list[AuthenticationResult] = [api.acquire_token_on_behalf_of(assertion, NAMED) for _ in range(4)]
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1", "L1"]
    assert len({result.access_token for result in results} | {assertion}) == 2
    assert {result.account.username for result in results if result.account} == {ALICE}
    assert grants(world) == {TOKEN_EXCHANGE_GRANT: 1}


def test_nothing_is_asked_for_but_what_was_typed(world: World, api: Client, assertion: str) -> None:
    result = api.acquire_token_on_behalf_of(assertion, API)
    (asked,) = world.idp.token_requests
    assert asked.scope.split() == sorted(API)
    assert (result.account, result.id_token) == (None, None)


def test_two_users_have_tokens_of_their_own(world: World, api: Client, assertion: str) -> None:
    other = caller(world, BOB)
    for _ in range(3):
        results = [api.acquire_token_on_behalf_of(each, NAMED) for each in (assertion, other)]
        assert [result.account.username for result in results] == [ALICE, BOB]
    assert grants(world) == {TOKEN_EXCHANGE_GRANT: 2}


def test_a_users_token_that_is_worth_nothing_is_an_invalid_request(world: World, api: Client, assertion: str) -> None:
    """RFC 8693, section 2.2.2."""
    world.clock.advance(DAY)
    with pytest.raises(ServiceError) as refused:
        api.acquire_token_on_behalf_of(assertion, API)
    assert refused.value.code == "invalid_request"
    assert not isinstance(refused.value, UiRequiredError)
    assert assertion not in f"{refused.value!r}{refused.value}"


def test_what_is_no_access_token_is_not_kept(world: World, api: Client, assertion: str) -> None:
    body = {"access_token": "x", "token_type": "Bearer", "expires_in": 60, "issued_token_type": "urn:x"}
    world.idp.fail_next("token", status=200, body=body)
    with pytest.raises(ProtocolError, match="issued_token_type_mismatch"):
        api.acquire_token_on_behalf_of(assertion, API)
    assert api.acquire_token_on_behalf_of(assertion, API).metadata.token_source == "identity_provider"


def test_a_session_is_begun_by_exchange_and_gone_on_with_by_its_refresh_token(
    world: World, api: Client, assertion: str
) -> None:
    session = api.initiate_long_running_on_behalf_of(assertion, NAMED)
    assert world.idp.token_requests[0].scope.split() == sorted([*NAMED, "offline_access"])
    assert renewed(world, api, session.session_key).access_token != session.result.access_token
    assert grants(world) == {TOKEN_EXCHANGE_GRANT: 1, "refresh_token": 1}
