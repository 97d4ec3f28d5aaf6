"""The token that a web API was called with, and the text by which the cache knows it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256


def assertion_hash(user_assertion: str) -> str:
    """Return MSAL's `user_assertion_hash`: the SHA-256 in base64url without padding (RFC 7515, section 2).

    Raises TypeError for what is no str, and ValueError for what can be no token; no message shows it.
    """
    if not isinstance(user_assertion, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected user_assertion to be a str, got {type(user_assertion).__name__}")
    if not user_assertion.isascii() or user_assertion.split() != [user_assertion]:
        raise ValueError(
            "expected user_assertion to be the access token that the API was called with, without `Bearer` before it"
        )
    return urlsafe_b64encode(sha256(user_assertion.encode()).digest()).rstrip(b"=").decode()
