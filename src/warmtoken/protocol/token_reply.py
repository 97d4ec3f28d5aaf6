"""Token replies, read strictly (RFC 6749, section 5.1)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from warmtoken.errors import ProtocolError
from warmtoken.protocol.json_object import parse_base64url_object
from warmtoken.protocol.reply_body import read_json_reply
from warmtoken.protocol.service_error import error_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warmtoken.transport import HttpResponse

DEFAULT_LIFETIME = 300
MAX_LIFETIME = 90 * 24 * 3600

_READ = frozenset(
    {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_in",
        "scope",
        "refresh_token",
        "id_token",
        "client_info",
        "foci",
    }
)
_USER = frozenset({"uid", "utid"})  # what client_info is read for
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")  # RFC 6749, appendix A.17
_TOKEN_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # an auth-scheme: RFC 9110, section 11.1
_NUMBER = re.compile(r"[0-9]{1,300}(\.[0-9]{1,300})?")


@dataclass(frozen=True, slots=True)
class TokenReply:
    """What the token endpoint granted; the repr shows no token.

    `expires_in` and `refresh_in` are in seconds from the reply. `scopes` is None where the reply names none, which
    means those asked for (RFC 6749, section 5.1). `client_info` is Entra's, decoded; `family_id` Entra's `foci`.
    `extra` holds the fields that are not read here.
    """

    access_token: str = field(repr=False)
    token_type: str
    expires_in: int
    refresh_in: int | None = None
    scopes: tuple[str, ...] | None = None
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)
    client_info: dict[str, Any] | None = field(default=None, repr=False)
    family_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    def more(self) -> tuple[tuple[str, str | int | float | bool], ...]:
        """Return the texts, numbers and truth values that nothing here reads, client_info's too (MSAL.NET)."""
        client_info = {name: value for name, value in (self.client_info or {}).items() if name not in _USER}
        fields = {**client_info, **self.extra}
        return tuple((name, value) for name, value in fields.items() if isinstance(value, str | int | float))


def parse_token_reply(
    response: HttpResponse,
    *,
    correlation_id: str | None = None,
    secrets: Sequence[str] = (),
    now: float | None = None,
    token_type: str = "Bearer",  # noqa: S107  the name of a scheme
) -> TokenReply:
    """Return what a token endpoint granted.

    `secrets` are what the request carried, `now` (Unix seconds) and `token_type` what it expects. Raises the errors
    of `service_error.error_from` where the reply is a refusal, and ProtocolError where it breaks the protocol; no
    message holds a value of the reply.
    """
    if response.status != 200:
        raise error_from(response, correlation_id=correlation_id, secrets=secrets, now=now)
    fields = read_json_reply(response, "a token reply", correlation_id=correlation_id)
    if "error" in fields and "access_token" not in fields:  # some servers refuse with status 200
        raise error_from(response, correlation_id=correlation_id, secrets=secrets, now=now)
    return read_granted(fields, correlation_id=correlation_id, token_type=token_type)


def read_granted(
    fields: dict[str, Any],
    *,
    correlation_id: str | None = None,
    token_type: str = "Bearer",  # noqa: S107  the name of a scheme
) -> TokenReply:
    """Return what the fields of a token reply say; raises ProtocolError where they break the protocol."""
    reader = _Reader(fields, correlation_id)
    return TokenReply(
        access_token=reader.access_token(),
        token_type=reader.token_type(token_type),
        expires_in=reader.lifetime("expires_in") if reader.has("expires_in") else DEFAULT_LIFETIME,
        refresh_in=reader.lifetime("refresh_in") if reader.has("refresh_in") else None,
        scopes=reader.scopes(),
        refresh_token=reader.optional_text("refresh_token"),
        id_token=reader.optional_text("id_token"),
        client_info=reader.client_info(),
        family_id=reader.optional_text("foci"),
        extra={name: value for name, value in fields.items() if name not in _READ},
    )


def is_access_token(value: object) -> TypeGuard[str]:
    """Tell whether a value can be sent as an access token."""
    # What is not visible ASCII could add lines to the Authorization header that it goes into.
    return isinstance(value, str) and _VISIBLE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class _Reader:
    fields: dict[str, Any] = field(repr=False)
    correlation_id: str | None

    def has(self, name: str) -> bool:
        return self.fields.get(name) is not None

    def access_token(self) -> str:
        token = self.fields.get("access_token")
        if token in (None, ""):
            raise self._error("access_token_missing", "an access_token", "none")
        if not is_access_token(token):
            raise self._error("access_token_invalid", "an access_token of visible ASCII characters", "another value")
        return token

    def token_type(self, expected: str) -> str:
        value = self.fields.get("token_type")
        if value in (None, ""):
            raise self._error("token_type_missing", "a token_type", "none")
        if not isinstance(value, str) or not _TOKEN_TYPE.fullmatch(value):
            raise self._error("token_type_invalid", "a token_type that is an authentication scheme", "another value")
        if value.lower() != expected.lower():  # RFC 6749, section 7.1: do not use a type that is not understood
            raise self._error("token_type_mismatch", f"token_type {expected}", value)
        return expected

    def lifetime(self, name: str) -> int:
        value = self.fields[name]
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value < 0:
            raise self._error(f"{name}_invalid", f"{name} as a number of seconds", "another value")
        return int(min(value, MAX_LIFETIME))

    def scopes(self) -> tuple[str, ...] | None:
        value = self.fields.get("scope")
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._error("scope_invalid", "scope as a string", "another type")
        return tuple(dict.fromkeys(value.split()))

    def optional_text(self, name: str) -> str | None:
        value = self.fields.get(name)
        if value in (None, ""):
            return None
        if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
            raise self._error(f"{name}_invalid", f"{name} of printable ASCII characters", "another value")
        return value

    def client_info(self) -> dict[str, Any] | None:
        text = self.optional_text("client_info")
        if text is None:
            return None
        try:
            return parse_base64url_object(text)
        except ValueError as error:
            raise self._error("client_info_invalid", "client_info as a base64url JSON object", str(error)) from None

    def _error(self, code: str, expected: str, came: str) -> ProtocolError:
        message = f"expected {expected} in the token reply, got {came}; the identity provider breaks RFC 6749"
        return ProtocolError(code, message, correlation_id=self.correlation_id)
