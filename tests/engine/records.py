"""Keys and sealed-looking records for tests of the engine, which does not open seals."""

from __future__ import annotations

import os
from hashlib import blake2b
from struct import pack

EXPIRES_AT = 16


def digest(*parts: object, size: int) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=size).digest()


def record(expires_ms: int = 0, body: bytes = b"") -> bytes:
    """Return a value with the header's expiry, a nonce of its own, a body and a tag."""
    return bytes(EXPIRES_AT) + pack("<q", expires_ms) + bytes(16) + os.urandom(12) + bytes(12) + body + os.urandom(16)


def partition(who: str) -> bytes:
    return digest("partition", who, size=16)


def token_key(who: str, slot: str, scopes: frozenset[str]) -> bytes:
    return partition(who) + digest("token", slot, sorted(scopes), size=16)


def scope_hash(slot: str, scope: str) -> bytes:
    return digest("scope", slot, scope, size=8)


def slot_hash(slot: str) -> bytes:
    return digest("slot", slot, size=8)


def hashes(slot: str, scopes: frozenset[str]) -> bytes:
    """Return the hash of the slot, then those of the scopes."""
    return slot_hash(slot) + b"".join(scope_hash(slot, scope) for scope in sorted(scopes))


def wanted(slot: str, scopes: frozenset[str]) -> bytes:
    """Return the hashes by which a request looks for tokens."""
    return b"".join(scope_hash(slot, scope) for scope in sorted(scopes)) or slot_hash(slot)
