"""What a process has found in one state of the cache file: good for as long as nobody writes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache.vault import Vault
from warmtoken.interop.msal_queries import Opened
from warmtoken.interop.msal_reasons import Entry

MAX_ENTRIES = 200_000
_NO_KEY = bytes(32)


class _State(NamedTuple):
    vault: Vault
    txnid: int
    found: dict[Hashable, list[Entry]]


class Memory:
    """The answers to searches, by what was asked; all are forgotten when any process writes."""

    def __init__(self) -> None:
        self._state: _State | None = None
        self._entries = 0
        self.accounts: Opened = {}  # those listed last: a write of something else leaves most of them as they are

    def recall(self, vault: Vault, asked: Hashable) -> list[Entry] | None:
        """Return the entries that were found, None where it is not known."""
        state = self._state
        if state is None or state.vault is not vault or state.txnid != vault.newest:
            return None
        return state.found.get(asked)

    def begin(self, vault: Vault) -> int:
        """Return the transaction whose state a search reads that begins now; 0 where that cannot be told."""
        newest = vault.newest
        seen, _ = _engine.read(vault.shared.store, _engine.APP, _NO_KEY)
        return newest if seen == newest else 0

    def keep(self, vault: Vault, txnid: int, asked: Hashable, entries: list[Entry]) -> None:
        """Keep what a search found that began in the state of `txnid`, unless somebody wrote meanwhile."""
        if not txnid or vault.newest != txnid:
            return
        state = self._state
        if state is None or state.vault is not vault or state.txnid != txnid or self._entries > MAX_ENTRIES:
            self._state = state = _State(vault, txnid, {})
            self._entries = 0
        self._entries += 1 + len(entries)
        if self._entries <= MAX_ENTRIES:
            state.found[asked] = entries
