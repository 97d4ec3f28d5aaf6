from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from warmtoken.credentials import ClientAssertion, ClientCertificate, ClientSecret
from warmtoken.errors import ClientError
from warmtoken.protocol.client_authentication import ASSERTION_TYPE, Client, authenticate
from warmtoken.protocol.discovery import ProviderMetadata

NOW = 1_800_000_000.7
METADATA = ProviderMetadata("https://idp.example.test", "https://idp.example.test/a", "https://idp.example.test/token")


def metadata(*methods):
    return ProviderMetadata(
        METADATA.issuer, METADATA.authorization_endpoint, METADATA.token_endpoint, token_endpoint_auth_methods=methods
    )


def prove(credential, *, kind="oidc", methods=(), client_id="app"):
    return authenticate(Client(client_id, credential), metadata(*methods), kind=kind, now=NOW)


def key_pem(key, password=None):
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def certificate_of(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


@pytest.fixture(scope="module", params=["rsa", "ec"])
def key(request):
    return rsa.generate_private_key(65537, 2048) if request.param == "rsa" else ec.generate_private_key(ec.SECP256R1())


def test_public_client():
    assert prove(None) == ({}, {"client_id": "app"})


@pytest.mark.parametrize(
    ("kind", "methods", "basic"),
    [
        pytest.param("oidc", (), True, id="unsaid"),
        pytest.param("oidc", ("client_secret_post", "client_secret_basic"), True, id="both"),
        pytest.param("oidc", ("client_secret_post",), False, id="post only"),
        pytest.param("oidc", ("private_key_jwt",), False, id="neither"),
        pytest.param("entra", (), False, id="entra"),
        pytest.param("entra", ("client_secret_basic",), False, id="entra whatever it says"),
        pytest.param("b2c", ("client_secret_post", "client_secret_basic"), False, id="b2c whatever it says"),
        pytest.param("ciam", (), False, id="ciam"),
        pytest.param("dsts", (), False, id="dsts"),
        pytest.param("adfs", ("client_secret_post", "client_secret_basic"), True, id="adfs"),
    ],
)
def test_where_the_secret_goes(kind, methods, basic):
    headers, fields = prove(ClientSecret("s"), kind=kind, methods=methods)
    if basic:
        assert (headers, fields) == ({"authorization": "Basic YXBwOnM="}, {})
    else:
        assert (headers, fields) == ({}, {"client_id": "app", "client_secret": "s"})


def test_basic_is_form_encoded_first():
    """RFC 6749, section 2.3.1: what would end the client id, or is not ASCII, is encoded."""
    headers, _ = prove(ClientSecret("p:%+ é"), client_id="a:b")
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"a%3Ab:p%3A%25%2B+%C3%A9"


@pytest.mark.parametrize("assertion", ["a.b.c", lambda: "a.b.c"])
def test_given_assertion(assertion):
    expected = {"client_id": "app", "client_assertion_type": ASSERTION_TYPE, "client_assertion": "a.b.c"}
    assert prove(ClientAssertion(assertion)) == ({}, expected)


def test_an_assertion_callable_is_called_for_each_request():
    made = iter(["one", "two"])
    credential = ClientAssertion(lambda: next(made))
    assert [prove(credential)[1]["client_assertion"] for _ in range(2)] == ["one", "two"]


@pytest.mark.parametrize(
    "assertion", ["", lambda: "", lambda: None, lambda: b"a.b.c", lambda: "a.b.c\n", lambda: "\udc80.b.c"]
)
def test_assertions_that_are_none(assertion):
    with pytest.raises(ClientError) as caught:
        prove(ClientAssertion(assertion))
    assert caught.value.code == "client_assertion_invalid"


@pytest.mark.parametrize(("kind", "audience"), [("oidc", METADATA.issuer), ("entra", METADATA.token_endpoint)])
@pytest.mark.parametrize("password", [None, b"hunter2"])
def test_certificate(key, kind, audience, password):
    certificate = certificate_of(key)
    pem = certificate.public_bytes(Encoding.PEM) + key_pem(key, password)
    headers, fields = prove(ClientCertificate(pem, password), kind=kind)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    verifier, algorithm = (RSAKey, "PS256") if isinstance(key, rsa.RSAPrivateKey) else (ECKey, "ES256")
    token = jwt.decode(fields.pop("client_assertion"), verifier.import_key(public), algorithms=[algorithm])
    assert headers == {}
    assert fields == {"client_id": "app", "client_assertion_type": ASSERTION_TYPE}
    assert token.header["alg"] == algorithm
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    assert token.header["x5t#S256"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert len(token.claims.pop("jti")) == 36
    now = int(NOW)
    assert token.claims == {"iss": "app", "sub": "app", "aud": audience, "iat": now, "nbf": now, "exp": now + 300}


@pytest.mark.parametrize("kind", ["dsts", "adfs"])
def test_where_pss_is_not_known_an_rsa_key_signs_the_older_way(kind):
    """MSAL.NET: RS256 and the SHA-1 thumbprint at AD FS and dSTS; Entra, B2C and External ID take PS256."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = certificate_of(key)
    credential = ClientCertificate(certificate.public_bytes(Encoding.PEM) + key_pem(key))
    _, fields = prove(credential, kind=kind)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = jwt.decode(fields["client_assertion"], RSAKey.import_key(public), algorithms=["RS256"])
    digest = hashlib.sha1(certificate.public_bytes(Encoding.DER)).digest()
    assert token.header == {
        "typ": "JWT", "alg": "RS256", "x5t": base64.urlsafe_b64encode(digest).decode().rstrip("=")
    }  # fmt: skip
    assert token.claims["aud"] == METADATA.token_endpoint
    for other in ("entra", "b2c", "ciam"):
        assert _header(prove(credential, kind=other)).keys() == {"typ", "alg", "x5t#S256"}


def test_the_key_may_stand_before_the_certificate(key):
    pem = key_pem(key) + certificate_of(key).public_bytes(Encoding.PEM)
    assert "x5t#S256" in _header(prove(ClientCertificate(pem), kind="entra"))


def test_each_assertion_is_fresh(key):
    credential = ClientCertificate(key_pem(key))
    assert prove(credential)[1]["client_assertion"] != prove(credential)[1]["client_assertion"]


def test_a_key_alone_is_enough_outside_entra(key):
    credential = ClientCertificate(key_pem(key))
    assert "x5t#S256" not in _header(prove(credential))
    with pytest.raises(ClientError, match="a certificate in the PEM") as caught:
        prove(credential, kind="entra")
    assert caught.value.code == "client_certificate_invalid"


P384 = key_pem(ec.generate_private_key(ec.SECP384R1()))
ED25519 = key_pem(ed25519.Ed25519PrivateKey.generate())
LOCKED = key_pem(ec.generate_private_key(ec.SECP256R1()), b"right")


@pytest.mark.parametrize(
    ("pem", "password"),
    [
        pytest.param(b"", None, id="empty"),
        pytest.param(b"canary", None, id="no PEM"),
        pytest.param(P384, None, id="another curve"),
        pytest.param(ED25519, None, id="another kind of key"),
        pytest.param(LOCKED, None, id="no password"),
        pytest.param(LOCKED, b"canary", id="wrong password"),
        pytest.param(P384, b"canary", id="password without need"),
    ],
)
def test_certificates_that_cannot_be_used(pem, password):
    with pytest.raises(ClientError) as caught:
        prove(ClientCertificate(pem, password))
    assert caught.value.code == "client_certificate_invalid"
    assert "canary" not in str(caught.value)


def test_repr_shows_no_secret():
    assert "canary" not in repr(Client("app", ClientSecret("canary")))


def _header(proof):
    encoded = proof[1]["client_assertion"].split(".")[0]
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
