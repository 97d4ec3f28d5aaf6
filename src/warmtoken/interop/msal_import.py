"""Brings the text of an MSAL cache into ours, all or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, cast

from warmtoken.cache.group_commit import Operation
from warmtoken.cache.kept_tokens import MAX_KEPT, kept_beside
from warmtoken.cache.lookup_keys import Owner, Slot, user_of
from warmtoken.cache.records import (
    AccessTokenRecord,
    AccountRecord,
    AppRecord,
    ClientRecord,
    IdTokenRecord,
    NoteRecord,
    Record,
    RefreshTokenRecord,
    SectionRecord,
)
from warmtoken.cache.sealing import RecordType
from warmtoken.cache.transfer import Write, write_all
from warmtoken.cache.vault import Vault
from warmtoken.interop.msal_bindings import binding_of
from warmtoken.interop.msal_document import SECTIONS, parse_document
from warmtoken.interop.msal_entries import extra_of, to_json
from warmtoken.interop.msal_merging import is_newer, merged_section
from warmtoken.interop.msal_overlaps import Overlaps
from warmtoken.interop.msal_places import Places
from warmtoken.interop.msal_reading import Readings, Taken, read_document
from warmtoken.interop.msal_reasons import Reason, Unfit
from warmtoken.interop.msal_report import ImportReport, SkippedEntry
from warmtoken.protocol.scopes import lookup_scopes


def import_into(vault: Vault, data: str | bytes, now: float) -> ImportReport:
    """Write what the text of an MSAL cache holds in one transaction, and say what was left; `now` is Unix seconds.

    What is in the cache stays where it is newer. Raises TypeError and ClientError for a text that is none, CacheError
    where the cache cannot be written; then nothing was.
    """
    document = parse_document(data)
    batch = _Batch(vault, read_document(document, now))
    left = write_all(vault, batch.writes(document.unknown), batch.resolve, batch.clients)
    entries = {section: len(document.sections[section]) for section in SECTIONS}
    return batch.report(left, entries, len(document.unknown))


class _Placed(NamedTuple):
    taken: Taken
    write: Write
    owner: Owner


class _Batch:
    """What an import is going to write, each key once, and what it leaves."""

    def __init__(self, vault: Vault, readings: Readings) -> None:
        self._vault = vault
        self._keys = vault.keys
        self._placed: dict[tuple[RecordType, bytes], _Placed] = {}
        self._skipped = list(readings.skipped)
        self._beside: dict[bytes, set[bytes]] = {}
        self._kept: set[bytes] = set()
        self._known: set[bytes] = set()  # refresh tokens that are in the cache, as they are or otherwise described
        self._places = Places(readings.records("IdToken"), readings.records("Account"))
        self._clients: dict[tuple[str, str], set[tuple[str, str]]] = {}
        self._local_ids: dict[tuple[str, str, str], str] = {}
        self._overlaps = Overlaps()
        self._add_all(readings)

    def _add_all(self, readings: Readings) -> None:
        steps: list[tuple[str, Callable[[Taken], None]]] = [
            ("Account", self._note_local_id),
            ("IdToken", self._add_id_token),
            ("RefreshToken", self._add_refresh_token),
            ("AccessToken", self._add_access_token),
            ("Account", self._add_account),  # under the clients that have tokens
            ("AppMetadata", self._add_app),
        ]
        for section, add in steps:
            for taken in readings.newest_first(section):
                self._trying(add, taken)

    def _trying(self, add: Callable[[Taken], None], taken: Taken) -> None:
        try:
            add(taken)
        except Unfit as unfit:
            self._skip(taken, unfit.reason)

    def _skip(self, taken: Taken, reason: Reason) -> None:
        self._skipped.append(SkippedEntry(taken.section, taken.position, reason))

    # --- the kinds of entries ---

    def _add_access_token(self, taken: Taken) -> None:
        owner, found = self._places.credential(cast("AccessTokenRecord", taken.record))
        record = found._replace(local_account_id=self._local_id(owner, found.realm))
        slot = Slot(owner, record.realm, record.token_type, record.key_id, record.extended_key)
        scopes = lookup_scopes(record.target.split())
        hashes = self._keys.scopes(slot, scopes)
        self._overlaps.add(self._keys.partition(owner), hashes[1:])
        write = Write(RecordType.ACCESS_TOKEN, self._keys.access_token(slot, scopes), record, b"".join(hashes))
        self._note_client(owner)
        self._put(taken, write, owner)

    def _add_refresh_token(self, taken: Taken) -> None:
        owner, record = self._places.credential(cast("RefreshTokenRecord", taken.record))
        self._note_client(owner, record.family_id)
        binding = binding_of(extra_of(record))
        if binding:
            key = self._keys.bound_refresh_token(owner, binding)
        else:
            key = self._keys.refresh_token(owner, record.family_id)
        self._put(taken, Write(RecordType.REFRESH_TOKEN, key, record), owner)

    def _add_id_token(self, taken: Taken) -> None:
        owner, record = self._places.credential(cast("IdTokenRecord", taken.record))
        self._note_client(owner)
        self._put(taken, Write(RecordType.ID_TOKEN, self._keys.id_token(owner, record.realm), record), owner)

    def _note_local_id(self, taken: Taken) -> None:
        authority, record = self._places.account(cast("AccountRecord", taken.record))
        user = user_of(authority, record.home_account_id)
        self._local_ids.setdefault((authority, user, record.realm.lower()), record.local_account_id)

    def _local_id(self, owner: Owner, realm: str) -> str:
        return self._local_ids.get((owner.authority, owner.subject, realm.lower()), "")

    def _note_client(self, owner: Owner, family_id: str = "") -> None:
        if owner.home_account_id is not None:
            clients = self._clients.setdefault((owner.authority, owner.subject), set())
            clients |= {(owner.client_id, ""), (owner.client_id, family_id)}

    def _add_account(self, taken: Taken) -> None:
        authority, record = self._places.account(cast("AccountRecord", taken.record))
        # An account lies with each client that has tokens of it, and with the family whose refresh token it has; one
        # that none has is kept for the next export.
        clients = self._clients.get((authority, user_of(authority, record.home_account_id)), {("", "")})
        for client_id, family_id in clients:
            owner = Owner(authority, client_id, record.home_account_id)
            key = self._keys.account_in(owner, record.realm, family_id)
            self._put(taken, Write(RecordType.ACCOUNT, key, record), owner)

    def _add_app(self, taken: Taken) -> None:
        record = cast("AppRecord", taken.record)
        owner = self._places.app(record)
        self._put(taken, Write(RecordType.APP, self._keys.app(owner), record), owner)

    def _put(self, taken: Taken, write: Write, owner: Owner) -> None:
        place = write.kind, write.key
        there = self._placed.setdefault(place, _Placed(taken, write, owner))
        if there.taken is taken:
            return
        if not isinstance(write.record, RefreshTokenRecord) or _same_secret(write.record, there.write.record):
            raise Unfit("duplicate")
        kept = self._kept_beside(write, owner)
        if not kept:
            raise Unfit("too_many")
        if (kept[0].kind, kept[0].key) in self._placed:
            raise Unfit("duplicate")
        self._placed[kept[0].kind, kept[0].key] = _Placed(taken, kept[0], owner)

    def _kept_beside(self, write: Write, owner: Owner) -> list[Write]:
        # MSAL Python tries one refresh token after the other, the newest first; here some of the next are kept.
        record = cast("RefreshTokenRecord", write.record)
        key = self._keys.kept_refresh_token(owner, record.secret)
        prefix = self._keys.kept_refresh_tokens(owner)
        if prefix not in self._beside:
            there = kept_beside(self._vault, owner)
            self._beside[prefix] = {self._keys.kept_refresh_token(owner, token.secret) for token in there}
        beside = self._beside[prefix]
        if key not in beside and len(beside) >= MAX_KEPT:
            return []
        beside.add(key)
        self._kept.add(key)
        return [Write(RecordType.REFRESH_TOKEN, key, record)]

    # --- the writing ---

    def writes(self, unknown: dict[str, object]) -> list[Write]:
        """Return what is to be written, the oldest first: a newer token replaces those that it covers."""
        sections = [SectionRecord(name, to_json(content)) for name, content in unknown.items()]
        placed = [placed.write for placed in reversed(self._placed.values())]
        return placed + [Write(RecordType.SECTION, self._keys.section(found.name), found) for found in sections]

    def clients(self) -> list[Operation]:
        """Return what to write so that the clients of the tokens are known."""
        found = {
            (placed.owner._replace(home_account_id=None), *_seen(placed.write)) for placed in self._placed.values()
        }
        return [operation for client in sorted(found) for operation in self._vault.clients.note(*client)]

    def resolve(self, write: Write, there: Record | None) -> list[Write]:
        """Return what to write where another record is there already."""
        if there is None:
            return [write]
        if isinstance(there, SectionRecord):
            return [write._replace(record=merged_section(cast("SectionRecord", write.record), there))]
        if isinstance(there, RefreshTokenRecord):
            return self._of_two_refresh_tokens(write, there)
        return [] if is_newer(there, write.record) else [write]

    def _of_two_refresh_tokens(self, write: Write, there: RefreshTokenRecord) -> list[Write]:
        # The one in the cache may be about to be redeemed: it is not written again without need.
        owner = self._placed[write.kind, write.key].owner
        if _same_secret(write.record, there):
            self._known.add(write.key)
            return []
        if is_newer(there, write.record):
            return self._kept_beside(write, owner)
        return [write, *self._kept_beside(write._replace(record=there), owner)]

    def report(self, left: list[Write], entries: dict[str, int], unknown: int) -> ImportReport:
        """Return what became of each entry; `left` gave way to what is in the cache."""
        for write in left:
            placed = self._placed[write.kind, write.key]
            if write.key not in self._known:
                self._skip(placed.taken, "older_than_cached")
        skipped = sorted(set(self._skipped))
        lost = Counter(entry.section for entry in skipped)
        imported = {section: entries[section] - lost[section] for section in SECTIONS}
        return ImportReport(imported, tuple(skipped), len(self._kept), unknown)


def _seen(write: Write) -> tuple[str, str]:
    # Under which host, and with which type of token.
    record = write.record
    assert not isinstance(record, NoteRecord | SectionRecord | ClientRecord)
    return record.environment, record.token_type if isinstance(record, AccessTokenRecord) else "Bearer"


def _same_secret(record: Record, other: Record) -> bool:
    return cast("RefreshTokenRecord", record).secret == cast("RefreshTokenRecord", other).secret
