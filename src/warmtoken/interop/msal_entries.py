"""One entry of an MSAL cache as a record of ours, and a record as an entry: fields, no policy.

Entries follow the unified schema as all MSALs read and write it; `entry_of` writes what MSAL Python would. A record's
`extra` is a JSON object of the fields that go before those made from the record: what this library does not know, and
what it reads otherwise than it was written (a time that is no number, a realm that stands for another).
"""

from __future__ import annotations

import base64
import json
import re
from typing import cast

from warmtoken.cache.extended_key import components_of
from warmtoken.cache.records import (
    AccessTokenRecord,
    AccountRecord,
    AppRecord,
    IdTokenRecord,
    RefreshTokenRecord,
)
from warmtoken.interop.msal_bindings import (
    ASSERTION,
    CANONICAL,
    COMPONENTS,
    HASHES,
    binding_of,
    hash_of,
    sent_components,
)
from warmtoken.interop.msal_reasons import Entry, Reason, Unfit, checked_text
from warmtoken.protocol.json_object import parse_base64url_object

WithExtra = AccessTokenRecord | RefreshTokenRecord | IdTokenRecord | AccountRecord | AppRecord

KEY_ID_NAMES = ("key_id", "kid", "keyid")  # MSAL Python and Node, .NET, Go

_VISIBLE = re.compile(r"[\x21-\x7e]+")  # RFC 6750, section 2.1
_PRINTABLE = re.compile(r"[\x20-\x7e]+")  # RFC 6749, appendix A.17
_TOKEN_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_NUMBER = re.compile(r"\s*(-?[0-9]{1,12})(?:\.[0-9]*)?\s*")


class _Fields:
    """The fields of an entry that nobody has read yet; null, "" and absent are the same."""

    def __init__(self, entry: object) -> None:
        if not isinstance(entry, dict):
            raise Unfit("not_an_object")
        self._left: Entry = dict(cast("Entry", entry))

    def text(self, name: str) -> str:
        return checked_text(self._left.pop(name, None))

    def required(self, name: str, missing: Reason) -> str:
        value = self.text(name)
        if not value:
            raise Unfit(missing)
        return value

    def time(self, name: str) -> int:
        """Return a time in Unix seconds, 0 where there is none or it is no number (MSAL.NET)."""
        value = self._left.pop(name, None)
        seconds = _seconds(value)
        if seconds is None or seconds < 0:
            self._left |= {name: value}
        return max(0, seconds or 0)

    def names(self) -> tuple[str, str, str]:
        user = self.text("home_account_id") or _user_in(self._left.get("client_info"))
        if self._left.get("client_info") in (None, "", client_info_of(user)):
            self._left.pop("client_info", None)
        environment = self.required("environment", "environment_missing").lower()
        return user, environment, self.required("client_id", "client_id_missing")

    def secret(self, allowed: re.Pattern[str]) -> str:
        # Other characters could add lines to the header or the log that it goes into.
        secret = self.required("secret", "secret_missing")
        if not allowed.fullmatch(secret):
            raise Unfit("secret_invalid")
        return secret

    def key_id(self) -> str:
        found = {value for name in KEY_ID_NAMES if (value := self.text(name))}
        if len(found) > 1:
            raise Unfit("key_id_ambiguous")
        return found.pop() if found else ""

    def token_type(self) -> str:
        value = self.text("token_type") or "Bearer"
        if not _TOKEN_TYPE.fullmatch(value):
            raise Unfit("field_invalid")
        return "Bearer" if value.lower() == "bearer" else value

    def drop(self, name: str, *values: object) -> None:
        """Forget a field that says one of these things, which can be told without it."""
        if name in self._left and (self._left[name] in (None, "") or self._left[name] in values):
            del self._left[name]

    def peek(self, name: str) -> object:
        return self._left.get(name)

    def extra(self) -> str:
        self._left.pop("credential_type", None)
        return to_json(self._left) if self._left else ""


def to_json(value: object) -> str:
    """Return a value as JSON: short, in ASCII, its names in order."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)


def extra_of(record: WithExtra) -> Entry:
    """Return the fields that a record's `extra` holds."""
    return cast("Entry", json.loads(record.extra)) if record.extra else {}


def _seconds(value: object) -> int | None:
    if value in (None, ""):
        return 0
    match = _NUMBER.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    return int(match[1]) if match else None


def client_info_of(home_account_id: str) -> str:
    """Return the client_info that stands for an account at Microsoft Entra, "" for any other."""
    uid, dot, utid = home_account_id.rpartition(".")
    if not dot:
        return ""
    return base64.urlsafe_b64encode(to_json({"uid": uid, "utid": utid}).encode()).decode().rstrip("=")


def _user_in(client_info: object) -> str:
    # MSAL.NET: an entry without home_account_id belongs to the account of its client_info.
    if not isinstance(client_info, str):
        return ""
    try:
        found = parse_base64url_object(client_info)
    except ValueError:
        return ""
    uid, utid = found.get("uid"), found.get("utid")
    return f"{uid}.{utid}" if isinstance(uid, str) and isinstance(utid, str) and uid and utid else ""


# --- entries as records --------------------------------------------------------------------------------------------


def access_token_of(entry: object) -> AccessTokenRecord:
    """Return the access token in an entry; raises Unfit."""
    fields = _Fields(entry)
    binding = binding_of(cast("Entry", entry))
    user, environment, client_id = fields.names()
    expires_on = _seconds(fields.peek("expires_on"))
    if not expires_on or expires_on < 0:
        raise Unfit("expires_on_invalid")
    _drop_what_follows(fields, binding, expires_on)
    return AccessTokenRecord(
        user,
        environment,
        client_id,
        fields.text("realm"),
        fields.text("target"),
        fields.secret(_VISIBLE),
        fields.time("cached_at"),
        fields.time("expires_on"),
        fields.time("refresh_on"),
        fields.token_type(),
        fields.key_id(),
        binding,
        extra=fields.extra(),
    )


