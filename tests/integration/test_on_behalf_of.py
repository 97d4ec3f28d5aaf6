"""A web API that acts for its callers, at a provider that we did not write; its replies name no user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integration.program import LIFETIME, READ, WRITE
from warmtoken import ClientError, ClientSecret, UiRequiredError

if TYPE_CHECKING:
    from integration.program import Program
    from warmtoken import AuthenticationResult

ACCESS = "api://middle/access"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture(params=[JWT_BEARER, TOKEN_EXCHANGE], ids=["jwt-bearer", "token exchange"])
def grant(request: pytest.FixtureRequest, program: Program) -> str:
    """How the provider lets an API act for its callers."""
    chosen: str = request.param
    program.provider.list_token_exchange(chosen == TOKEN_EXCHANGE)
    return chosen


@pytest.fixture
def api(program: Program, grant: str) -> Any:
    assert grant
    secret = ClientSecret("middle-secret-0123456789")
    return program.world.confidential("middle", secret, program.provider.issuer, program.cache)


def on_behalf(program: Program, api: Any, assertion: str, *scopes: str) -> AuthenticationResult:
    call = api.acquire_token_on_behalf_of(assertion, list(scopes or (READ,)))
    result: AuthenticationResult = program.world.run(call)
    return result


def test_a_callers_token_is_traded_once_and_the_result_cached(program: Program, api: Any, grant: str) -> None:
    caller = program.sign_in(ACCESS)
    results = [on_behalf(program, api, caller.access_token) for _ in range(3)]
    assert len({result.access_token for result in results}) == 1
    assert [result.metadata.cache_level for result in results] == ["none", "store", "L1"]
    assert results[0].scopes == (READ,)
    traded = {name: count for name, count in program.provider.counters.grants.items() if name.startswith("urn:")}
    assert traded == {grant: 1}


def test_a_token_for_another_api_is_no_assertion(program: Program, api: Any) -> None:
    caller = program.sign_in(READ)
    with pytest.raises(UiRequiredError) as refused:
        on_behalf(program, api, caller.access_token)
    assert refused.value.code == "invalid_grant"
    assert caller.access_token not in str(refused.value)


def test_a_caller_who_must_do_more_is_told(program: Program, api: Any) -> None:
    program.browser.username = "mfa-user"
    caller = program.sign_in(ACCESS)
    with pytest.raises(UiRequiredError) as refused:
        on_behalf(program, api, caller.access_token)
    assert refused.value.code == "interaction_required"


def test_an_ordinary_call_ends_with_the_callers_token(program: Program, api: Any) -> None:
    caller = program.sign_in(ACCESS)
    on_behalf(program, api, caller.access_token)
    program.pass_time(LIFETIME + 1)
    with pytest.raises(UiRequiredError) as refused:
        on_behalf(program, api, caller.access_token)
    assert refused.value.code == "invalid_grant"


def test_a_session_goes_on_with_a_refresh_token_that_is_spent_once(program: Program, api: Any) -> None:
    caller = program.sign_in(ACCESS)
    session = program.world.run(api.initiate_long_running_on_behalf_of(caller.access_token, [READ, WRITE]))

    def go_on() -> Any:
        return api.acquire_token_in_long_running_on_behalf_of(session.session_key, [READ, WRITE])

    tokens = {session.result.access_token}
    for _ in range(3):
        program.pass_time(LIFETIME + 1)
        results = program.world.run_at_once([go_on] * 4)
        assert len({result.access_token for result in results}) == 1
        tokens.add(results[0].access_token)
    assert len(tokens) == 4
    assert program.provider.counters.refreshes == 3
    assert program.world.run(api.stop_long_running_on_behalf_of(session.session_key)) is True
    with pytest.raises(ClientError, match="obo_cache_key_not_in_cache_error"):
        program.world.run(go_on())
