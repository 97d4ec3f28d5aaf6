"""Writes what our cache holds as the text of an MSAL cache."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from warmtoken.cache.records import AccessTokenRecord, AccountRecord, Record, RefreshTokenRecord, SectionRecord
from warmtoken.cache.transfer import Contents, read_all
from warmtoken.cache.vault import Vault
from warmtoken.interop.msal_dialects import DIALECTS, Dialect
from warmtoken.interop.msal_entries import (
    access_token_entry,
    account_entry,
    app_entry,
    extra_of,
    id_token_entry,
    refresh_token_entry,
    to_json,
)
from warmtoken.interop.msal_merging import freshness
from warmtoken.interop.msal_places import AUTHORITY, Places
from warmtoken.interop.msal_reasons import Entry, Unfit

TokenT = TypeVar("TokenT", AccessTokenRecord, RefreshTokenRecord)


def export_from(vault: Vault, dialect: str, now: float) -> str:
    """Return the text of an MSAL cache with all that is usable at `now`, in Unix seconds.

    Raises TypeError and ValueError for a dialect that is none, CacheError where the cache cannot be read.
    """
    if not isinstance(dialect, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected dialect to be a str, got {type(dialect).__name__}")
    if dialect not in DIALECTS:
        raise ValueError(f"expected a dialect, one of {', '.join(DIALECTS)}, got {dialect!r}")
    contents = read_all(vault)
    usable = [token for token in contents.access_tokens if token.expires_on > now]
    return write_document(_placeable(vault, contents._replace(access_tokens=usable)), DIALECTS[dialect])


def _placeable(vault: Vault, contents: Contents) -> Contents:
    # Issuers that no id token names, such as a client's own at a provider with several, would be lost.
    namer = _Namer(vault, Places(contents.id_tokens, contents.accounts))
    return contents._replace(
        access_tokens=[namer.named(token) for token in contents.access_tokens],
        refresh_tokens=[namer.named(token) for token in contents.refresh_tokens],
    )


class _Namer:
    def __init__(self, vault: Vault, places: Places) -> None:
        self._vault = vault
        self._places = places
        self._known: dict[tuple[str, str], set[str]] = {}

    def named(self, token: TokenT) -> TokenT:
        """Return a token that says who issued it, where an import could not tell and this cache can."""
        known = self._authorities(token.environment, token.client_id)
        if len(known) != 1 or self._authority(token) in known:
            return token
        return token._replace(extra=to_json({AUTHORITY: next(iter(known))} | extra_of(token)))

    def _authorities(self, environment: str, client_id: str) -> set[str]:
        key = environment, client_id.lower()
        if key not in self._known:
            self._known[key] = {client.authority for client in self._vault.clients.under(environment, client_id)}
        return self._known[key]

    def _authority(self, token: TokenT) -> str:
        try:
            return self._places.credential(token)[0].authority
        except Unfit:
            return ""


def write_document(contents: Contents, dialect: Dialect) -> str:
    """Return the text of an MSAL cache in a dialect."""
    sections = {
        "AccessToken": _entries(contents.access_tokens, access_token_entry),
        "RefreshToken": _entries(contents.refresh_tokens, refresh_token_entry),
        "IdToken": _entries(contents.id_tokens, id_token_entry),
        "Account": _entries(_one_of_each(contents.accounts), account_entry),
        "AppMetadata": _entries(contents.apps, app_entry),
    }
    known = {section: _section(section, entries, dialect) for section, entries in sections.items()}
    return json.dumps(known | _unknown(contents.sections), separators=(",", ":"), allow_nan=False)


def _unknown(sections: list[SectionRecord]) -> dict[str, object]:
    return {section.name: json.loads(section.text) for section in sections}


def _entries(records: Iterable[Record], entry_of: Callable[[Any], Entry]) -> list[Entry]:
    entries = [(freshness(record), entry_of(record)) for record in records]
    return [entry for _, entry in sorted(entries, key=lambda pair: (pair[0], to_json(pair[1])), reverse=True)]


def _one_of_each(accounts: list[AccountRecord]) -> list[AccountRecord]:
    # Here they lie with each client that has tokens of them, in an MSAL's cache once.
    oldest_first = sorted(accounts, key=lambda account: (freshness(account), account))
    return list({_identity(account): account for account in oldest_first}.values())


def _identity(account: AccountRecord) -> tuple[str, str, str]:
    return account.home_account_id.lower(), account.environment, account.realm.lower()


def _section(section: str, newest_first: list[Entry], dialect: Dialect) -> dict[str, Entry]:
    # The newest has the key that its library would give it, and stands last: whoever makes the keys anew keeps it.
    used: Counter[str] = Counter()
    written: dict[str, Entry] = {}
    for entry in newest_first:
        key, dressed = dialect.written(section, entry)
        used[key] += 1
        written[key if used[key] == 1 else f"{key}-{used[key]}"] = dressed
    return dict(reversed(written.items()))
