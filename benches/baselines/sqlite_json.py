"""The same in SQLite, with the module of the standard library: one row a token, write-ahead log, a prepared select.

The module keeps the statement compiled: the text is the same at every lookup. Commits are synced at checkpoints only
(`synchronous=NORMAL`), as SQLite's documentation advises for this kind of log; lookups do not depend on that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from benches.baselines.json_tokens import JsonTokens

SETTINGS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
TABLE = "CREATE TABLE IF NOT EXISTS tokens (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
SELECT = "SELECT value FROM tokens WHERE key = ?"
REPLACE = "REPLACE INTO tokens VALUES (?, ?)"


class SqliteCache(JsonTokens):
    """One client's tokens in a file."""

    def __init__(self, directory: Path, client_id: str) -> None:
        super().__init__(client_id)
        self._connection = sqlite3.connect(directory / "tokens.sqlite", isolation_level=None)
        self._connection.executescript(SETTINGS)
        self._connection.execute(TABLE)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _write(self, key: str, value: bytes) -> None:
        self._connection.execute(REPLACE, (key, value))

    def _read(self, key: str) -> Mapping[str, Any] | None:
        row = self._connection.execute(SELECT, (key,)).fetchone()
        return None if row is None else orjson.loads(row[0])
