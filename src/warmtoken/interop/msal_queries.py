"""What a search of MSAL names, and where in the store the answers lie: by key or prefix, never more than must be."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from warmtoken.cache.entries import Entries, Found
from warmtoken.cache.lookup_keys import FAMILY, Owner, Slot
from warmtoken.cache.sealing import RecordType, seal_of
from warmtoken.cache.vault import Vault
from warmtoken.interop.msal_reasons import Entry
from warmtoken.interop.msal_records import authority_name, binding, entry_of, realms_of, stored_realm
from warmtoken.protocol.authority import cloud_name
from warmtoken.protocol.scopes import lookup_scopes

_SLOT_FIELDS = frozenset(("client_id", "environment", "home_account_id", "realm", "key_id", "ext_cache_key"))
_WITHOUT_CASE = frozenset(("client_id", "environment", "home_account_id", "token_type"))

Opened = dict[bytes, tuple[bytes, Entry]]  # by key: the seal of the record, and its entry


class Query(NamedTuple):
    """The fields that an entry must have, and the scopes that an access token must cover.

    `client_id` and `environment` are None where no such field is asked for; `user` is None then too, and "" for the
    client itself.
    """

    fields: Mapping[str, Any]
    scopes: tuple[str, ...]
    client_id: str | None
    environment: str | None
    user: str | None

    @property
    def names_a_slot(self) -> bool:
        """Whether it names all that tells where an access token lies, but for the type, and nothing else."""
        named = self.client_id is not None and self.environment is not None and self.user is not None
        return named and bool(self.scopes) and "realm" in self.fields and self.fields.keys() <= _SLOT_FIELDS

    def is_met_by(self, entry: Entry) -> bool:
        """Tell whether an entry has all that is asked for; names are compared as the store does, without case."""
        return all(_has(entry, name, value) for name, value in self.fields.items())

    def covers(self, entry: Entry) -> bool:
        """Tell whether an access token serves the query: all its scopes, and no binding that it does not name."""
        if "ext_cache_key" in entry and "ext_cache_key" not in self.fields:
            return False  # MSAL: what was asked for with more than scopes is for such requests alone
        granted = {scope.casefold() for scope in str(entry.get("target") or "").split()}
        return granted.issuperset(scope.casefold() for scope in self.scopes) and self.is_met_by(entry)


def query_of(fields: Mapping[str, Any] | None, scopes: Iterable[str]) -> Query:
    """Return the query that the arguments of MSAL's `search` make."""
    fields = fields or {}
    environment = _named(fields, "environment")
    lower = None if environment is None else environment.lower()
    return Query(fields, tuple(scopes), _named(fields, "client_id"), lower, _named(fields, "home_account_id"))


def _named(fields: Mapping[str, Any], name: str) -> str | None:
    return (fields[name] or "") if name in fields else None


def _has(entry: Entry, name: str, value: Any) -> bool:
    found = entry.get(name)
    if found == value:
        return name in entry or value is None
    if not isinstance(found, str) or not isinstance(value, str):
        return not found and not value
    if name == "realm":
        return _realm(entry, found).lower() == _realm(entry, value).lower()
    return name in _WITHOUT_CASE and found.lower() == value.lower()


def _is_first(kind: RecordType, entry: Entry, seen: set[Hashable]) -> bool:
    # An account lies with each client that has tokens of it, and with their family; MSAL has it once.
    if kind is not RecordType.ACCOUNT:
        return True
    account = entry["home_account_id"], entry["environment"], entry["realm"]
    is_first = account not in seen
    seen.add(account)
    return is_first


def _realm(entry: Entry, realm: str) -> str:
    return stored_realm(entry["environment"], realm, entry.get("home_account_id") or "")


