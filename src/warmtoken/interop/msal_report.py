"""What became of an import."""

from __future__ import annotations

from typing import NamedTuple

from warmtoken.interop.msal_reasons import Reason


class SkippedEntry(NamedTuple):
    """An entry that was not taken: the `position`-th of its section, from 0."""

    section: str
    position: int
    reason: Reason


class ImportReport(NamedTuple):
    """What an import wrote, and what it left.

    `imported` counts by section the entries that are in the cache now. `kept_refresh_tokens` are those of them that a
    newer refresh token of the same user goes before. `unknown_sections` came along for the next export.
    """

    imported: dict[str, int]
    skipped: tuple[SkippedEntry, ...]
    kept_refresh_tokens: int
    unknown_sections: int
