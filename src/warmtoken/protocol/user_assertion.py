"""The token that a web API was called with, and the text by which the cache knows it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256


def check_assertion(name: str, assertion: object) -> None:
    """Refuse with TypeError what is no str, and with ValueError what can be no token; no message shows it."""
    if not isinstance(assertion, str):
        raise TypeError(f"expected {name} to be a str, got {type(assertion).__name__}")
    if not assertion.isascii() or assertion.split() != [assertion]:
        raise ValueError(f"expected {name} to be a token of ASCII characters without blanks, and no `Bearer` before it")


def assertion_hash(user_assertion: str) -> str:
    """Return MSAL's `user_assertion_hash`: the SHA-256 in base64url without padding (RFC 7515, section 2).

    Raises what `check_assertion` raises.
    """
    check_assertion("user_assertion", user_assertion)
    return urlsafe_b64encode(sha256(user_assertion.encode()).digest()).rstrip(b"=").decode()
