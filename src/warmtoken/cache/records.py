"""What the cache stores, and how a record becomes bytes.

The fields are those of MSAL's unified cache schema; `extra` keeps fields that this library does not know, as JSON.
Times are Unix seconds. An absent value is "" or 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from warmtoken._engine import join_fields, split_fields

if TYPE_CHECKING:
    from warmtoken.cache.sessions import SessionRecord

PADDING = 256


class AccessTokenRecord(NamedTuple):
    """An access token; `target` holds the granted scopes, joined by blanks."""

    home_account_id: str
    environment: str
    client_id: str
    realm: str
    target: str
    secret: str
    cached_at: int
    expires_on: int
    refresh_on: int = 0
    token_type: str = "Bearer"
    key_id: str = ""
    extended_key: str = ""
    local_account_id: str = ""
    extra: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class RefreshTokenRecord(NamedTuple):
    """A refresh token; `family_id` is set where all clients of a family may use it."""

    home_account_id: str
    environment: str
    client_id: str
    secret: str
    target: str = ""
    family_id: str = ""
    last_modification_time: int = 0
    key_id: str = ""
    extra: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class IdTokenRecord(NamedTuple):
    """An id token as it came."""

    home_account_id: str
    environment: str
    client_id: str
    realm: str
    secret: str
    extra: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class AccountRecord(NamedTuple):
    """A user as seen in one realm."""

    home_account_id: str
    environment: str
    realm: str
    local_account_id: str = ""
    username: str = ""
    name: str = ""
    authority_type: str = ""
    account_source: str = ""
    extra: str = ""


class AppRecord(NamedTuple):
    """What the provider said about the client."""

    client_id: str
    environment: str
    family_id: str = ""
    extra: str = ""


class NoteRecord(NamedTuple):
    """Why the provider is not asked again for a while: what it answered, and when (Unix milliseconds).

    `status` is 0 where the user is needed; `error_codes` are joined by blanks.
    """

    noted_ms: int
    status: int
    code: str
    message: str
    correlation_id: str = ""
    error: str = ""
    error_description: str = ""
    suberror: str = ""
    error_codes: str = ""
    classification: str = ""
    claims: str = ""
    extra: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class SectionRecord(NamedTuple):
    """A section of another library's cache that this one does not know, as JSON."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class ClientRecord(NamedTuple):
    """That a client has had tokens of this type, under this name of the authority and this host."""

    authority: str
    client_id: str
    environment: str
    token_type: str = "Bearer"
    extra: str = ""


Record = (
    AccessTokenRecord
    | RefreshTokenRecord
    | IdTokenRecord
    | AccountRecord
    | AppRecord
    | NoteRecord
    | SectionRecord
    | ClientRecord
)


def encode(record: Record | SessionRecord) -> bytes:
    """Return the record's plaintext: a count, the fields' lengths, the fields as UTF-8, zeros up to a full step.

    The padding hides the length of a token but for its size class.
    """
    return join_fields(record, PADDING)


def decode_access_token(plain: bytes) -> AccessTokenRecord:
    """Return the access token in a record's plaintext, which has been verified."""
    user, environment, client, realm, target, secret, cached, expires, refresh, *rest = split_fields(plain)
    times = int(cached), int(expires), int(refresh)
    return AccessTokenRecord(user, environment, client, realm, target, secret, *times, *rest[:5])


def decode_id_token(plain: bytes) -> IdTokenRecord:
    """Return the id token in a record's plaintext, which has been verified."""
    return IdTokenRecord(*split_fields(plain)[:6])


def decode_client(plain: bytes) -> ClientRecord:
    """Return what is known of a client in a record's plaintext, which has been verified."""
    return ClientRecord(*split_fields(plain)[:5])


def decode_refresh_token(plain: bytes) -> RefreshTokenRecord:
    """Return the refresh token in a record's plaintext, which has been verified."""
    user, environment, client, secret, target, family, modified, *rest = split_fields(plain)
    return RefreshTokenRecord(user, environment, client, secret, target, family, int(modified), *rest[:2])


def decode_account(plain: bytes) -> AccountRecord:
    """Return the account in a record's plaintext, which has been verified."""
    return AccountRecord(*split_fields(plain)[:9])


def decode_app(plain: bytes) -> AppRecord:
    """Return the client's metadata in a record's plaintext, which has been verified."""
    return AppRecord(*split_fields(plain)[:4])


def decode_note(plain: bytes) -> NoteRecord:
    """Return the note in a record's plaintext, which has been verified."""
    noted, status, *rest = split_fields(plain)
    return NoteRecord(int(noted), int(status), *rest[:10])


def decode_section(plain: bytes) -> SectionRecord:
    """Return the section in a record's plaintext, which has been verified."""
    return SectionRecord(*split_fields(plain)[:2])
