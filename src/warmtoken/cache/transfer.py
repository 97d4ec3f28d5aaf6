"""Reads all that a cache holds, and writes much at once: how tokens move from one cache into another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.entries import KINDS, Entries
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.records import (
    AccessTokenRecord,
    AccountRecord,
    AppRecord,
    IdTokenRecord,
    Record,
    RefreshTokenRecord,
    SectionRecord,
)
from warmtoken.cache.sealing import FOR_EVER, HEADER, Header, RecordType, read_header
from warmtoken.cache.vault import Vault

_NEVER_ENDS = Header(FOR_EVER, 0, 1)  # it lies among notes, which leave when they have ended


class Contents(NamedTuple):
    """What a cache holds for other caches, but for what does not verify."""

    access_tokens: list[AccessTokenRecord]
    refresh_tokens: list[RefreshTokenRecord]
    id_tokens: list[IdTokenRecord]
    accounts: list[AccountRecord]
    apps: list[AppRecord]
    sections: list[SectionRecord]


class Write(NamedTuple):
    """A record and the key to write it under; `scopes` are the hashes of an access token's slot and scopes."""

    kind: RecordType
    key: bytes
    record: Record
    scopes: bytes = b""


Resolve = Callable[[Write, Record | None], list[Write]]


def read_all(vault: Vault) -> Contents:
    """Return what a cache holds, but for what lies in partitions.

    Not one snapshot: of what others write meanwhile, some may be in it. Raises CacheError.
    """
    prefixes, entries = {RecordType.SECTION: vault.keys.sections()}, Entries(vault)
    return Contents(*([record for _, record in entries.under(kind, prefixes.get(kind, b""))] for kind in KINDS))


def write_all(
    vault: Vault, writes: list[Write], resolve: Resolve, beside: Callable[[], list[Operation]] = list
) -> list[Write]:
    """Write all records, and what `beside` returns, in one transaction; return those that gave way to what is there.

    `resolve` is given each of them and the other record that is there under its key, None if there is none, and returns
    what to write: nothing, this one, or others. It is asked anew where another process wrote one of the records
    meanwhile. What is there already is not written again. Raises CacheError; then nothing was written.
    """
    while True:
        plans = [_plan(vault, write, resolve) for write in writes]
        if not any(plan.writes for plan in plans) or vault.write(lambda: _operations(vault, plans) + beside()):  # noqa: B023
            return [write for write, plan in zip(writes, plans, strict=True) if not (plan.writes or plan.is_there)]


class _Plan(NamedTuple):
    # What to write while what is there under the key begins with `head`, b"" for nothing.
    key: bytes
    db: int
    head: bytes
    generation: int
    is_there: bool
    writes: list[Write]


def _plan(vault: Vault, write: Write, resolve: Resolve) -> _Plan:
    db = KINDS[write.kind].db
    _, value = _engine.read(vault.shared.store, db, write.key)
    plain = None if value is None else vault.sealer.unseal(write.kind, write.key, value)
    there = None if plain is None else KINDS[write.kind].decode(plain)
    head = b"" if value is None else value[: HEADER.size]
    generation = read_header(value).generation if value is not None and len(value) >= HEADER.size else 0
    is_there = there == write.record
    return _Plan(write.key, db, head, generation, is_there, [] if is_there else resolve(write, there))


def _operations(vault: Vault, plans: list[_Plan]) -> list[Operation]:
    return [operation for plan in plans for operation in _sealed(vault, plan)]


def _sealed(vault: Vault, plan: _Plan) -> Iterator[Operation]:
    if not plan.writes:
        return
    yield _engine.EXPECT, plan.db, plan.key, plan.head
    for write in plan.writes:
        generation = plan.generation if write.key == plan.key else 0
        yield _put(vault, write, generation + 1)


def _put(vault: Vault, write: Write, generation: int) -> Operation:
    header = _header(write.record, generation)
    sealed = vault.sealer.seal(write.kind, write.key, records.encode(write.record), header)
    if write.scopes:
        return _engine.PUT_TOKEN, _engine.ACCESS, write.key, sealed, write.scopes
    return _engine.PUT, KINDS[write.kind].db, write.key, sealed


def _header(record: Record, generation: int) -> Header:
    if isinstance(record, AccessTokenRecord):
        return Header(record.expires_on * 1000, record.refresh_on * 1000, 1)
    if isinstance(record, SectionRecord):
        return _NEVER_ENDS
    return Header(0, 0, generation if isinstance(record, RefreshTokenRecord) else 1)
