"""The hash by which MSAL and the cache know an assertion."""

from __future__ import annotations

import pytest

from warmtoken.protocol.user_assertion import assertion_hash


def test_it_is_msals_user_assertion_hash() -> None:
    """SHA-256 of "abc" (FIPS 180-4, an example of NIST's) in base64url without padding."""
    assert assertion_hash("abc") == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"


def test_assertions_are_compared_with_case() -> None:
    assert assertion_hash("a.b.c") != assertion_hash("A.B.C")


@pytest.mark.parametrize("text", ["", " ", "Bearer canary", "canary ", "canary\n", "can\u00e4ry"])
def test_what_can_be_no_token_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="user_assertion") as refused:
        assertion_hash(text)
    assert "canary" not in str(refused.value)
