"""Sign-in on another device (RFC 8628), at the provider's own pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.program import LIFETIME, READ
from warmtoken import ServiceError

if TYPE_CHECKING:
    from integration.program import Program
    from warmtoken import AuthenticationResult, DeviceCode


def sign_in(program: Program) -> AuthenticationResult:
    """Sign the browser's user in; the code is entered before the program asks for the first time."""

    def enter(code: DeviceCode) -> None:
        assert code.verification_uri_complete is not None
        program.browser(code.verification_uri_complete)
        program.browser.join()

    call = program.app.acquire_token_by_device_code([READ], on_user_code=enter)
    result: AuthenticationResult = program.world.run(call)
    return result


def test_a_code_that_was_entered_brings_a_token_an_account_and_a_cache(program: Program) -> None:
    result = sign_in(program)

    assert result.scopes == (READ,)
    assert result.account is not None
    assert (result.account.username, result.account.account_source) == ("alice@example.test", "device_code_flow")
    assert program.silent().access_token == result.access_token
    assert program.provider.counters.token_requests == 1


def test_what_a_device_code_brought_is_refreshed(program: Program) -> None:
    result = sign_in(program)
    program.pass_time(LIFETIME + 1)

    refreshed = program.silent()

    assert refreshed.access_token != result.access_token
    assert refreshed.account == result.account
    assert program.provider.counters.refreshes == 1


def test_a_fault_of_the_token_endpoint_is_typed(program: Program) -> None:
    program.provider.fail(status=500, body="{}")

    with pytest.raises(ServiceError) as raised:
        sign_in(program)

    assert raised.value.code == "service_not_available"
