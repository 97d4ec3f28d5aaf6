"""The entries of an MSAL cache as records, each on its own: what can be taken, and what cannot and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from warmtoken.cache.records import AccessTokenRecord, Record
from warmtoken.interop.msal_document import Document
from warmtoken.interop.msal_entries import access_token_of, account_of, app_of, id_token_of, refresh_token_of
from warmtoken.interop.msal_merging import freshness
from warmtoken.interop.msal_reasons import Unfit
from warmtoken.interop.msal_report import SkippedEntry

MAX_SCOPES = 1000
_MAX_LIFETIME = 3650 * 86400  # seconds: MSAL.NET takes a later expiry for a damaged entry

_READERS: dict[str, Callable[[object], Record]] = {
    "AccessToken": access_token_of,
    "RefreshToken": refresh_token_of,
    "IdToken": id_token_of,
    "Account": account_of,
    "AppMetadata": app_of,
}


class Taken(NamedTuple):
    """An entry that was read: where it stood, and its record."""

    section: str
    position: int
    record: Record


class Readings(NamedTuple):
    """What was read of a document."""

    taken: dict[str, list[Taken]]
    skipped: list[SkippedEntry]

    def records(self, section: str) -> list[Any]:
        """Return the records of a section, the newest first."""
        return [taken.record for taken in self.newest_first(section)]

    def newest_first(self, section: str) -> list[Taken]:
        """Return what was read of a section; of what is equally new, in the order of the document."""
        return sorted(self.taken[section], key=lambda taken: freshness(taken.record), reverse=True)


def read_document(document: Document, now: float) -> Readings:
    """Return the records in a document that can be used at `now`, in Unix seconds."""
    readings = Readings({section: [] for section in _READERS}, [])
    for section, read in _READERS.items():
        for position, entry in enumerate(document.sections[section]):
            try:
                readings.taken[section].append(Taken(section, position, _usable(read(entry), now)))
            except Unfit as unfit:
                readings.skipped.append(SkippedEntry(section, position, unfit.reason))
    return readings


def _usable(record: Record, now: float) -> Record:
    if isinstance(record, AccessTokenRecord):
        if record.expires_on > now + _MAX_LIFETIME:
            raise Unfit("expires_on_invalid")
        if record.expires_on <= now:
            raise Unfit("expired")
        if len(record.target.split()) > MAX_SCOPES:
            raise Unfit("field_invalid")
    return record
