"""Reads and deletes single records of any kind, lazily: for caches that ask as other libraries do.

Nothing here keeps a transaction open, or a lock, while the caller runs: each page of an iteration is a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.lookup_keys import Slot
from warmtoken.cache.records import AccessTokenRecord, Record
from warmtoken.cache.sealing import RecordType, is_in_partition
from warmtoken.cache.vault import Vault

_FIRST_PAGE = 4  # most users have few of a kind
_SCOPE_AT = 24  # in a key of the scope index, behind partition and scope: the token


class Found(NamedTuple):
    """An access token, its key, its sealed record, and the id of the snapshot that it was read from."""

    record: AccessTokenRecord
    key: bytes
    sealed: bytes
    txnid: int


class Kind(NamedTuple):
    """Where records of a kind lie, and how they are read."""

    db: int
    decode: Callable[[bytes], Record]


KINDS: dict[RecordType, Kind] = {
    RecordType.ACCESS_TOKEN: Kind(_engine.ACCESS, records.decode_access_token),
    RecordType.REFRESH_TOKEN: Kind(_engine.REFRESH, records.decode_refresh_token),
    RecordType.ID_TOKEN: Kind(_engine.IDENTITY, records.decode_id_token),
    RecordType.ACCOUNT: Kind(_engine.ACCOUNT, records.decode_account),
    RecordType.APP: Kind(_engine.APP, records.decode_app),
    RecordType.SECTION: Kind(_engine.NOTE, records.decode_section),
}


class Entries:
    """The records in an open cache, one by one."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._store = vault.shared.store

    def at(self, kind: RecordType, key: bytes) -> Any:
        """Return the record at a key, or None."""
        _, value = _engine.read(self._store, KINDS[kind].db, key)
        return None if value is None else self.opened(kind, key, value)

    def under(self, kind: RecordType, prefix: bytes = b"") -> Iterator[tuple[bytes, Any]]:
        """Yield key and record of all that lie under a prefix and in no partition, in key order."""
        for key, value in self.outside_partitions(kind, prefix):
            record = self.opened(kind, key, value)
            if record is not None:
                yield key, record

    def sealed_under(self, kind: RecordType, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and sealed record of all that lie under a prefix, in key order."""
        for page in _engine.pages(self._store, KINDS[kind].db, prefix, first=_FIRST_PAGE):
            yield from page

    def outside_partitions(self, kind: RecordType, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the same, but for what lies in partitions: other libraries know none."""
        return (found for found in self.sealed_under(kind, prefix) if not is_in_partition(found[1]))

    def opened(self, kind: RecordType, key: bytes, value: bytes) -> Any:
        """Return the record that a sealed one holds, None where it does not verify."""
        plain = self._vault.sealer.unseal(kind, key, value)
        return None if plain is None else KINDS[kind].decode(plain)

    def find_access_token(self, slot: Slot, scopes: tuple[str, ...], usable_after: float) -> Found | None:
        """Return the access token that `Vault.find_access_token` returns, with its record."""
        keys, wanted = self._vault.keys, RecordType.ACCESS_TOKEN
        hashes = keys.scopes(slot, scopes)
        scope_hashes = b"".join(hashes[1:] or hashes)
        exact = keys.access_token(slot, scopes)
        txnid, key, value, _ = _engine.find_token(self._store, exact, scope_hashes, int(usable_after * 1000), None)
        if key is None or value is None:
            return None
        plain = self._vault.sealer.unseal(wanted, key, value)
        return None if plain is None else Found(records.decode_access_token(plain), key, value, txnid)

    def with_scope(self, slot: Slot, scope: str | None) -> Iterator[AccessTokenRecord]:
        """Yield the access tokens of a slot that have a scope (folded), or all of them."""
        keys = self._vault.keys
        partition, hashed = keys.partition(slot.owner), keys.scopes(slot, () if scope is None else (scope,))[-1]
        for index, _ in self._vault.scan(_engine.SCOPE, partition + hashed):
            record = self.at(RecordType.ACCESS_TOKEN, partition + index[_SCOPE_AT:])
            if record is not None:
                yield record

    def delete(self, deletions: list[tuple[RecordType, bytes]]) -> None:
        """Delete the records at some keys, in one transaction; CacheError where it cannot be written."""
        if deletions:
            self._vault.write(lambda: [_deletion(kind, key) for kind, key in deletions])


def _deletion(kind: RecordType, key: bytes) -> Operation:
    operation = _engine.DELETE_TOKEN if kind is RecordType.ACCESS_TOKEN else _engine.DELETE
    return operation, KINDS[kind].db, key