def _drop_what_follows(fields: _Fields, binding: str, expires_on: int) -> None:
    components, sent = components_of(binding), sent_components(binding)
    fields.drop("ext_expires_on", fields.peek("extended_expires_on"), str(expires_on), expires_on)
    fields.drop("extended_expires_on", str(expires_on), expires_on)
    fields.drop(COMPONENTS, fields.peek(COMPONENTS))
    for name in HASHES:
        fields.drop(name, components.get(CANONICAL.get(name, name)), hash_of(sent) if sent else None)
    fields.drop(ASSERTION, components.get(ASSERTION))


def refresh_token_of(entry: object) -> RefreshTokenRecord:
    """Return the refresh token in an entry; raises Unfit. What binds it stays in `extra`."""
    fields = _Fields(entry)
    names = fields.names()
    _check_user(names[0])
    return RefreshTokenRecord(
        *names,
        fields.secret(_PRINTABLE),
        fields.text("target"),
        fields.text("family_id"),
        fields.time("last_modification_time"),
        fields.key_id(),
        fields.extra(),
    )


def id_token_of(entry: object) -> IdTokenRecord:
    """Return the id token in an entry; raises Unfit."""
    fields = _Fields(entry)
    names = fields.names()
    _check_user(names[0])
    return IdTokenRecord(*names, fields.text("realm"), fields.secret(_PRINTABLE), fields.extra())


def account_of(entry: object) -> AccountRecord:
    """Return the account in an entry; raises Unfit."""
    fields = _Fields(entry)
    user = fields.text("home_account_id") or _user_in(fields.peek("client_info"))
    _check_user(user)
    fields.drop("client_info", client_info_of(user))
    return AccountRecord(
        user,
        fields.required("environment", "environment_missing").lower(),
        fields.text("realm"),
        fields.text("local_account_id"),
        fields.text("username"),
        fields.text("name"),
        fields.text("authority_type"),
        fields.text("account_source"),
        fields.extra(),
    )


def app_of(entry: object) -> AppRecord:
    """Return what an entry says of a client; raises Unfit."""
    fields = _Fields(entry)
    client_id = fields.required("client_id", "client_id_missing")
    environment = fields.required("environment", "environment_missing").lower()
    return AppRecord(client_id, environment, fields.text("family_id"), fields.extra())


def _check_user(home_account_id: str) -> None:
    if not home_account_id:
        raise Unfit("home_account_id_missing")


# --- records as entries --------------------------------------------------------------------------------------------


def access_token_entry(record: AccessTokenRecord) -> Entry:
    """Return an access token as an entry."""
    entry: Entry = {
        "credential_type": "AccessToken",
        "secret": record.secret,
        "home_account_id": record.home_account_id or None,
        "environment": record.environment,
        "client_id": record.client_id,
        "target": record.target,
        "realm": record.realm,
        "token_type": record.token_type,
        "cached_at": str(record.cached_at),
        "expires_on": str(record.expires_on),
        "extended_expires_on": str(record.expires_on),
    }
    entry |= {"refresh_on": str(record.refresh_on)} if record.refresh_on else {}
    entry |= {"key_id": record.key_id} if record.key_id else {}
    return entry | _binding_fields(record.extended_key) | extra_of(record)


def _binding_fields(key: str) -> Entry:
    components = components_of(key)
    fields: Entry = {name: components[name] for name in (*HASHES, ASSERTION) if name in components}
    if sent := sent_components(key):
        fields = {"ext_cache_key": hash_of(sent), COMPONENTS: sent} | fields
    return fields


def refresh_token_entry(record: RefreshTokenRecord) -> Entry:
    """Return a refresh token as an entry."""
    entry = _credential("RefreshToken", record) | {"target": record.target}
    entry |= {"last_modification_time": str(record.last_modification_time)} if record.last_modification_time else {}
    entry |= {"family_id": record.family_id} if record.family_id else {}
    entry |= {"key_id": record.key_id} if record.key_id else {}
    return entry | extra_of(record)


def id_token_entry(record: IdTokenRecord) -> Entry:
    """Return an id token as an entry."""
    return _credential("IdToken", record) | {"realm": record.realm} | extra_of(record)


def _credential(kind: str, record: RefreshTokenRecord | IdTokenRecord) -> Entry:
    return {
        "credential_type": kind,
        "secret": record.secret,
        "home_account_id": record.home_account_id,
        "environment": record.environment,
        "client_id": record.client_id,
    }


def account_entry(record: AccountRecord) -> Entry:
    """Return an account as an entry."""
    entry: Entry = {
        "home_account_id": record.home_account_id,
        "environment": record.environment,
        "realm": record.realm,
        "local_account_id": record.local_account_id,
        "username": record.username,
        "authority_type": record.authority_type,
    }
    entry |= {"name": record.name} if record.name else {}
    entry |= {"account_source": record.account_source} if record.account_source else {}
    return entry | extra_of(record)


def app_entry(record: AppRecord) -> Entry:
    """Return what is known of a client as an entry."""
    entry: Entry = {"client_id": record.client_id, "environment": record.environment}
    return entry | ({"family_id": record.family_id} if record.family_id else {}) | extra_of(record)
