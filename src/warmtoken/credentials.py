"""How a confidential client proves itself; loaded by those programs alone that are one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
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


@dataclass(frozen=True, slots=True)
class AppTokenProviderParameters:
    """What a program's token provider is asked for (MSAL.NET's class of this name).

    `scopes` are as the caller typed them. `tenant_id` is the tenant by id or name, None where the authority has none.
    `claims` is the `claims` parameter of OAuth requests, a JSON object: an API's challenge, the client's own claims and
    its capabilities in one; None where there are none.
    """

    scopes: tuple[str, ...]
    tenant_id: str | None
    correlation_id: str
    claims: str | None = None


@dataclass(frozen=True, slots=True)
class AppTokenProviderResult:
    """What a program's token provider returns; times are in seconds from the moment of the call.

    `refresh_in` is when to ask for the next token in the background; None is half of the life of a token that lasts for
    two hours or more, and never for others (MSAL.NET's rule). The repr shows no token.
    """

    access_token: str = field(repr=False)
    expires_in: float
    refresh_in: float | None = None


_Provided = AppTokenProviderResult | Awaitable[AppTokenProviderResult]


@dataclass(frozen=True, slots=True)
class AppTokenProvider:
    """A function of the program's that gets the client's own tokens, in the place of requests to the authority.

    It is called where the cache has none, in a thread under asyncio, where it may be a coroutine function too; once for
    all threads, tasks and processes (docs/token-provider.md).
    """

    function: Callable[[AppTokenProviderParameters], _Provided] = field(repr=False)


ClientCredential = ClientSecret | ClientCertificate | ClientAssertion | AppTokenProvider


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
        case AppTokenProvider(function):
            if not callable(function):
                raise TypeError(f"expected function of the credential to be callable, got {type(function).__name__}")
        case _:
            raise TypeError(f'expected credential such as ClientSecret("..."), got {type(credential).__name__}')


def _check(name: str, value: object, kind: type[str] | type[bytes]) -> None:
    # An environment variable that is not set would be sent as "None", and be refused only there.
    if not isinstance(value, kind):
        raise TypeError(f"expected {name} of the credential to be {kind.__name__}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"expected {name} of the credential to have something in it, got an empty {kind.__name__}")
    if isinstance(value, str) and not value.isascii():
        from warmtoken.texts import is_unicode

        if not is_unicode(value):
            raise ValueError(f"expected {name} of the credential to be text that UTF-8 can encode")
