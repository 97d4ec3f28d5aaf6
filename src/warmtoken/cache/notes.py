"""Remembers for all processes why the provider is not asked again for a while."""

from __future__ import annotations

import contextlib
import os

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.live_sealer import LiveSealer, commit_sealed
from warmtoken.cache.records import NoteRecord
from warmtoken.cache.sealing import HEADER, Header, RecordType, read_header
from warmtoken.cache.shared_store import SharedStore
from warmtoken.errors import CacheError, ClientError

_LOOKED_AT = 16  # notes, at each write of one
_KEPT_UNSAVED = 1024


class Notes:
    """The notes in one cache file, and those that could not be written, which this process alone has.

    Times are Unix milliseconds.
    """

    def __init__(self, shared: SharedStore, sealer: LiveSealer) -> None:
        self._shared = shared
        self._store = shared.store
        self._unsaved: dict[bytes, tuple[int, NoteRecord]] = shared.unsaved_notes
        self._sealer = sealer

    def find(self, key: bytes, now: int) -> tuple[NoteRecord, int] | None:
        """Return the note at a key and when it ends; None where there is none that holds now."""
        found = self._stored(key)
        if found is None or not _holds(found, now):
            found = self._unsaved.get(key)
        if found is None or not _holds(found, now):
            return None
        return found[1], found[0]

    def _stored(self, key: bytes) -> tuple[int, NoteRecord] | None:
        _, value = _engine.read(self._store, _engine.NOTE, key)
        plain = None if value is None else self._sealer.unseal(RecordType.NOTE, key, value)
        if value is None or plain is None:
            return None
        return read_header(value).expires_ms, records.decode_note(plain)

    def has_ended(self, key: bytes, now: int) -> bool:
        """Tell whether there is a note at a key that holds no more, and may be deleted."""
        _, value = _engine.read(self._store, _engine.NOTE, key)
        return value is not None and _has_ended(value, now)

    def delete(self, key: bytes) -> None:
        """Delete the note at a key; it is no harm if that cannot be done."""
        with contextlib.suppress(CacheError, ClientError):
            self._shared.commit([(_engine.DELETE, _engine.NOTE, key)])

    def put(self, key: bytes, note: NoteRecord, expires: int) -> None:
        """Write a note that holds until `expires`, and delete some that have ended; never raises CacheError."""
        try:
            ended = self.some_ended(note.noted_ms)
            commit_sealed(self._shared, self._sealer, lambda: [*ended, self._put(key, note, expires)])
            self._unsaved.pop(key, None)
        except (CacheError, ClientError):  # full, locked, or closed meanwhile: the provider's words matter more
            if len(self._unsaved) >= _KEPT_UNSAVED:
                self._unsaved.clear()
            self._unsaved[key] = expires, note

    def _put(self, key: bytes, note: NoteRecord, expires: int) -> Operation:
        sealed = self._sealer.seal(RecordType.NOTE, key, records.encode(note), Header(expires, 0, 1))
        return _engine.PUT, _engine.NOTE, key, sealed

    def some_ended(self, now: int, prefix: bytes = b"") -> list[Operation]:
        """Return what deletes some of the notes that have ended, and of what lies among them, under a prefix or all."""
        # From a random place on: keys are hashes, so that all notes come up in the end.
        page = _engine.scan(self._store, _engine.NOTE, prefix, prefix + os.urandom(32 - len(prefix)), _LOOKED_AT)
        return [(_engine.DELETE, _engine.NOTE, key) for key, value in page if _has_ended(value, now)]

    def forget_unsaved(self, partition: bytes) -> None:
        """Forget what could not be written about an owner."""
        for key in [key for key in list(self._unsaved) if key.startswith(partition)]:
            self._unsaved.pop(key, None)


def _holds(found: tuple[int, NoteRecord], now: int) -> bool:
    # A note from the future says that the clock was set back: nobody knows how long ago it was made.
    return found[1].noted_ms <= now < found[0]


def _has_ended(value: bytes, now: int) -> bool:
    return len(value) < HEADER.size or read_header(value).expires_ms <= now
