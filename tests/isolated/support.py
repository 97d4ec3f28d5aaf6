"""What the tests of the engine and the cache, and their scripts in other processes, have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import warmtoken
from warmtoken import _engine
from warmtoken._engine import CachedToken
from warmtoken.cache.lookup_keys import Owner, Slot
from warmtoken.cache.records import AccessTokenRecord, IdTokenRecord, RefreshTokenRecord
from warmtoken.cache.token_cache import TokenCache
from warmtoken.cache.vault import NewTokens, Vault
from warmtoken.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HERE = Path(__file__).parent
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
FAR = 4_000_000_000  # Unix seconds


def environment() -> dict[str, str]:
    """Return an environment in which scripts import the same warmtoken, and this module, by either of its names."""
    package = Path(warmtoken.__file__).parent.parent
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(package), str(HERE), str(HERE.parent)])}


def start(script: str, *args: object, variables: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a script of this directory, with its standard streams as pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(HERE / script), *map(str, args)],
        stdin=pipe, stdout=pipe, text=True, env=environment() | (variables or {}),
    )  # fmt: skip


def finish(process: subprocess.Popen[str], timeout: float = 60) -> str:
    """Return what a script printed; AssertionError where it failed."""
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, f"{process.args}: exit status {process.returncode}, printed {out!r}"
    return out


def run(script: str, *args: object, timeout: float = 60, variables: dict[str, str] | None = None) -> str:
    """Run a script of this directory to its end and return what it printed."""
    return finish(start(script, *args, variables=variables), timeout)


def error_of(use: Callable[[], object]) -> CacheError:
    """Return the CacheError that a call raises; AssertionError where it raises none."""
    try:
        use()
    except CacheError as error:
        return error
    raise AssertionError("expected a CacheError")


class FileReader:
    """Another process that reads a cache file with py-lmdb, which knows nothing of our code."""

    def __init__(self) -> None:
        self._process = start("file_reader.py")

    def _ask(self, what: str, path: Path) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, str(path)]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def dump(self, path: Path) -> dict[str, dict[bytes, bytes]]:
        """Return all records by the name of their database."""
        found: dict[str, dict[str, str]] = self._ask("dump", path)
        return {
            name: {bytes.fromhex(key): bytes.fromhex(value) for key, value in records.items()}
            for name, records in found.items()
        }

    def readers(self, path: Path) -> list[int]:
        """Return the process ids in the reader table."""
        found: list[int] = self._ask("readers", path)
        return found

    def last_txnid(self, path: Path) -> int:
        """Return the newest transaction id."""
        found: int = self._ask("last_txnid", path)
        return found

    def close(self) -> None:
        """End the process."""
        finish(self._process)


class UnhurriedHits(_engine.Hits):
    """Results in memory whose file is looked at once a minute, not once a second.

    In place of `_engine.Hits`, for who expects results from memory: between two calls a slow machine may lose a second.
    """

    def checked(self) -> None:
        self.clock.monotonic_offset += 59 * 10**9
        super().checked()
        self.clock.monotonic_offset -= 59 * 10**9


def slot_of(user: str | None = "user-1", realm: str = "tenant-1") -> Slot:
    return Slot(Owner("idp.example.test", "client-1", user), realm)


def access_token(slot: Slot, secret: str, scopes: Iterable[str], expires_on: int = FAR) -> AccessTokenRecord:
    owner = slot.owner
    return AccessTokenRecord(
        owner.home_account_id or "",
        owner.authority,
        owner.client_id,
        slot.realm,
        " ".join(scopes),
        secret,
        1,
        expires_on,
    )


def new_tokens(
    secret: str,
    scopes: tuple[str, ...] = ("a",),
    *,
    user: str | None = "user-1",
    refresh: str = "",
    identity: str = "",
    expires_on: int = FAR,
) -> NewTokens:
    slot = slot_of(user)
    fields = slot.owner.home_account_id or "", slot.owner.authority, slot.owner.client_id
    return NewTokens(
        slot,
        scopes,
        access_token(slot, secret, scopes, expires_on),
        RefreshTokenRecord(*fields, refresh) if refresh else None,
        IdTokenRecord(*fields, slot.realm, identity) if identity else None,
    )


def open_vault(directory: Path | str, key: bytes = KEY) -> Vault:
    """Return the open vault of a directory; the store stays open as long as the vault lives."""
    return TokenCache(directory, key=key).vault()


def find(vault: Vault, scopes: tuple[str, ...] = ("a",), user: str | None = "user-1") -> CachedToken | None:
    return vault.find_access_token(slot_of(user), scopes, 0)


def secret_of(vault: Vault, scopes: tuple[str, ...] = ("a",), user: str | None = "user-1") -> str | None:
    found = find(vault, scopes, user)
    return None if found is None else found.secret
