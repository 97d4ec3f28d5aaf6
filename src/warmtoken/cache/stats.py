"""What a cache holds and how it does, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from warmtoken import _engine
from warmtoken.cache.vault import Vault


@dataclass(frozen=True, slots=True)
class CacheStats:
    """A cache as one process sees it; sizes are in bytes.

    Of the file: records by kind, `used_bytes` of records and indexes, `newest_transaction`, and the processes that
    read it, with the oldest transaction that one of them still looks at (None: nobody does now). Of this process:
    what is kept in memory; calls answered from there at once (`l1_hits`), after a look at the file (`l1_confirmed`),
    or not: nothing was kept (`l1_absent`), it was past its time or the file was due for a look (`l1_overdue`), the
    token had been replaced or removed (`l1_outdated`); lookups in the file that found a token (`store_hits`), of
    those the ones that may not be used any more (`store_expired`), and that found none (`store_misses`): there is none
    that covers the scopes (`store_absent`), or there is one that does not verify or is not this user's
    (`store_unreadable`); records that did not verify (`refused_records`); healed commits of dead writers; how often
    the file was opened anew after a disk error (`recoveries`); evicted tokens; replies that could not be written yet
    (`unsaved`); refreshes in the background that brought a token, and that failed; calls that a note of the provider's
    last answer kept from it (`throttled`).
    """

    path: str
    is_encrypted: bool
    access_tokens: int
    refresh_tokens: int
    id_tokens: int
    accounts: int
    used_bytes: int
    newest_transaction: int
    reader_processes: int
    oldest_read_transaction: int | None
    l1_entries: int
    l1_bytes: int
    l1_hits: int
    l1_confirmed: int
    l1_outdated: int
    l1_absent: int
    l1_overdue: int
    store_hits: int
    store_expired: int
    store_misses: int
    store_absent: int
    store_unreadable: int
    refused_records: int
    heals: int
    recoveries: int
    evicted: int
    unsaved: int
    background_refreshes: int
    background_failures: int
    throttled: int


def collect(vault: Vault, hits: _engine.Hits) -> CacheStats:
    """Return the numbers of an open cache."""
    store = vault.shared.store
    used, entries = _engine.usage(store)
    readers = _engine.readers(store)
    reading = [transaction for _, transaction in readers if transaction is not None]
    return CacheStats(
        path=store.path,
        is_encrypted=vault.sealer.is_encrypted,
        access_tokens=entries[_engine.ACCESS],
        refresh_tokens=entries[_engine.REFRESH],
        id_tokens=entries[_engine.IDENTITY],
        accounts=entries[_engine.ACCOUNT],
        used_bytes=used,
        newest_transaction=store.newest,
        reader_processes=len({process for process, _ in readers}),
        oldest_read_transaction=min(reading, default=None),
        l1_entries=hits.entries,
        l1_bytes=hits.weight,
        l1_hits=hits.served,
        l1_confirmed=hits.confirmed,
        l1_outdated=hits.outdated,
        l1_absent=hits.absent,
        l1_overdue=hits.overdue,
        store_hits=vault.found,
        store_expired=vault.expired,
        store_misses=vault.missed,
        store_absent=vault.missed - vault.sealer.unreadable,
        store_unreadable=vault.sealer.unreadable,
        refused_records=vault.refused_records,
        heals=store.heals,
        recoveries=store.recoveries,
        evicted=vault.shared.evicted,
        unsaved=len(vault.shared.unsaved),
        background_refreshes=vault.background_refreshes,
        background_failures=vault.background_failures,
        throttled=vault.throttled,
    )