class Search:
    """The searches in an open cache. All are lazy, and hold nothing while the caller runs."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._entries = Entries(vault)

    # --- access tokens ---

    def best(self, query: Query, usable_after: float) -> Iterator[Found]:
        """Yield the token that serves a query with a slot best, for each type of token."""
        scopes = lookup_scopes(query.scopes)
        for slot in self._slots(query):
            found = self._entries.find_access_token(slot, scopes, usable_after)
            if found is not None and query.covers(entry_of(RecordType.ACCESS_TOKEN, found.record)):
                yield found

    def all_in_slots(self, query: Query) -> Iterator[Entry]:
        """Yield all tokens that serve a query with a slot."""
        scopes = lookup_scopes(query.scopes)
        for slot in self._slots(query):
            for record in self._entries.with_scope(slot, scopes[0] if scopes else None):
                entry = entry_of(RecordType.ACCESS_TOKEN, record)
                if query.covers(entry):
                    yield entry

    def _slots(self, query: Query) -> Iterator[Slot]:
        realms = realms_of(query.environment or "", query.fields.get("realm") or "", query.user or "")
        key_id, bound = query.fields.get("key_id") or "", binding(query.fields)
        for owner, token_types in self._owners_with_types(query).items():
            for token_type, realm in product(token_types, realms):
                yield Slot(owner, realm, token_type, key_id, bound)

    # --- entries of any kind ---

    def entries(self, kind: RecordType, query: Query, opened: Opened | None = None) -> Iterator[Entry]:
        """Yield all entries of a kind that a query is met by.

        `opened` keeps the entries that come by, and spares opening those again that are still the same in the file.
        """
        meets = query.covers if kind is RecordType.ACCESS_TOKEN else query.is_met_by
        kept: Opened = {} if opened is None else opened
        seen: set[Hashable] = set()
        for prefix in self._prefixes(kind, query):
            for key, sealed in self._entries.outside_partitions(kind, prefix):
                entry = None if key in seen else self._opened(kind, key, sealed, kept)
                seen.add(key)
                if entry is not None and meets(entry) and _is_first(kind, entry, seen):
                    yield entry
        for key in kept.keys() - seen:
            kept.pop(key, None)  # another thread may list them too

    def _opened(self, kind: RecordType, key: bytes, sealed: bytes, kept: Opened) -> Entry | None:
        seal, found = seal_of(sealed), kept.get(key)
        if found is not None and found[0] == seal:
            return found[1]
        record = self._entries.opened(kind, key, sealed)
        if record is None:
            return None
        kept[key] = seal, entry_of(kind, record)
        return kept[key][1]

    def _prefixes(self, kind: RecordType, query: Query) -> list[bytes]:
        if query.environment is None:
            return [b""]
        if kind is RecordType.APP:
            return self._app_prefixes(query)
        if kind is RecordType.ACCOUNT:
            return self._account_prefixes(query)
        owners = list(self._owners_with_types(query))
        if query.user is None:
            return [b""] if owners else []  # a host under which no client is known has no tokens
        if kind is RecordType.REFRESH_TOKEN:
            return self._refresh_prefixes(query, owners)
        return [self._vault.keys.partition(owner) for owner in owners]

    def _app_prefixes(self, query: Query) -> list[bytes]:
        if query.client_id is None:
            return [b""]
        return [self._vault.keys.app(owner) for owner in self._owners_with_types(query)]

    def _account_prefixes(self, query: Query) -> list[bytes]:
        keys = self._vault.keys
        prefix = keys.accounts if query.user is None else keys.account
        return [prefix(owner) for owner in self._owners_with_types(query)]

    def _refresh_prefixes(self, query: Query, owners: list[Owner]) -> list[bytes]:
        keys = self._vault.keys
        family = query.fields.get("family_id")
        if family:
            return list(dict.fromkeys(keys.refresh_token(owner, family) for owner in owners))
        if query.client_id is None:  # a sign-out: all go, also what no plain request is served from
            return [prefix for owner in owners for prefix in (keys.partition(owner), keys.refresh_token(owner, FAMILY))]
        return [
            prefix
            for owner in owners
            for prefix in (
                keys.refresh_token(owner),
                keys.kept_refresh_tokens(owner),
                keys.refresh_token(owner, FAMILY),
            )
        ]

    def _owners_with_types(self, query: Query) -> dict[Owner, list[str]]:
        """Return whose entries a query with a host may be about, and the types of access token that they have had."""
        environment = query.environment or ""
        user = query.user or None
        found: dict[Owner, list[str]] = {}
        if query.client_id is not None:
            authority = authority_name(environment, query.fields.get("realm") or "")
            found[Owner(authority, query.client_id, user)] = ["Bearer"]
        for client in self._vault.clients.under(environment, query.client_id):
            owner = Owner(client.authority, query.client_id or client.client_id, user)
            types = found.setdefault(owner, [])
            if client.token_type.lower() not in map(str.lower, types):
                types.append(client.token_type)
        return found

    # --- where single entries lie ---

    def authority(self, entry: Mapping[str, Any]) -> str:
        """Return what the cache calls the authority of an entry.

        A host may belong to an issuer with a path, which entries do not tell: then it is the one that is known.
        """
        environment, realm = str(entry.get("environment") or ""), str(entry.get("realm") or "")
        if cloud_name(environment) is None:
            clients = self._vault.clients.under(environment, entry.get("client_id"))
            known = {client.authority for client in clients}
            if len(known) == 1:
                return known.pop()
        return authority_name(environment, realm)

    def owners(self, entry: Mapping[str, Any]) -> list[Owner]:
        """Return as whose an account may be kept: of every client under its host, since it does not say of which."""
        query = query_of({name: entry.get(name) for name in ("environment", "home_account_id")}, ())
        return list(self._owners_with_types(query))

    def refresh_tokens(self, entry: Mapping[str, Any], owner: Owner) -> list[bytes]:
        """Return the keys of a refresh token: its owner's, or its family's, and where the same one is kept beside."""
        keys, kind = self._vault.keys, RecordType.REFRESH_TOKEN
        beside = self._entries.under(kind, keys.partition(owner))
        same = [key for key, record in beside if record.secret == entry.get("secret")]
        return list(dict.fromkeys([keys.refresh_token(owner, entry.get("family_id") or ""), *same]))
