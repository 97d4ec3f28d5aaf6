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
    """Refuse what is no credential with a TypeError that shows nothing of it."""
    if not isinstance(credential, ClientCredential):
        raise TypeError(f'expected credential such as ClientSecret("..."), got {type(credential).__name__}')
