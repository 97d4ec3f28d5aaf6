"""Makes the throw-away keys that the provider and its clients need: `python mkkeys.py DIRECTORY`."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, RSAKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def make_keys(directory: Path) -> None:
    """Write the key pair of `svc-jwt`, the client certificate of `svc-mtls` and the server's own certificate."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_assertion_keys(directory)
    _write_client_certificate(directory)
    _write_server_certificate(directory)


def _write_assertion_keys(directory: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    (directory / "svc-jwt.pem").write_bytes(_pem(key) + _certificate(key, "svc-jwt").public_bytes(Encoding.PEM))
    (directory / "svc-jwt.pub.jwks.json").write_text(json.dumps(_key_set(key)))


def _write_client_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key, "svc-mtls")
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    (directory / "svc-mtls.pem").write_bytes(_pem(key) + certificate.public_bytes(Encoding.PEM))
    (directory / "svc-mtls.pub.jwks.json").write_text(json.dumps(_key_set(key, chain)))


def _write_server_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (directory / "server.key").write_bytes(_pem(key))
    (directory / "server.crt").write_bytes(_certificate(key, "127.0.0.1").public_bytes(Encoding.PEM))


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(key: PrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _key_set(key: PrivateKey, chain: list[str] | None = None) -> dict[str, object]:
    kind = RSAKey if isinstance(key, rsa.RSAPrivateKey) else ECKey
    public: dict[str, object] = dict(kind.import_key(_pem(key)).as_dict(private=False))
    return {"keys": [public | {"use": "sig"} | ({"x5c": chain} if chain else {})]}


if __name__ == "__main__":
    make_keys(Path(sys.argv[1]))
