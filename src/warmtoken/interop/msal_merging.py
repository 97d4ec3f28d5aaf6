"""Which of two records of the same thing goes before the other."""

from __future__ import annotations

import json
from typing import Any, cast

from warmtoken.cache.records import (
    AccessTokenRecord,
    AccountRecord,
    AppRecord,
    IdTokenRecord,
    Record,
    RefreshTokenRecord,
    SectionRecord,
)
from warmtoken.interop.msal_entries import to_json
from warmtoken.interop.msal_places import claims_in


def freshness(record: Record) -> tuple[int, ...]:
    """Return what tells the newer of two records: when it was written, else how much it says."""
    if isinstance(record, AccessTokenRecord):
        return record.cached_at, record.expires_on
    if isinstance(record, RefreshTokenRecord):
        return (record.last_modification_time,)
    if isinstance(record, IdTokenRecord):
        issued = claims_in(record.secret).get("iat")
        return (issued if isinstance(issued, int) else 0,)
    if isinstance(record, AccountRecord):
        return (bool(record.username),)
    return (bool(record.family_id),) if isinstance(record, AppRecord) else ()


def is_newer(record: Record, other: Record) -> bool:
    """Tell whether the first of two records of one kind is the newer; of equal ones neither is."""
    return freshness(record) > freshness(other)


def merged_section(new: SectionRecord, there: SectionRecord) -> SectionRecord:
    """Return an unknown section with the entries of both, the new ones first."""
    entries: list[object] = [json.loads(section.text) for section in (there, new)]
    if not all(isinstance(entry, dict) for entry in entries):
        return new
    old, fresh = cast("list[dict[str, Any]]", entries)
    return SectionRecord(new.name, to_json(old | fresh))
