"""Knows which clients have had tokens in the file: what a search goes by that names a user or a host, but no client."""

from __future__ import annotations

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.lookup_keys import LookupKeys, Owner
from warmtoken.cache.records import ClientRecord
from warmtoken.cache.sealing import FOR_EVER, Header, RecordType, Sealer

_NEVER_ENDS = Header(FOR_EVER, 0, 1)
_KEPT = 4096


class Clients:
    """The clients in one cache file, by host, authority and type of token. Few, and never forgotten."""

    def __init__(self, store: _engine.Store, sealer: Sealer, keys: LookupKeys) -> None:
        self._store = store
        self._sealer = sealer
        self._keys = keys
        self._noted: set[ClientRecord] = set()

    def note(self, owner: Owner, environment: str, token_type: str) -> list[Operation]:
        """Return what to write so that the owner's client is known; nothing where it is, or is in a partition."""
        if owner.partition:  # who searches so sees no partition: what other libraries are shown
            return []
        record = ClientRecord(owner.authority, owner.client_id, environment, token_type)
        if record in self._noted:
            return []
        key = self._keys.client_with(environment, owner.client_id, owner.authority, token_type)
        if _engine.read(self._store, _engine.NOTE, key)[1] is None:
            sealed = self._sealer.seal(RecordType.CLIENT, key, records.encode(record), _NEVER_ENDS)
            return [(_engine.PUT_NEW, _engine.NOTE, key, sealed)]
        if len(self._noted) >= _KEPT:
            self._noted.clear()
        self._noted.add(record)
        return []

    def under(self, environment: str, client_id: str | None = None) -> list[ClientRecord]:
        """Return what is known of the clients under a host, or of one of them."""
        keys = self._keys
        prefix = keys.clients(environment) if client_id is None else keys.client(environment, client_id)
        found: list[ClientRecord] = []
        for page in _engine.pages(self._store, _engine.NOTE, prefix):
            plains = (self._sealer.unseal(RecordType.CLIENT, key, value) for key, value in page)
            found += [records.decode_client(plain) for plain in plains if plain is not None]
        return found
