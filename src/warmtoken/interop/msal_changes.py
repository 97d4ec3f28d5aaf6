"""Writes what MSAL adds to, changes in and removes from its cache: what comes together in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, NamedTuple

from warmtoken.cache.entries import Entries
from warmtoken.cache.lookup_keys import FAMILY, Owner, Slot
from warmtoken.cache.sealing import RecordType
from warmtoken.cache.vault import NewTokens, Vault
from warmtoken.errors import CacheError
from warmtoken.interop.msal_queries import Search
from warmtoken.interop.msal_reasons import Entry
from warmtoken.interop.msal_records import (
    access_token_record,
    account_record,
    app_record,
    id_token_record,
    owner_of,
    realms_of,
    refresh_token_record,
    slot_of,
)
from warmtoken.protocol.scopes import lookup_scopes


class Change(NamedTuple):
    """An entry to write, or to remove."""

    kind: RecordType
    entry: Entry
    is_removal: bool = False


def write(vault: Vault, changes: list[Change]) -> None:
    """Write the entries of one token reply, or remove entries; CacheError where that cannot be done.

    A refresh token that cannot be written is kept for later, as by `Vault.save`.
    """
    written = {change.kind: change.entry for change in changes if not change.is_removal}
    if written:
        _save(vault, written)
    Entries(vault).delete(
        [
            (change.kind, key)
            for change in changes
            if change.is_removal
            for key in _keys(vault, change.kind, change.entry)
        ]
    )


def _save(vault: Vault, entries: Mapping[RecordType, Entry]) -> None:
    # They are of one user, one client and one host, but not each of them says so.
    names = _common(entries)
    if not names.get("environment"):
        return  # what no request can ask for
    search = Search(vault)
    owner = owner_of(names, search.authority(names))
    owners = [owner] if names.get("client_id") else search.owners(names) or [owner]
    _save_all(vault, [_new_tokens(entries, each) for each in owners])


def _save_all(vault: Vault, replies: list[NewTokens]) -> None:
    try:
        vault.save_unsaved()  # in the order in which they came: the newest refresh token is to stay
    except CacheError:
        vault.shared.keep_unsaved([new for new in replies if new.refresh_token is not None])
        raise
    for new in replies:
        vault.save(new)


def _common(entries: Mapping[RecordType, Entry]) -> Entry:
    common: Entry = {}
    for name in ("environment", "client_id", "home_account_id", "realm"):
        common[name] = next((entry[name] for entry in entries.values() if entry.get(name)), None)
    return common


def _new_tokens(entries: Mapping[RecordType, Entry], owner: Owner) -> NewTokens:
    access, refresh = entries.get(RecordType.ACCESS_TOKEN), entries.get(RecordType.REFRESH_TOKEN)
    identity, app = entries.get(RecordType.ID_TOKEN), entries.get(RecordType.APP)
    account = entries.get(RecordType.ACCOUNT)
    local_account_id = str((account or {}).get("local_account_id") or "")
    return NewTokens(
        Slot(owner) if access is None else slot_of(access, owner.authority),
        () if access is None else lookup_scopes(str(access.get("target") or "").split()),
        None if access is None else access_token_record(access, local_account_id),
        None if refresh is None else refresh_token_record(refresh),
        None if identity is None else id_token_record(identity),
        None if account is None else account_record(account),
        None if app is None else app_record(app),
    )


def _keys(vault: Vault, kind: RecordType, entry: Mapping[str, Any]) -> list[bytes]:
    keys, search = vault.keys, Search(vault)
    names = [str(entry.get(name) or "") for name in ("environment", "realm", "home_account_id")]
    realms = realms_of(*names)
    if kind is RecordType.ACCOUNT:
        places = product(search.owners(entry), realms, ("", FAMILY))
        return list(dict.fromkeys(keys.account_in(*place) for place in places))
    authority = search.authority(entry)
    owner = owner_of(entry, authority)
    if kind is RecordType.ACCESS_TOKEN:
        scopes, slot = lookup_scopes(str(entry.get("target") or "").split()), slot_of(entry, authority)
        return [keys.access_token(slot._replace(realm=realm), scopes) for realm in realms]
    if kind is RecordType.ID_TOKEN:
        return [keys.id_token(owner, realm) for realm in realms]
    if kind is RecordType.REFRESH_TOKEN:
        return search.refresh_tokens(entry, owner)
    return [keys.app(owner)]
