"""Proof Key for Code Exchange (RFC 7636), method S256 only."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, section 4.1


def new_verifier() -> str:
    """Return a fresh code verifier: 32 random bytes as 43 characters of base64url (RFC 7636, section 4.1)."""
    return secrets.token_urlsafe(32)


def challenge(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636, section 4.2).

    Raises ValueError for a text that is no code verifier; it is not shown.
    """
    if not _VERIFIER.fullmatch(verifier):
        raise ValueError("expected a code verifier of 43 to 128 unreserved characters (RFC 7636, section 4.1)")
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
