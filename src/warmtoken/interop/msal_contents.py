"""All that is in a cache as the dict of dicts that MSAL Python keeps: for `serialize`, and for who looks inside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from warmtoken.cache.entries import Entries
from warmtoken.cache.sealing import RecordType
from warmtoken.interop.msal_changes import Change, write
from warmtoken.interop.msal_import import import_into
from warmtoken.interop.msal_queries import Search, query_of
from warmtoken.interop.msal_reasons import Entry
from warmtoken.interop.msal_records import KIND_OF

if TYPE_CHECKING:
    from warmtoken.cache.vault import Vault

KeyMakers = Mapping[str, Callable[..., str]]
Section = dict[str, Any]

_NOT_STRANGE = ("expired", "duplicate", "older_than_cached", "too_many")


class Contents(MutableMapping[str, Section]):
    """MSAL's sections, each a dict of its entries by MSAL's keys, read anew at each access.

    `key_makers` are MSAL's. Assigning a section replaces what is in the cache; changing a dict changes nothing there.
    """

    def __init__(self, vault: Vault, key_makers: KeyMakers) -> None:
        self._vault = vault
        self._key_makers = key_makers

    def __getitem__(self, section: str) -> Section:
        found = {self._key_makers[section](**entry): entry for entry in self._entries(section)}
        if not found:
            raise KeyError(section)
        return found

    def __iter__(self) -> Iterator[str]:
        return (section for section in KIND_OF if next(self._entries(section), None) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __setitem__(self, section: str, entries: Section) -> None:
        kind, key_of = KIND_OF[section], self._key_makers[section]
        for entry in [entry for entry in self._entries(section) if key_of(**entry) not in entries]:
            write(self._vault, [Change(kind, entry, is_removal=True)])
        for entry in entries.values():
            write(self._vault, [Change(kind, entry)])

    def __delitem__(self, section: str) -> None:
        self[section] = {}

    def _entries(self, section: str) -> Iterator[Entry]:
        return Search(self._vault).entries(KIND_OF[section], query_of(None, ()))


def take_in(vault: Vault, state: str) -> dict[str, Section]:
    """Import the text that MSAL Python's `serialize` returned, in one transaction, and return entries that are none.

    They are returned by section and key. Raises ValueError for a text that is no JSON object.
    """
    try:
        sections: object = json.loads(state)
    except RecursionError:
        raise ValueError("expected the JSON object of an MSAL cache, got one that is nested too deep") from None
    if not isinstance(sections, dict):
        raise ValueError(f"expected the JSON object of an MSAL cache, got {type(sections).__name__}")
    empty: Section = {section: {} for section in KIND_OF}
    document = empty | cast("Section", sections)
    report = import_into(vault, json.dumps(document), time.time())
    strange: dict[str, Section] = {}
    for skipped in report.skipped:
        entries: Section = document[skipped.section] or {}
        # Further ones stand in a section of the same name but for its case, which is unknown to MSAL Python.
        if skipped.reason not in _NOT_STRANGE and skipped.position < len(entries):
            key = list(entries)[skipped.position]
            strange.setdefault(skipped.section, {})[key] = entries[key]
    return strange


def unknown_sections(vault: Vault) -> Section:
    """Return what imports brought of sections that are not known."""
    found = Entries(vault).under(RecordType.SECTION, vault.keys.sections())
    return {section.name: json.loads(section.text) for _, section in found}
