"""The hand-written cache with cachetools in place of its dict: bounded, least recently used out first, expiry by item.

Its TTLCache knows one lifetime for all items only; TLRUCache asks a function, here until when a token is usable.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from cachetools import TLRUCache

from benches.baselines.pure_python import HasAccountId, Key, PurePythonCache, Token

MOST = 16_384  # tokens, as many as warmtoken keeps in memory


class CachetoolsCache(PurePythonCache):
    """One client's tokens."""

    def __init__(self, client_id: str) -> None:
        super().__init__(client_id)
        self._tokens: TLRUCache[Key, Token] = TLRUCache(MOST, ttu=_usable_until, timer=time.time)

    def acquire_token_silent(self, scopes: Iterable[str], account: HasAccountId | None = None) -> Token | None:
        """Return the token for exactly these scopes if it is not within the margin of its expiry."""
        return self._find((self._client_id, None if account is None else account.home_account_id, frozenset(scopes)))

    def acquire_token_for_client(self, scopes: Iterable[str]) -> Token | None:
        """Return the client's own token, under the same rules."""
        return self._find((self._client_id, None, frozenset(scopes)))

    def _find(self, key: Key) -> Token | None:
        # Not get(): it looks the key up twice.
        with self._lock:
            try:
                return self._tokens[key]
            except KeyError:
                return None


def _usable_until(key: Key, token: Token, now: float) -> float:
    return token.usable_until
