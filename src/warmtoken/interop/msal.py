"""A token cache for MSAL Python's applications: shared by processes, encrypted, and as fast for many users as for one.

    app = msal.PublicClientApplication(client_id, token_cache=warmtoken.interop.msal.TokenCache())

MSAL decides what it keeps and what it looks for; this puts it into the records of a `warmtoken.TokenCache`, so that
applications of both libraries see each other's tokens. Needs the extra `msal`.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from msal import TokenCache as _MsalTokenCache  # pyright: ignore[reportMissingTypeStubs]

import warmtoken
from warmtoken import _engine
from warmtoken.cache.best_effort import write_or_log
from warmtoken.cache.entries import Found
from warmtoken.cache.sealing import RecordType
from warmtoken.errors import ClientError
from warmtoken.interop.msal_changes import Change, write
from warmtoken.interop.msal_contents import Contents, KeyMakers, Section, take_in, unknown_sections
from warmtoken.interop.msal_memory import Memory
from warmtoken.interop.msal_queries import Query, Search, query_of
from warmtoken.interop.msal_reasons import Entry
from warmtoken.interop.msal_records import KIND_OF, entry_of

if TYPE_CHECKING:
    from warmtoken.cache.vault import Vault

__all__ = ["SerializableTokenCache", "TokenCache"]

_MARGIN = 300.0  # seconds before its expiry from which on MSAL uses no token
_ENTRY_WEIGHT = 2048  # bytes, roughly, of an entry beside its token
_ACCESS_TOKEN = "AccessToken"

Request = tuple[tuple[Any, ...], str]


class TokenCache(_MsalTokenCache):  # type: ignore[misc] # msal has no types
    """A `token_cache=` for MSAL's applications.

    `cache` is where the tokens are; None is the user's own shared cache, as for `warmtoken` applications. Nothing is
    opened before the first use. What a method reads or writes raises CacheError where the file cannot be used; a
    reply that cannot be stored is logged, and the application gets its token all the same.
    """

    def __init__(self, cache: warmtoken.TokenCache | None = None) -> None:
        if cache is not None and not isinstance(cache, warmtoken.TokenCache):
            raise TypeError(f"expected cache to be a warmtoken.TokenCache or None, got {type(cache).__name__}")
        self.shared = warmtoken.TokenCache() if cache is None else cache
        self.key_makers: KeyMakers = _MsalTokenCache().key_makers  # pyright: ignore[reportUnknownMemberType]
        self._lock = nullcontext()  # MSAL's: it guards nothing here, and must not bar a process that fork made
        self._adding = threading.local()
        self._memory = Memory()
        self._view: _engine.View | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shared!r})"

    def _open(self) -> Vault:
        vault = self.shared.vault()
        if vault.needs_heal:
            vault.heal()
        return vault

    # --- searching ---

    def search(  # pyright: ignore[reportIncompatibleMethodOverride] # not always a generator, which nobody needs
        self,
        credential_type: str,
        target: Iterable[str] | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        now: float | None = None,
    ) -> Iterator[Entry]:
        """Iterate over the entries of a type that have the fields of `query`; tokens cover the scopes of `target`.

        Access tokens that expired before `now` (Unix seconds) are left out, but for the one that serves a query for
        one place best. Nothing is locked while the caller runs, and it may write.
        """
        fields = query or {}
        if credential_type == _ACCESS_TOKEN:
            return self._access_tokens(tuple(target or ()), fields, now)
        if credential_type not in KIND_OF:
            return iter(())
        asked = (credential_type, *fields.items())
        kept = self._memory.recall(self.shared.vault(), asked)
        return self._found(credential_type, fields, asked) if kept is None else map(dict, kept)

    def find(
        self,
        credential_type: str,
        target: Iterable[str] | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        now: float | None = None,
    ) -> list[Entry]:
        """Return `list(search(...))`, as MSAL's deprecated method of this name."""
        warnings.warn("Use list(search(...)) instead to explicitly get a list.", DeprecationWarning, stacklevel=2)
        return list(self.search(credential_type, target, query, now=now))

    def _access_tokens(self, scopes: tuple[str, ...], fields: Mapping[str, Any], now: float | None) -> Iterator[Entry]:
        # As the engine tells requests apart: the values behind the scopes, as many as there are names.
        request = (*scopes, *[value or "" for value in fields.values()]), " ".join(fields)
        kept = self._window().lookup(request[0], None, request[1])
        if kept is not None:
            return self._kept_and_others(kept, query_of(fields, scopes), now)
        if self._memory.recall(self.shared.vault(), request) is not None:
            return iter(())
        return self._searched(query_of(fields, scopes), request, now)

    def _kept_and_others(self, kept: Entry, query: Query, now: float | None) -> Iterator[Entry]:
        yield dict(kept)
        yield from self._others(self._open(), query, [kept], now)

    def _searched(self, query: Query, request: Request, now: float | None) -> Iterator[Entry]:
        vault = self._open()
        if not query.names_a_slot:
            yield from self._unexpired(Search(vault).entries(RecordType.ACCESS_TOKEN, query), now)
            return
        found: list[Entry] = []
        yield from self._best(vault, query, request, found)
        if found:
            yield from self._others(vault, query, found, now)

    def _others(self, vault: Vault, query: Query, found: list[Entry], now: float | None) -> Iterator[Entry]:
        others = Search(vault).all_in_slots(query)
        return (entry for entry in self._unexpired(others, now) if entry not in found)

    def _best(self, vault: Vault, query: Query, request: Request, found: list[Entry]) -> Iterator[Entry]:
        txnid = self._memory.begin(vault)
        for best in Search(vault).best(query, time.time() + _MARGIN):
            entry = entry_of(RecordType.ACCESS_TOKEN, best.record)
            if not found:
                self._remember(request, best, entry)
            found.append(entry)
            yield dict(entry)
        if not found:
            self._memory.keep(vault, txnid, request, [])

    def _remember(self, request: Request, best: Found, entry: Entry) -> None:
        witnesses = _engine.Witnesses([(_engine.ACCESS, best.key, best.sealed)])
        until, weight = best.record.expires_on * 1000, _ENTRY_WEIGHT + len(best.record.secret)
        self._window().remember(request[0], None, request[1], entry, until, best.txnid, witnesses, weight)

    def _window(self) -> _engine.View:
        if self._view is None or not self._view.is_live:
            self._view = self.shared.view()
        return self._view

    def _unexpired(self, entries: Iterator[Entry], now: float | None) -> Iterator[Entry]:
        since = int(time.time() if now is None else now)
        return (entry for entry in entries if int(entry["expires_on"]) >= since)

    def _found(self, credential_type: str, fields: Mapping[str, Any], asked: tuple[Any, ...]) -> Iterator[Entry]:
        vault, kind = self._open(), KIND_OF[credential_type]
        if kind is RecordType.REFRESH_TOKEN and vault.shared.unsaved:
            vault.save_unsaved()  # the one in the file may be spent
        txnid = self._memory.begin(vault)
        found: list[Entry] = []
        query = query_of(fields, ())
        listed = self._memory.accounts if kind is RecordType.ACCOUNT and query.user is None else None
        for entry in Search(vault).entries(kind, query, listed):
            found.append(entry)
            yield dict(entry)
        self._memory.keep(vault, txnid, asked, found)

    def _get_app_metadata(self, environment: str, client_id: str, default: Any = None) -> Any:
        found = list(self.search("AppMetadata", query={"environment": environment, "client_id": client_id}))
        return found[0] if found else default

    # --- writing ---

    def add(self, event: Mapping[str, Any], now: float | None = None) -> None:
        """Take in what a token request brought, in one transaction."""
        changes: list[Change] = []
        self._adding.changes = changes
        try:
            super().add(event, now)  # pyright: ignore[reportUnknownMemberType]
        finally:
            self._adding.changes = None
        write_or_log(lambda: self._write(changes), "a token could not be stored")

    def _write(self, changes: list[Change]) -> None:
        if not self._wrote(changes):
            raise ClientError("text_invalid", "expected texts that are Unicode, got others")

    def _wrote(self, changes: list[Change]) -> bool:
        try:
            write(self._open(), changes)
        except UnicodeEncodeError:  # JSON has texts that are none; the error holds the token
            return False
        return True

    def modify(
        self, credential_type: str, old_entry: Mapping[str, Any], new_key_value_pairs: Mapping[str, Any] | None = None
    ) -> None:
        """Write an entry with some fields changed, or remove it where there are none."""
        entry = {**old_entry, **(new_key_value_pairs or {})}
        change = Change(KIND_OF[credential_type], entry, is_removal=not new_key_value_pairs)
        adding: list[Change] | None = getattr(self._adding, "changes", None)
        if adding is None:
            self._write([change])
        else:
            adding.append(change)

    # --- all of it ---

    @property
    def _cache(self) -> Contents:
        # MSAL keeps a dict of this name, which programs look into.
        return Contents(self._open(), self.key_makers)


