"""All that is in a cache as the dict of dicts that MSAL Python keeps: for `serialize`, and for who looks inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from warmtoken.interop.msal_changes import Change, write
from warmtoken.interop.msal_queries import Search, query_of
from warmtoken.interop.msal_reasons import Entry
from warmtoken.interop.msal_records import KIND_OF

if TYPE_CHECKING:
    from warmtoken.cache.vault import Vault

KeyMakers = Mapping[str, Callable[..., str]]
Section = dict[str, Any]


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
        for entry in list(self._entries(section)):
            if self._key_makers[section](**entry) not in entries:
                write(self._vault, [Change(KIND_OF[section], entry, is_removal=True)])
        self.take_in(section, entries)

    def __delitem__(self, section: str) -> None:
        self[section] = {}

    def take_in(self, section: str, entries: Mapping[str, Any]) -> Section:
        """Write the entries of a section, and return those that are none, by their keys."""
        strange = {key: entry for key, entry in entries.items() if not _is_entry(entry)}
        for key, entry in entries.items():
            if key not in strange:
                write(self._vault, [Change(KIND_OF[section], cast("Entry", entry))])
        return strange

    def _entries(self, section: str) -> Iterator[Entry]:
        return Search(self._vault).entries(KIND_OF[section], query_of(None, ()))


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and "environment" in entry
