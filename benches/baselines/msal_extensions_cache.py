"""MSAL Python with the cache of msal-extensions, which its processes share: one plain JSON file behind a lock file.

The real PersistedTokenCache on a real FilePersistence; azure-identity's persistent cache is the same.
"""

from __future__ import annotations

from pathlib import Path

from msal_extensions import FilePersistence, PersistedTokenCache

from benches.baselines.msal_python import MsalPython

FILE = "msal_cache.json"


class MsalExtensions(MsalPython):
    """Both applications of one client on the file of a directory."""

    def __init__(self, client_id: str, authority: str, directory: Path) -> None:
        super().__init__(client_id, authority, PersistedTokenCache(persistence(directory)))


def persistence(directory: Path) -> FilePersistence:
    """Return the file of a directory as msal-extensions reads and writes it."""
    return FilePersistence(str(directory / FILE))


def write(directory: Path, filled: MsalPython) -> None:
    """Make the file out of a cache in memory, in one write: adding users one by one rewrites it for each."""
    persistence(directory).save(filled.token_cache.serialize())
