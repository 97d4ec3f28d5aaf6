from __future__ import annotations

import base64

import pytest

from warmtoken.protocol.pkce import challenge, new_verifier


def test_challenge_of_the_rfc():
    """The example of RFC 7636, appendix B."""
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifiers_are_fresh_and_hold_32_bytes():
    verifiers = {new_verifier() for _ in range(100)}
    assert len(verifiers) == 100
    assert all(len(base64.urlsafe_b64decode(verifier + "=")) == 32 for verifier in verifiers)


@pytest.mark.parametrize("length", [43, 128])
def test_shortest_and_longest_verifier(length):
    assert len(challenge("~" * length)) == 43


@pytest.mark.parametrize("verifier", ["", "a" * 42, "a" * 129, "a" * 42 + "+", "a" * 42 + "é", "a" * 43 + "\n"])
def test_not_a_verifier(verifier):
    with pytest.raises(ValueError, match="43 to 128") as caught:
        challenge(verifier)
    assert "aaa" not in str(caught.value)
