"""A token cache as a careful programmer writes it in an afternoon: a dict, a lock, an expiry check.

It lives in one process, finds a token only by exactly the scopes it was stored with, and forgets all at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

MARGIN = 300.0  # seconds
MARGIN_SHARE = 0.1  # of the lifetime, at most

Key = tuple[str, str | None, frozenset[str]]


class HasAccountId(Protocol):
    """Any account object."""

    @property
    def home_account_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Token:
    """What a lookup returns, made once when the token is stored."""

    access_token: str
    expires_on: int
    usable_until: float
    scopes: tuple[str, ...]
    account: HasAccountId | None
    id_token: str | None


class PurePythonCache:
    """One client's tokens."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._tokens: dict[Key, Token] = {}
        self._lock = threading.Lock()

    def save(
        self,
        scopes: tuple[str, ...],
        account: HasAccountId | None,
        *,
        access_token: str,
        id_token: str | None,
        cached_at: int,
        expires_on: int,
    ) -> None:
        """Store a token; times are Unix seconds. The margin is settled here, so that no lookup computes it."""
        usable_until = expires_on - min(MARGIN, MARGIN_SHARE * (expires_on - cached_at))
        token = Token(access_token, expires_on, usable_until, scopes, account, id_token)
        account_id = None if account is None else account.home_account_id
        with self._lock:
            self._tokens[self._client_id, account_id, frozenset(scopes)] = token

    def acquire_token_silent(self, scopes: Iterable[str], account: HasAccountId | None = None) -> Token | None:
        """Return the token for exactly these scopes if it is not within the margin of its expiry."""
        key = (self._client_id, None if account is None else account.home_account_id, frozenset(scopes))
        with self._lock:
            token = self._tokens.get(key)
        if token is None or time.time() >= token.usable_until:
            return None
        return token

    def acquire_token_for_client(self, scopes: Iterable[str]) -> Token | None:
        """Return the client's own token, under the same rules."""
        key = (self._client_id, None, frozenset(scopes))
        with self._lock:
            token = self._tokens.get(key)
        if token is None or time.time() >= token.usable_until:
            return None
        return token


class AsyncPurePythonCache:
    """The tokens of a cache for asyncio: one loop in one thread, so there is no lock, and one coroutine a call."""

    def __init__(self, cache: PurePythonCache) -> None:
        self._client_id = cache._client_id
        self._tokens = cache._tokens

    async def acquire_token_silent(self, scopes: Iterable[str], account: HasAccountId | None = None) -> Token | None:
        """Return the token for exactly these scopes if it is not within the margin of its expiry."""
        key = (self._client_id, None if account is None else account.home_account_id, frozenset(scopes))
        token = self._tokens.get(key)
        if token is None or time.time() >= token.usable_until:
            return None
        return token
