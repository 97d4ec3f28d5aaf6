"""Signed tokens: ES256 keys and JSON Web Tokens (RFC 7515, RFC 7518 section 3.4)."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from collections.abc import Mapping


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """One P-256 key pair, made anew; `kid` is the thumbprint of the public key (RFC 7638)."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        x, y = (base64url(number.to_bytes(32)) for number in (numbers.x, numbers.y))
        required = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
        self.kid = base64url(hashlib.sha256(canonical.encode()).digest())
        self.public_jwk = {**required, "kid": self.kid, "alg": "ES256", "use": "sig"}

    def sign(self, data: bytes) -> bytes:
        r, s = decode_dss_signature(self._private.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)


class KeyRing:
    """The keys of the provider: the newest signs, all are published."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: tuple[SigningKey, ...] = (SigningKey(),)

    def rotate(self) -> None:
        with self._lock:
            self._keys = (SigningKey(), *self._keys)

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.public_jwk for key in self._keys]}

    def encode(self, claims: Mapping[str, Any], *, typ: str = "JWT") -> str:
        key = self._keys[0]
        header = {"alg": "ES256", "kid": key.kid, "typ": typ}
        signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{signed}.{base64url(key.sign(signed.encode()))}"
