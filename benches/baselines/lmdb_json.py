"""A cache that processes share, as py-lmdb and orjson make it in few lines: every lookup reads the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb
import orjson

from benches.baselines.json_tokens import JsonTokens

MAP_SIZE = 1 << 30


class LmdbJsonCache(JsonTokens):
    """One client's tokens in a file; its keys hold up to 511 bytes of client, account and scopes."""

    def __init__(self, directory: Path, client_id: str) -> None:
        super().__init__(client_id)
        self._env = lmdb.open(str(directory), map_size=MAP_SIZE)

    def close(self) -> None:
        """Close the file."""
        self._env.close()

    def _write(self, key: str, value: bytes) -> None:
        with self._env.begin(write=True) as txn:
            txn.put(key.encode(), value)

    def _read(self, key: str) -> Mapping[str, Any] | None:
        with self._env.begin(buffers=True) as txn:
            value = txn.get(key.encode())
            return None if value is None else orjson.loads(value)