class SerializableTokenCache(TokenCache):
    """The same for programs that keep MSAL's cache themselves: they need to no more, but may go on doing so.

    `has_state_changed` tells whether this object has written anything since the last `serialize` or `deserialize`.
    """

    has_state_changed = False

    def __init__(self, cache: warmtoken.TokenCache | None = None) -> None:
        super().__init__(cache)
        self._strange: dict[str, Section] = {}  # by section and key

    def add(self, event: Mapping[str, Any], now: float | None = None) -> None:
        """Take in what a token request brought, in one transaction."""
        super().add(event, now)
        self.has_state_changed = True

    def modify(
        self, credential_type: str, old_entry: Mapping[str, Any], new_key_value_pairs: Mapping[str, Any] | None = None
    ) -> None:
        """Write an entry with some fields changed, or remove it where there are none."""
        super().modify(credential_type, old_entry, new_key_value_pairs)
        self.has_state_changed = True

    def serialize(self) -> str:
        """Return all that is in the cache as MSAL Python's JSON."""
        self.has_state_changed = False
        contents = unknown_sections(self._open()) | self._strange | dict(self._cache)
        known = {name: {**found, **self._strange.get(name, {})} for name, found in contents.items() if name in KIND_OF}
        return json.dumps(contents | known, indent=4)

    def deserialize(self, state: str | None) -> None:
        """Take in what `serialize` of any MSAL cache returned, in one transaction.

        What is in the shared cache already stays there where it is newer. Entries that cannot be used are in what
        this object serializes again. Raises ValueError and ClientError for a text that is no MSAL cache.
        """
        if state:
            self._strange = take_in(self._open(), state)
        self.has_state_changed = False
