"""What the caches in files and servers have in common: one JSON object a token, under a key of client, user, scopes.

Nothing is sealed and nothing is kept in memory; a token is found only by exactly the scopes it was stored with.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

from benches.baselines.pure_python import MARGIN, MARGIN_SHARE, HasAccountId


class Token(NamedTuple):
    """What a lookup returns; the fields are those of the JSON object."""

    access_token: str
    expires_on: int
    usable_until: float
    scopes: Sequence[str]
    account_id: str | None
    id_token: str | None


class JsonTokens(ABC):
    """One client's tokens; every lookup reads the store."""

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of the store."""

    @abstractmethod
    def _write(self, key: str, value: bytes) -> None:
        """Store a JSON object."""

    @abstractmethod
    def _read(self, key: str) -> Mapping[str, Any] | None:
        """Return a JSON object as it was stored, parsed; None if there is none."""

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
        """Store a token in a commit of its own; times are Unix seconds."""
        usable_until = expires_on - min(MARGIN, MARGIN_SHARE * (expires_on - cached_at))
        account_id = None if account is None else account.home_account_id
        token = Token(access_token, expires_on, usable_until, scopes, account_id, id_token)
        self._write(self._key(scopes, account_id), orjson.dumps(token._asdict()))

    def acquire_token_silent(self, scopes: Iterable[str], account: HasAccountId | None = None) -> Token | None:
        """Return the token for exactly these scopes if it is not within the margin of its expiry."""
        return self._find(scopes, None if account is None else account.home_account_id)

    def acquire_token_for_client(self, scopes: Iterable[str]) -> Token | None:
        """Return the client's own token, under the same rules."""
        return self._find(scopes, None)

    def _find(self, scopes: Iterable[str], account_id: str | None) -> Token | None:
        fields = self._read(self._key(scopes, account_id))
        if fields is None or time.time() >= fields["usable_until"]:
            return None
        return Token(**fields)

    def _key(self, scopes: Iterable[str], account_id: str | None) -> str:
        return "\0".join((self._client_id, account_id or "", *sorted(scopes)))
