"""What a running MSAL application puts into its cache, as records and the places where they lie.

Its entries are taken as they are: `msal_entries` has the checks for those of a file. A realm that the store has
another name for is kept in `extra`, with all that a record has no field for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.cache.records import AccessTokenRecord, AccountRecord, AppRecord, IdTokenRecord, RefreshTokenRecord
from warmtoken.cache.sealing import RecordType
from warmtoken.interop.msal_bindings import ASSERTION, COMPONENTS, HASHES, binding_of
from warmtoken.interop.msal_entries import (
    access_token_entry,
    account_entry,
    app_entry,
    id_token_entry,
    refresh_token_entry,
    to_json,
)
from warmtoken.interop.msal_reasons import Entry
from warmtoken.protocol.authority import CIAM_SUFFIX, TENANTLESS, cloud_name

_USER = ("home_account_id", "environment")
_TOKEN = (*_USER, "credential_type", "client_id", "secret")
_KNOWN: dict[RecordType, frozenset[str]] = {
    RecordType.ACCESS_TOKEN: frozenset(
        (*_TOKEN, "realm", "target", "cached_at", "expires_on", "refresh_on", "token_type", "key_id", *HASHES)
    ),
    RecordType.REFRESH_TOKEN: frozenset((*_TOKEN, "target", "family_id", "last_modification_time", "key_id")),
    RecordType.ID_TOKEN: frozenset((*_TOKEN, "realm")),
    RecordType.ACCOUNT: frozenset(
        (*_USER, "realm", "local_account_id", "username", "name", "authority_type", "account_source")
    ),
    RecordType.APP: frozenset(("client_id", "environment", "family_id")),
}

_FURTHEST = 10**12  # Unix seconds, beyond which no record goes

_BINDINGS = frozenset((*HASHES, COMPONENTS, ASSERTION))


@lru_cache(maxsize=1024)
def authority_name(environment: str, realm: str) -> str:
    """Return what the cache calls the authority at a host, as far as MSAL's entries tell.

    One name for all hosts of an Entra cloud; AD FS is told by its realm; Entra External ID has the host; else it is an
    issuer at the root of its host.
    """
    cloud = cloud_name(environment)
    if cloud is not None:
        return cloud
    if environment.endswith(CIAM_SUFFIX):
        return environment
    return f"https://{environment}/adfs" if realm.lower() == "adfs" else f"https://{environment}"


def stored_realm(environment: str, realm: str, home_account_id: str) -> str:
    """Return the realm under which the store keeps what MSAL has under another.

    `common` and `organizations` stand for the user's home tenant (MSAL.NET's rule); AD FS has no realms.
    """
    if cloud_name(environment) is None:
        return "" if realm.lower() == "adfs" else realm
    _, dot, home_tenant = home_account_id.rpartition(".")
    return home_tenant if realm.lower() in TENANTLESS and dot else realm


def realms_of(environment: str, realm: str, home_account_id: str) -> list[str]:
    """Return the realms under which the store may have what MSAL has under one, that of `stored_realm` first."""
    first = stored_realm(environment, realm, home_account_id)
    # An import puts what it takes for tokens of an issuer without tenants into no realm.
    return [first] if cloud_name(environment) is not None else list(dict.fromkeys((first, "")))


def binding(fields: Mapping[str, Any]) -> str:
    """Return the extended key that the fields of an entry, or of a query, stand for."""
    return "" if _BINDINGS.isdisjoint(fields) else binding_of(dict(fields))


def owner_of(entry: Mapping[str, Any], authority: str) -> Owner:
    """Return whose an entry is; accounts do not say of which client."""
    return Owner(authority, _text(entry, "client_id"), _text(entry, "home_account_id") or None)


def slot_of(entry: Mapping[str, Any], authority: str) -> Slot:
    """Return where an access token lies."""
    owner = owner_of(entry, authority)
    realm = stored_realm(_text(entry, "environment"), _text(entry, "realm"), owner.home_account_id or "")
    token_type = _text(entry, "token_type") or "Bearer"
    return Slot(owner, realm, token_type, _text(entry, "key_id"), binding(entry))


def access_token_record(entry: Mapping[str, Any], local_account_id: str = "") -> AccessTokenRecord:
    """Return the record of an access token; ValueError where a time is no number."""
    user, environment, client, realm, secret = _token_fields(entry)
    return AccessTokenRecord(
        user,
        environment,
        client,
        stored_realm(environment, realm, user),
        _text(entry, "target"),
        secret,
        _number(entry, "cached_at"),
        _number(entry, "expires_on"),
        _number(entry, "refresh_on"),
        _text(entry, "token_type") or "Bearer",
        _text(entry, "key_id"),
        binding(entry),
        local_account_id,
        _extra(RecordType.ACCESS_TOKEN, entry),
    )


def refresh_token_record(entry: Mapping[str, Any]) -> RefreshTokenRecord:
    """Return the record of a refresh token; ValueError where a time is no number."""
    user, environment, client, _, secret = _token_fields(entry)
    return RefreshTokenRecord(
        user,
        environment,
        client,
        secret,
        _text(entry, "target"),
        _text(entry, "family_id"),
        _number(entry, "last_modification_time"),
        _text(entry, "key_id"),
        _extra(RecordType.REFRESH_TOKEN, entry),
    )


def id_token_record(entry: Mapping[str, Any]) -> IdTokenRecord:
    """Return the record of an id token."""
    user, environment, client, realm, secret = _token_fields(entry)
    kept = stored_realm(environment, realm, user)
    return IdTokenRecord(user, environment, client, kept, secret, _extra(RecordType.ID_TOKEN, entry))


def account_record(entry: Mapping[str, Any]) -> AccountRecord:
    """Return the record of an account."""
    user, environment = _text(entry, "home_account_id"), _text(entry, "environment")
    return AccountRecord(
        user,
        environment,
        stored_realm(environment, _text(entry, "realm"), user),
        _text(entry, "local_account_id"),
        _text(entry, "username"),
        _text(entry, "name"),
        _text(entry, "authority_type"),
        _text(entry, "account_source"),
        _extra(RecordType.ACCOUNT, entry),
    )


def app_record(entry: Mapping[str, Any]) -> AppRecord:
    """Return the record of what is known of a client."""
    texts = (_text(entry, "client_id"), _text(entry, "environment"), _text(entry, "family_id"))
    return AppRecord(*texts, _extra(RecordType.APP, entry))


def _token_fields(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    names = ("home_account_id", "environment", "client_id", "realm", "secret")
    user, environment, client, realm, secret = (_text(entry, name) for name in names)
    return user, environment, client, realm, secret


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return "" if value is None else str(value)


def _number(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    return max(0, min(int(value), _FURTHEST)) if value else 0


def _extra(kind: RecordType, entry: Mapping[str, Any]) -> str:
    extra = {name: value for name, value in entry.items() if name not in _KNOWN[kind]}
    if extra.get("extended_expires_on") == entry.get("expires_on"):
        extra.pop("extended_expires_on", None)  # as `msal_entries` has it
    realm, user = _text(entry, "realm"), _text(entry, "home_account_id")
    if realm and stored_realm(_text(entry, "environment"), realm, user) != realm:
        extra["realm"] = realm
    return to_json(extra) if extra else ""


_ENTRY_OF: dict[RecordType, Callable[[Any], Entry]] = {
    RecordType.ACCESS_TOKEN: access_token_entry,
    RecordType.REFRESH_TOKEN: refresh_token_entry,
    RecordType.ID_TOKEN: id_token_entry,
    RecordType.ACCOUNT: account_entry,
    RecordType.APP: app_entry,
}


def entry_of(kind: RecordType, record: Any) -> Entry:
    """Return MSAL Python's entry of a record."""
    entry = _ENTRY_OF[kind](record)
    if entry.get("client_id") == "":
        entry["client_id"] = None  # a managed identity of the machine's own
    return entry


KIND_OF: dict[str, RecordType] = {
    "AccessToken": RecordType.ACCESS_TOKEN,
    "RefreshToken": RecordType.REFRESH_TOKEN,
    "IdToken": RecordType.ID_TOKEN,
    "Account": RecordType.ACCOUNT,
    "AppMetadata": RecordType.APP,
}
