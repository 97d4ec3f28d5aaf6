"""Every exception that warmtoken raises.

WarmTokenError
├── UiRequiredError         only the user can go on: sign in, consent, more factors
├── ServiceError            the identity provider answered, and said no
│   └── ThrottledError      it said: not now
├── ProtocolError           it answered, but not in the protocol
├── TransportError          it did not answer
├── ClientError             misuse that only run time can see
└── CacheError              the token cache could not do its work
    ├── CacheFullError      no room in the map, on the disk or under the quota
    ├── CacheCorruptError   the file is damaged, or not ours
    ├── CacheLockedError    another process keeps a lock past the deadline
    └── CacheRefusedError   wrong key, wrong owner or mode, unsafe path

Wrong types and values of arguments are plain TypeError and ValueError.
No message, attribute or repr of these classes holds a token or a key.
"""

from __future__ import annotations

from typing import Any


class WarmTokenError(Exception):
    """The root of all errors of this library.

    `code` is a constant string that programs may compare (MSAL's string where MSAL has one).
    `correlation_id` names the request at the identity provider, where there was one.
    """

    def __init__(self, code: str, message: str, *, correlation_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.correlation_id = correlation_id

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, message={self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[WarmTokenError], args: tuple[Any, ...], state: dict[str, Any]) -> WarmTokenError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UiRequiredError(WarmTokenError):
    """No token can be had without the user: catch this one, then sign in interactively.

    `classification` says what kind of interaction helps (MSAL.NET's UiRequiredExceptionClassification in
    snake case; "acquire_token_silent_failed" where this library, not the provider, found that out).
    `claims` is the provider's claims challenge, to be passed on to the interactive call.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        classification: str = "none",
        claims: str | None = None,
        suberror: str | None = None,
        error_description: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(code, message, correlation_id=correlation_id)
        self.classification = classification
        self.claims = claims
        self.suberror = suberror
        self.error_description = error_description


class ServiceError(WarmTokenError):
    """The identity provider refused the request (RFC 6749, section 5.2).

    `status` is the HTTP status; `error`, `error_description` and `suberror` are the provider's words;
    `error_codes` are numeric codes where the provider gives any (Entra's AADSTS numbers).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int,
        error: str | None = None,
        error_description: str | None = None,
        suberror: str | None = None,
        error_codes: tuple[int, ...] = (),
        is_retryable: bool = False,
        claims: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(code, message, correlation_id=correlation_id)
        self.status = status
        self.error = error
        self.error_description = error_description
        self.suberror = suberror
        self.error_codes = error_codes
        self.is_retryable = is_retryable
        self.claims = claims


class ThrottledError(ServiceError):
    """The provider asks to wait; `retry_after` is in seconds from now, None if it did not say.

    Also raised without a request, with what the provider said before, as long as that holds for all processes.
    """

    retry_after: float | None = None


class ProtocolError(WarmTokenError):
    """The provider's reply breaks the protocol: not JSON, a field missing or of the wrong type, a wrong issuer."""


class TransportError(WarmTokenError):
    """No reply: the name did not resolve, the connection was refused or cut, TLS failed, time ran out."""


class ClientError(WarmTokenError):
    """The program asked for something that cannot be: a foreign authority, no browser, a closed application."""


class CacheError(WarmTokenError):
    """The token cache could not do its work; the file is as it was."""


class CacheFullError(CacheError):
    """No room: the disk, the map's limit or the quota."""


class CacheCorruptError(CacheError):
    """The file is damaged or is not a warmtoken cache."""


class CacheLockedError(CacheError):
    """A lock was not free before the deadline."""


class CacheRefusedError(CacheError):
    """The cache must not be used as it is: wrong key, wrong owner, open permissions, a link in the path."""
