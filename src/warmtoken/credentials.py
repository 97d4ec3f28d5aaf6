"""How a confidential client proves itself; loaded by those programs alone that are one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A confidential client's password (RFC 6749, section 2.3.1)."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A confidential client's key pair, as PEM; used to sign client assertions (RFC 7523)."""

    pem: bytes = field(repr=False)
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A signed client assertion, or a callable that makes one for each request (RFC 7523)."""

    assertion: str | Callable[[], str] = field(repr=False)


ClientCredential = ClientSecret | ClientCertificate | ClientAssertion


def check_credential(credential: object) -> None:
    """Refuse what is no credential, or an empty one, with a TypeError or ValueError that shows nothing of it."""
    match credential:
        case ClientSecret(secret):
            _check("secret", secret, str)
        case ClientAssertion(assertion):
            if not callable(assertion):
                _check("assertion", assertion, str)
        case ClientCertificate(pem, password):
            _check("pem", pem, bytes)
            if password is not None:
                _check("password", password, bytes)
        case _:
            raise TypeError(f'expected credential such as ClientSecret("..."), got {type(credential).__name__}')


def _check(name: str, value: object, kind: type[str] | type[bytes]) -> None:
    # An environment variable that is not set would be sent as "None", and be refused only there.
    if not isinstance(value, kind):
        raise TypeError(f"expected {name} of the credential to be {kind.__name__}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"expected {name} of the credential to have something in it, got an empty {kind.__name__}")
