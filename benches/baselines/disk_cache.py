"""The same with diskcache, which keeps small values in SQLite itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diskcache
import orjson

from benches.baselines.json_tokens import JsonTokens


class DiskCache(JsonTokens):
    """One client's tokens in a directory, with the settings that diskcache has by itself."""

    def __init__(self, directory: Path, client_id: str) -> None:
        super().__init__(client_id)
        self._cache = diskcache.Cache(str(directory))

    def close(self) -> None:
        """Close the directory."""
        self._cache.close()

    def _write(self, key: str, value: bytes) -> None:
        self._cache.set(key, value)

    def _read(self, key: str) -> Mapping[str, Any] | None:
        value = self._cache.get(key)
        return None if value is None else orjson.loads(value)
