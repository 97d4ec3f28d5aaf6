"""Reads and writes tokens and accounts: from lookup keys and sealed records to what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from warmtoken import _engine
from warmtoken._engine import CachedToken
from warmtoken.cache import records
from warmtoken.cache.clients import Clients
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.live_sealer import LiveSealer, commit_sealed
from warmtoken.cache.lookup_keys import LookupKeys, Owner, PlainRequest, Slot
from warmtoken.cache.notes import Notes
from warmtoken.cache.records import (
    AccessTokenRecord,
    AccountRecord,
    AppRecord,
    IdTokenRecord,
    RefreshTokenRecord,
)
from warmtoken.cache.sealing import HEADER, MAGIC, Header, RecordType, read_header
from warmtoken.cache.shared_store import SharedStore
from warmtoken.errors import CacheError

_NEVER_EXPIRES = Header(0, 0, 1)


class CachedRefreshToken(NamedTuple):
    """A refresh token as found; `generation` tells whether it was replaced since."""

    record: RefreshTokenRecord
    key: bytes
    sealed_head: bytes
    generation: int


class Replacing(NamedTuple):
    """Write the refresh token only where this one is still there, or there is none at all (None)."""

    found: CachedRefreshToken | None


class NewTokens(NamedTuple):
    """What one token reply brings into the cache; what it did not bring is None.

    `refresh_at` is the Unix time at which the access token is to be refreshed, 0 where it does not say.
    """

    slot: Slot
    scopes: tuple[str, ...] = ()
    access_token: AccessTokenRecord | None = None
    refresh_token: RefreshTokenRecord | None = None
    id_token: IdTokenRecord | None = None
    account: AccountRecord | None = None
    app: AppRecord | None = None
    replacing: Replacing | None = None
    refresh_at: float = 0.0


class Vault:
    """The tokens and accounts in one cache file."""

    def __init__(self, shared: SharedStore, sealer: LiveSealer) -> None:
        self.shared = shared
        self.keys = LookupKeys(sealer.index_key)
        self.clients = Clients(shared.store, sealer, self.keys)
        self._sealer = sealer
        self._store = shared.store
        self.notes = Notes(shared, sealer)
        self.background_refreshes = 0
        self.background_failures = 0
        self.throttled = 0
        self.found = 0
        self.missed = 0
        self.expired = 0

    @property
    def newest(self) -> int:
        """The newest transaction that any process has written; it moves when anything was written."""
        return self._store.newest

    @property
    def sealer(self) -> LiveSealer:
        """What seals the records, with the keys of the file."""
        return self._sealer

    @property
    def refused_records(self) -> int:
        """How many records did not verify since the cache was opened."""
        return self._sealer.refused

    @property
    def needs_heal(self) -> bool:
        """Whether readers do not see the newest commit, since its writer died."""
        return self._store.needs_heal

    def heal(self) -> None:
        """Make the newest commit visible to readers."""
        self.shared.heal()

    def write(self, seal: Callable[[], list[Operation]]) -> bool:
        """Write what `seal` returns in one transaction, and tell whether what it expects was so.

        `seal` is asked again where the data key was retired meanwhile. Raises CacheError; then nothing was written.
        """
        return commit_sealed(self.shared, self._sealer, seal)

    # --- access tokens ---

    def find_access_token(self, slot: Slot, scopes: tuple[str, ...], usable_after: float) -> CachedToken | None:
        """Return the access token of a slot that covers `scopes` (folded, sorted) and expires last, usable or not.

        `usable_after` is in Unix seconds: an exact match that expires later is taken without a look at the others.
        """
        partition, user = self.keys.partition_and_user(slot.owner)
        return self._find(self.keys.wanted(slot, scopes), partition, user, usable_after)

    def find_users_token(self, plain: PlainRequest, home_account_id: str, usable_after: float) -> CachedToken | None:
        """Return what `find_access_token` does, for a request as most are."""
        partition, user = plain.partition_and_user(home_account_id)
        return self._find(plain.wanted, partition, user, usable_after)

    def _find(
        self, wanted: _engine.Wanted, partition: bytes, user: str | None, usable_after: float
    ) -> CachedToken | None:
        found = _engine.load_token(self._store, self._sealer, wanted, partition, user, int(usable_after * 1000))
        if found is None:
            self.missed += 1
        else:
            self.found += 1
        return found

    def access_tokens(self, owner: Owner) -> Iterator[AccessTokenRecord]:
        """Return all access tokens of an owner, usable or not."""
        plains = self._plains(_engine.ACCESS, RecordType.ACCESS_TOKEN, self.keys.partition(owner))
        return map(records.decode_access_token, plains)

    def remove_access_tokens(self, owner: Owner) -> None:
        """Delete all access tokens of an owner, in one transaction."""
        self.shared.commit([(_engine.DELETE_TOKENS, _engine.ACCESS, self.keys.partition(owner))])

    def id_tokens(self, owner: Owner) -> Iterator[IdTokenRecord]:
        """Return one user's id tokens, one for each realm."""
        plains = self._plains(_engine.IDENTITY, RecordType.ID_TOKEN, self.keys.partition(owner))
        return map(records.decode_id_token, plains)

    def nothing_for(self, slot: Slot, scopes: tuple[str, ...]) -> int:
        """Return a transaction as of which no token serves a request and its user has no refresh token, else 0."""
        keys, owner = self.keys, slot.owner
        return _engine.nothing_for(
            self._store, keys.wanted(slot, scopes), keys.partition(owner), keys.refresh_token(owner)
        )

    # --- refresh tokens ---

    def find_refresh_token(self, owner: Owner, family_id: str = "") -> CachedRefreshToken | None:
        """Return the owner's refresh token, or None."""
        return self._refresh_token_at(self.keys.refresh_token(owner, family_id))

    def has_refresh_token(self, owner: Owner, family_id: str = "") -> bool:
        """Tell whether there is a refresh token, whatever it is worth."""
        _, value = _engine.read(self._store, _engine.REFRESH, self.keys.refresh_token(owner, family_id))
        return value is not None

    def _refresh_token_at(self, key: bytes) -> CachedRefreshToken | None:
        _, value = _engine.read(self._store, _engine.REFRESH, key)
        plain = None if value is None else self._sealer.unseal(RecordType.REFRESH_TOKEN, key, value)
        if value is None or plain is None:
            return None
        head = value[: HEADER.size]
        return CachedRefreshToken(records.decode_refresh_token(plain), key, head, read_header(value).generation)

    def delete_refresh_token(self, found: CachedRefreshToken) -> bool:
        """Delete a refresh token that proved dead, and tell whether it was still the one in the file."""
        while True:
            expected = (_engine.EXPECT, _engine.REFRESH, found.key, found.sealed_head)
            if self.shared.commit([expected, (_engine.DELETE, _engine.REFRESH, found.key)])[1]:
                return True
            resealed = self._resealed(found)
            if resealed is None:
                return False
            found = resealed

    def _resealed(self, found: CachedRefreshToken) -> CachedRefreshToken | None:
        # The same token, which a change of the data key sealed anew since it was found.
        now = self._refresh_token_at(found.key)
        same = now is not None and now.sealed_head != found.sealed_head and now[:2] == found[:2]
        return now if now is not None and same and now.generation == found.generation else None

    # --- replies ---

    def save(self, new: NewTokens) -> None:
        """Write all that a token reply brought in one transaction.

        Where the refresh token was replaced meanwhile, by a sign-in say, the newer one stays and the rest is written;
        where it was removed, by a sign-out, nothing is.
        A refresh token that cannot be written is kept for `save_unsaved`: the one in the file may be spent.
        """
        try:
            self._write(new)
        except CacheError:
            if new.refresh_token is not None:
                self.shared.keep_unsaved([new])
            raise
        if new.replacing is None and new.refresh_token is not None and self.shared.unsaved:
            key = self._key_of_refresh_token(new)  # an earlier sign-in must not be written after this one
            self.forget_unsaved(lambda earlier: self._key_of_refresh_token(earlier) == key)

    def save_unsaved(self) -> None:
        """Write what could not be written before; CacheError where it still cannot."""
        # All wait for the one who writes: whoever goes on must find the newest refresh token in the file.
        with self.shared.saving:
            while self.shared.unsaved:
                self._write(self.shared.unsaved[0])
                self.shared.unsaved.pop(0)

    def forget_unsaved(self, is_over: Callable[[NewTokens], bool]) -> None:
        """Forget those replies which could not be written that must not be any more."""
        with self.shared.saving:
            self._forget_unsaved(is_over)

    def _forget_unsaved(self, is_over: Callable[[NewTokens], bool]) -> None:
        # Called with the lock `saving`: what is being written just now is not taken from under the hand.
        for new in list(self.shared.unsaved):
            if is_over(new):
                self.shared.unsaved.remove(new)

    def _write(self, new: NewTokens) -> None:
        if self.write(lambda: self._refresh_operations(new) + self._rest_operations(new)):
            if new.replacing is None and new.account is not None:  # a sign-in: what was refused before may go now
                self.notes.forget_unsaved(self.keys.partition(new.slot.owner))
            return
        found = new.replacing.found if new.replacing is not None else None
        resealed = None if found is None else self._resealed(found)
        if resealed is not None:
            self._write(new._replace(replacing=Replacing(resealed)))
        else:
            self.write(lambda: [self._still_signed_in(new), *self._rest_operations(new)])

    def _refresh_operations(self, new: NewTokens) -> list[Operation]:
        token = new.refresh_token
        if token is None:
            return [self._still_signed_in(new)] if new.replacing is not None else []
        key = self.keys.refresh_token(new.slot.owner, token.family_id)
        found = new.replacing.found if new.replacing is not None else None
        generation = found.generation if found and found.key == key else self._generation_at(key)
        header = Header(0, 0, generation + 1).within(new.slot.owner.partition)
        put = self._put(_engine.REFRESH, RecordType.REFRESH_TOKEN, key, token, header)
        if new.replacing is None:
            return [put]
        if found is None:
            return [(_engine.EXPECT, _engine.REFRESH, key, b""), put]
        return [(_engine.EXPECT, _engine.REFRESH, found.key, found.sealed_head), put, *self._spent(found, key)]

    def _key_of_refresh_token(self, new: NewTokens) -> bytes:
        return self.keys.refresh_token(new.slot.owner, new.refresh_token.family_id if new.refresh_token else "")

    def _generation_at(self, key: bytes) -> int:
        _, old = _engine.read(self._store, _engine.REFRESH, key)
        return read_header(old).generation if old else 0

    def _spent(self, found: CachedRefreshToken, successor: bytes) -> list[Operation]:
        # A client's own token that was redeemed for the family's is done with; the family's is for others, too.
        if found.key == successor or found.record.family_id:
            return []
        return [(_engine.DELETE, _engine.REFRESH, found.key)]

    def _still_signed_in(self, new: NewTokens) -> Operation:
        found = new.replacing.found if new.replacing is not None else None
        key = found.key if found is not None else self.keys.refresh_token(new.slot.owner)
        return _engine.EXPECT, _engine.REFRESH, key, MAGIC

    def _rest_operations(self, new: NewTokens) -> list[Operation]:
        owner = new.slot.owner
        operations = self._session_operations(new) + self._access_token_operations(new)
        if new.id_token is not None:
            key = self.keys.id_token(owner.user, new.id_token.realm)
            header = _NEVER_EXPIRES.within(owner.partition)
            operations.append(self._put(_engine.IDENTITY, RecordType.ID_TOKEN, key, new.id_token, header))
        if new.account is not None:
            operations += self._account_operations(owner, new.account, new.refresh_token)
            if new.replacing is None:
                operations.append((_engine.DELETE_PREFIX, _engine.NOTE, self.keys.partition(owner)))
        if new.app is not None and self.app(owner) != new.app:
            operations.append(self._app_operation(owner, new.app))
        return operations + self._client_operations(new)

    def _session_operations(self, new: NewTokens) -> list[Operation]:
        if not new.slot.owner.session:
            return []
        from warmtoken.cache.sessions import entries_of

        return entries_of(self, new)

    def _account_operations(
        self, owner: Owner, account: AccountRecord, refresh: RefreshTokenRecord | None
    ) -> list[Operation]:
        # Whoever may use the family's refresh token must find the account that it is for.
        families = _own_and(refresh.family_id if refresh is not None else "")
        keys = [self.keys.account_in(owner, account.realm, family) for family in families]
        header = _NEVER_EXPIRES.within(owner.partition)
        return [self._put(_engine.ACCOUNT, RecordType.ACCOUNT, key, account, header) for key in keys]

    def _access_token_operations(self, new: NewTokens) -> list[Operation]:
        record = new.access_token
        if record is None:
            return []
        key = self.keys.access_token(new.slot, new.scopes)
        header = Header(record.expires_on * 1000, int((new.refresh_at or record.refresh_on) * 1000), 1)
        header = header.within(new.slot.owner.partition)
        sealed = self._sealer.seal(RecordType.ACCESS_TOKEN, key, records.encode(record), header)
        hashes = b"".join(self.keys.scopes(new.slot, new.scopes))
        return [(_engine.PUT_TOKEN, _engine.ACCESS, key, sealed, hashes)]

    def _client_operations(self, new: NewTokens) -> list[Operation]:
        # Where the reply says nothing of a host there is nothing to know.
        found = new.access_token or new.refresh_token or new.account or new.id_token or new.app
        token_type = new.slot.token_type if new.access_token else "Bearer"
        return self.clients.note(new.slot.owner, found.environment, token_type) if found else []

    def _put(
        self, db: int, kind: RecordType, key: bytes, record: records.Record, header: Header = _NEVER_EXPIRES
    ) -> Operation:
        return _engine.PUT, db, key, self._sealer.seal(kind, key, records.encode(record), header)

    # --- what the provider said about clients ---

    def app(self, owner: Owner) -> AppRecord | None:
        """Return what is known of the owner's client, None where nothing is."""
        key = self.keys.app(owner)
        _, value = _engine.read(self._store, _engine.APP, key)
        plain = None if value is None else self._sealer.unseal(RecordType.APP, key, value)
        return None if plain is None else records.decode_app(plain)

    def save_app(self, owner: Owner, app: AppRecord) -> None:
        """Note something about the owner's client; CacheError where it cannot be written."""
        self.write(lambda: [self._app_operation(owner, app)])

    def _app_operation(self, owner: Owner, app: AppRecord) -> Operation:
        header = _NEVER_EXPIRES.within(owner.partition)
        return self._put(_engine.APP, RecordType.APP, self.keys.app(owner), app, header)

    # --- accounts ---

    def accounts(self, owner: Owner, family_id: str = "") -> list[AccountRecord]:
        """Return the accounts of the owner's client, one for each user and realm, and those of its family."""
        return self._accounts_under([self.keys.accounts(owner, family) for family in _own_and(family_id)])

    def account(self, owner: Owner, family_id: str = "") -> list[AccountRecord]:
        """Return one user's accounts, one for each realm, and those of the family."""
        return self._accounts_under([self.keys.account(owner, family) for family in _own_and(family_id)])

    def _accounts_under(self, prefixes: list[bytes]) -> list[AccountRecord]:
        plains = (self._plains(_engine.ACCOUNT, RecordType.ACCOUNT, prefix) for prefix in prefixes)
        return [records.decode_account(plain) for of_prefix in plains for plain in of_prefix]

    def _plains(self, db: int, kind: RecordType, prefix: bytes) -> Iterator[bytes]:
        # What verifies of all that lies under a prefix.
        for key, value in self.scan(db, prefix):
            plain = self._sealer.unseal(kind, key, value)
            if plain is not None:
                yield plain

    def scan(self, db: int, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and sealed record of all that lie under a prefix, in key order."""
        for page in _engine.pages(self._store, db, prefix):
            yield from page

    def remove_account(self, owner: Owner, family_id: str = "") -> None:
        """Delete a user's tokens and accounts of one client, and its family's refresh token, in one transaction.

        The tokens that the client got on the user's behalf go along.
        """
        from warmtoken.cache.sessions import removal_of_sessions

        partition = self.keys.partition(owner)
        operations: list[Operation] = [
            (_engine.DELETE_TOKENS, _engine.ACCESS, partition),
            (_engine.DELETE_PREFIX, _engine.REFRESH, partition),
            (_engine.DELETE_PREFIX, _engine.IDENTITY, partition),
            (_engine.DELETE_PREFIX, _engine.NOTE, partition),
            (_engine.DELETE_PREFIX, _engine.ACCOUNT, self.keys.account(owner)),
        ]
        if family_id:
            operations.append((_engine.DELETE, _engine.REFRESH, self.keys.refresh_token(owner, family_id)))
            operations.append((_engine.DELETE_PREFIX, _engine.ACCOUNT, self.keys.account(owner, family_id)))
        with self.shared.saving:
            self.shared.commit(operations + removal_of_sessions(self, owner))
            self._forget_unsaved(lambda new: self.keys.partition(new.slot.owner.user) == partition)
        self.notes.forget_unsaved(partition)


def _own_and(family_id: str) -> tuple[str, ...]:
    return ("", family_id) if family_id else ("",)
