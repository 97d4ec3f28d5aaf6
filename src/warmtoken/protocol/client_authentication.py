"""How a client proves itself at the token endpoint (RFC 6749, section 2.3; RFC 7523, section 2.2)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus

from warmtoken.errors import ClientError
from warmtoken.protocol.authority import ENTRA_DIALECT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from warmtoken.credentials import ClientAssertion, ClientCertificate, ClientCredential
    from warmtoken.protocol.authority import AuthorityKind
    from warmtoken.protocol.discovery import ProviderMetadata

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 300

_WITHOUT_PSS = frozenset({"dsts", "adfs"})  # MSAL.NET: they take RS256, and the older thumbprint

_Proof = tuple[dict[str, str], dict[str, str]]


class Client(NamedTuple):
    """A registered application; `credential`, whose repr shows no secret, is None for a public client."""

    client_id: str
    credential: ClientCredential | None = None


def authenticate(client: Client, metadata: ProviderMetadata, *, kind: AuthorityKind, now: float) -> _Proof:
    """Return the headers and form fields that identify the client and prove it.

    `now` is in Unix seconds. Raises ClientError `client_certificate_invalid` or `client_assertion_invalid` for a
    credential that cannot be used.
    """
    from warmtoken.credentials import ClientAssertion, ClientCertificate, ClientSecret

    credential = client.credential
    if isinstance(credential, ClientSecret):
        return _with_secret(client.client_id, credential.secret, metadata, kind)
    if isinstance(credential, ClientCertificate):
        return _with_assertion(client.client_id, _signed_assertion(client.client_id, credential, metadata, kind, now))
    if isinstance(credential, ClientAssertion):
        return _with_assertion(client.client_id, _given_assertion(credential))
    return {}, {"client_id": client.client_id}


def _with_secret(client_id: str, secret: str, metadata: ProviderMetadata, kind: AuthorityKind) -> _Proof:
    methods = metadata.token_endpoint_auth_methods or ("client_secret_basic",)  # the default: RFC 8414, section 2
    if kind in ENTRA_DIALECT or "client_secret_basic" not in methods:
        return {}, {"client_id": client_id, "client_secret": secret}
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"  # RFC 6749, section 2.3.1: form-encoded before base64
    return {"authorization": "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")}, {}


def _with_assertion(client_id: str, assertion: str) -> _Proof:
    fields = {"client_id": client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    return {}, fields


def _given_assertion(credential: ClientAssertion) -> str:
    assertion = credential.assertion() if callable(credential.assertion) else credential.assertion
    if not isinstance(assertion, str) or not assertion:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ClientError(
            "client_assertion_invalid",
            f"expected the client assertion as a JWT in a string, got {type(assertion).__name__}, or an empty one",
        )
    if not (assertion.isascii() and assertion.isprintable()):  # RFC 7519, section 3
        raise ClientError(
            "client_assertion_invalid",
            "expected the client assertion as a JWT, got other characters, such as a line break at its end; "
            "strip() what a file says",
        )
    return assertion


def _signed_assertion(
    client_id: str, credential: ClientCertificate, metadata: ProviderMetadata, kind: AuthorityKind, now: float
) -> str:
    import uuid

    from joserfc import jwt

    key = _private_key(credential)
    algorithm = _algorithm(key, kind)
    header = {"alg": algorithm, **_thumbprint(credential.pem, kind)}
    claims = {
        "iss": client_id,
        "sub": client_id,
        # One audience that no other provider shares (RFC 7523, section 3, item 3); Microsoft's want the endpoint.
        "aud": metadata.issuer if kind == "oidc" else metadata.token_endpoint,
        "jti": str(uuid.uuid4()),
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + ASSERTION_LIFETIME,
    }
    return jwt.encode(header, claims, _jwk(key), algorithms=[algorithm])


def _private_key(credential: ClientCertificate) -> RSAPrivateKey | EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(credential.pem, credential.password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _invalid("a private key in PEM that the password opens", "none") from None
    if isinstance(key, RSAPrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise _invalid("an RSA key or an elliptic curve key on P-256", type(key).__name__)


def _algorithm(key: RSAPrivateKey | EllipticCurvePrivateKey, kind: AuthorityKind) -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(key, RSAPrivateKey):
        return "ES256"
    return "RS256" if kind in _WITHOUT_PSS else "PS256"


def _jwk(key: RSAPrivateKey | EllipticCurvePrivateKey) -> Any:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from joserfc.jwk import ECKey, RSAKey

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return RSAKey.import_key(pem) if isinstance(key, RSAPrivateKey) else ECKey.import_key(pem)


def _thumbprint(pem: bytes, kind: AuthorityKind) -> dict[str, str]:
    """The header that names the certificate (RFC 7515, sections 4.1.7 and 4.1.8); Microsoft's find the key by it."""
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    try:
        der = load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError:
        if kind != "oidc":
            raise _invalid("a certificate in the PEM beside the private key", "none") from None
        return {}
    name, digest = "x5t#S256", hashlib.sha256(der).digest()
    if kind in _WITHOUT_PSS:
        name, digest = "x5t", hashlib.sha1(der, usedforsecurity=False).digest()
    return {name: base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")}


def _invalid(expected: str, came: str) -> ClientError:
    return ClientError("client_certificate_invalid", f"expected {expected} as the client certificate, got {came}")
