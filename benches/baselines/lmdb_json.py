"""A cache that processes share, as py-lmdb and orjson make it in few lines: every lookup reads the file.

Nothing is sealed and nothing is kept in memory; a token is found only by exactly the scopes it was stored with.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import lmdb
import orjson

from benches.baselines.pure_python import MARGIN, MARGIN_SHARE, HasAccountId

MAP_SIZE = 1 << 30


class Token(NamedTuple):
    """What a lookup returns; the fields are those of the JSON object in the file."""

    access_token: str
    expires_on: int
    usable_until: float
    scopes: Sequence[str]
    account_id: str | None
    id_token: str | None


class LmdbJsonCache:
    """One client's tokens in a file; its keys hold up to 511 bytes of client, account and scopes."""

    def __init__(self, directory: Path, client_id: str) -> None:
        self._client_id = client_id
        self._env = lmdb.open(str(directory), map_size=MAP_SIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._env.close()

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
        """Store a token in a synced commit; times are Unix seconds."""
        usable_until = expires_on - min(MARGIN, MARGIN_SHARE * (expires_on - cached_at))
        account_id = None if account is None else account.home_account_id
        token = Token(access_token, expires_on, usable_until, scopes, account_id, id_token)
        with self._env.begin(write=True) as txn:
            txn.put(self._key(scopes, account_id), orjson.dumps(token._asdict()))

    def acquire_token_silent(self, scopes: Iterable[str], account: HasAccountId | None = None) -> Token | None:
        """Return the token for exactly these scopes if it is not within the margin of its expiry."""
        return self._find(scopes, None if account is None else account.home_account_id)

    def acquire_token_for_client(self, scopes: Iterable[str]) -> Token | None:
        """Return the client's own token, under the same rules."""
        return self._find(scopes, None)

    def _find(self, scopes: Iterable[str], account_id: str | None) -> Token | None:
        key = self._key(scopes, account_id)
        with self._env.begin(buffers=True) as txn:
            value = txn.get(key)
            fields = None if value is None else orjson.loads(value)
        if fields is None or time.time() >= fields["usable_until"]:
            return None
        return Token(**fields)

    def _key(self, scopes: Iterable[str], account_id: str | None) -> bytes:
        return "\0".join((self._client_id, account_id or "", *sorted(scopes))).encode()
