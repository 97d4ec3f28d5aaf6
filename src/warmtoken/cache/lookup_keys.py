"""Builds the keys under which records lie: keyed hashes that say nothing to who has not the index key.

Every hashed value is a tuple of length-prefixed fields, so that no two different tuples hash alike. Case does not
matter in client ids, Microsoft's account ids, realms, token types and scopes (MSAL.NET's rule).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from warmtoken._engine import Wanted
from warmtoken.cache.blake2 import blake2b

KEYRING_KEY = b"keyring".ljust(32, b"\0")
FILE_ID_KEY = b"file id".ljust(32, b"\0")
FAMILY = "1"  # of clients that share refresh tokens at Microsoft Entra; there is no other

_KEPT = 4096  # hashes of each kind


class Owner(NamedTuple):
    """Whose tokens: a client's own (`home_account_id` None), those of a user of that client, or those of a session.

    `authority` is the authority's name in the cache, the same for all aliases of a cloud. A `session` is what a client
    does on behalf of a user: by its key alone its tokens are found, whoever the user is. A `partition` is what
    applications have in common that see each other's tokens (`partition_of`); "" is that of all who name none.
    """

    authority: str
    client_id: str
    home_account_id: str | None = None
    session: str = ""
    partition: str = ""

    @property
    def user(self) -> Owner:
        """The user on whose behalf a session is."""
        return self._replace(session="")

    @property
    def subject(self) -> str:
        """The user's id as it is compared, "" for a client's own: without case where Microsoft's services gave it."""
        return user_of(self.authority, self.home_account_id or "")


def partition_of(name: str, parameters: Iterable[tuple[str, str]]) -> str:
    """Return what applications with this partition and these parameters, sorted, have in common: no text for two.

    Written as an extended key is: the length in UTF-8 bytes, a colon, the text.
    """
    texts = [name, *(text for pair in parameters for text in pair)]
    return "".join(f"{len(text.encode())}:{text}" for text in texts) if texts != [""] else ""


def user_of(authority: str, home_account_id: str) -> str:
    """Return a user's id as it is compared under a name of an authority in the cache."""
    return home_account_id if has_subjects(authority) else home_account_id.lower()


def has_subjects(authority: str) -> bool:
    """Tell whether an authority's users are named by their `sub`, which is case-sensitive: not at Entra and B2C.

    Two that differ in case are two users (OpenID Connect Core 1.0, section 2). MSAL.NET takes them for one.
    """
    return "://" in authority and "/tfp/" not in authority


class Slot(NamedTuple):
    """What tells apart an owner's access tokens besides their scopes."""

    owner: Owner
    realm: str = ""
    token_type: str = "Bearer"
    key_id: str = ""
    extended_key: str = ""


class PlainRequest(NamedTuple):
    """What all users of a client look for who ask for the same scopes in the same realm, and for nothing else.

    `users` has hashed what their partitions have in common, `with_case` says whether their ids are compared with case.
    """

    wanted: Wanted
    users: blake2b
    with_case: bool

    def partition_and_user(self, home_account_id: str) -> tuple[bytes, str]:
        """Return one user's partition, and how the user's records name the user."""
        folded = home_account_id if self.with_case else home_account_id.lower()
        return _with(self.users, folded), folded


def _prefixed(field: str) -> bytes:
    encoded = field.encode()
    return len(encoded).to_bytes(4, "little") + encoded


def _with(state: blake2b, field: str) -> bytes:
    state = state.copy()
    state.update(_prefixed(field))
    return state.digest()


def _of_partition(partition: str) -> tuple[str, ...]:
    # No tuple without a partition begins like that; and without one the keys are those of before there were any.
    return ("partition", partition) if partition else ()


class LookupKeys:
    """Hashes owners, slots and scopes with the cache's index key (32 bytes).

    What many users have in common, the same scopes in the same realm, is hashed once and kept.
    """

    def __init__(self, index_key: bytes) -> None:
        self._index_key = index_key
        self._state = blake2b(key=index_key, digest_size=16)
        self.plain_request = lru_cache(maxsize=_KEPT)(self._hash_plain_request)
        self._clients = lru_cache(maxsize=_KEPT)(self._hash_client)
        self._wanted_parts = lru_cache(maxsize=_KEPT)(self._hash_wanted)
        self._slot_part = lru_cache(maxsize=_KEPT)(self._hash_slot)
        self._token_part = lru_cache(maxsize=_KEPT)(self._hash_token)
        self._scope_parts = lru_cache(maxsize=_KEPT)(self._hash_scopes)
        self._named_part = lru_cache(maxsize=_KEPT)(self._hash_named)

    def _hash(self, fields: Iterable[str], partition: str = "") -> bytes:
        return self._hashing(fields, partition).digest()

    def _hashing(self, fields: Iterable[str], partition: str) -> blake2b:
        state = self._state.copy()
        for field in (*_of_partition(partition), *fields):
            state.update(_prefixed(field))
        return state

    def partition(self, owner: Owner) -> bytes:
        """Return the 16 bytes that all keys of an owner begin with."""
        return self.partition_and_user(owner)[0]

    def partition_and_user(self, owner: Owner) -> tuple[bytes, str | None]:
        """Return an owner's partition, and how its records name the user: None for a session, which is of anybody."""
        authority, client_id, user, session, partition = owner
        if session:  # with case: it is a digest, or what a program made up
            state, _ = self._clients("session", authority, client_id, partition)
            return _with(state, session), None
        if user is None:
            return self._clients("app", authority, client_id, partition)[0].digest(), ""
        state, with_case = self._clients("user", authority, client_id, partition)
        folded = user if with_case else user.lower()
        return _with(state, folded), folded

    def _hash_plain_request(
        self, authority: str, client_id: str, partition: str, realm: str, scopes: tuple[str, ...]
    ) -> PlainRequest:
        # Of scopes that are folded and sorted.
        slot = Slot(Owner(authority, client_id, ""), realm)
        return PlainRequest(self.wanted(slot, scopes), *self._clients("user", authority, client_id, partition))

    def _hash_client(self, kind: str, authority: str, client_id: str, partition: str) -> tuple[blake2b, bool]:
        # What all users of a client have in common is hashed once.
        return self._hashing((kind, authority, client_id.lower()), partition), has_subjects(authority)

    def wanted(self, slot: Slot, scopes: tuple[str, ...]) -> Wanted:
        """Return what a request for these scopes, which are folded and sorted, looks for in a slot's partition."""
        owner, *rest = slot
        return self._wanted_parts(owner.client_id, owner.home_account_id is not None, scopes, *rest)

    def _hash_wanted(
        self,
        client_id: str,
        of_user: bool,
        scopes: tuple[str, ...],
        realm: str,
        token_type: str,
        key_id: str,
        extended_key: str,
    ) -> Wanted:
        slot_part = self._slot_part(realm, token_type, key_id, extended_key)
        hashes = self._scope_parts(slot_part, scopes)
        return Wanted(
            self._token_part(slot_part, scopes),
            b"".join(hashes[1:] or hashes),
            self._named_part("id", realm.lower()) if of_user else None,
            client_id.lower(),
            realm.lower(),
            token_type.lower(),
            key_id,
            extended_key,
            scopes,
        )

    def _hash_slot(self, realm: str, token_type: str, key_id: str, extended_key: str) -> bytes:
        return self._hash(("slot", realm.lower(), token_type.lower(), key_id, extended_key))

    def _hash_token(self, slot_part: bytes, scopes: tuple[str, ...]) -> bytes:
        return self._hash(("token", slot_part.hex(), *scopes))

    def _hash_scopes(self, slot_part: bytes, scopes: tuple[str, ...]) -> tuple[bytes, ...]:
        return (slot_part[:8], *(self._hash(("scope", slot_part.hex(), scope))[:8] for scope in scopes))

    def _hash_named(self, kind: str, name: str) -> bytes:
        return self._hash((kind, name))

    def access_token(self, slot: Slot, scopes: tuple[str, ...]) -> bytes:
        """Return the 32-byte key of the access token with exactly these scopes, which are folded and sorted."""
        return self.partition(slot.owner) + self._token_part(self._slot_part(*slot[1:]), scopes)

    def scopes(self, slot: Slot, scopes: tuple[str, ...]) -> tuple[bytes, ...]:
        """Return the 8-byte hash of the slot as a whole, then of each scope in it."""
        return self._scope_parts(self._slot_part(*slot[1:]), scopes)

    def refresh_token(self, owner: Owner, family_id: str = "") -> bytes:
        """Return the key of an owner's refresh token, or of the one that all clients of a family have for the user."""
        partition = self._partition_of_family(owner, family_id) if family_id else self.partition(owner)
        return partition + self._named_part("refresh", family_id)

    def _partition_of_family(self, owner: Owner, family_id: str) -> bytes:
        return _with(self._clients("family", owner.authority, family_id, owner.partition)[0], owner.subject)

    def kept_refresh_tokens(self, owner: Owner) -> bytes:
        """Return the 24-byte prefix of the refresh tokens that are kept beside an owner's own, and leave with it."""
        return self.partition(owner) + self._named_part("kept refresh", "")[:8]

    def kept_refresh_token(self, owner: Owner, secret: str) -> bytes:
        """Return the key of one of them."""
        return self.kept_refresh_tokens(owner) + self._hash(("kept", secret))[:8]

    def bound_refresh_token(self, owner: Owner, binding: str) -> bytes:
        """Return the key of a refresh token that is bound to more than its user, and serves no plain request."""
        return self.partition(owner) + self._hash(("bound refresh", binding))

    def sessions(self, user: Owner) -> bytes:
        """Return the 16-byte prefix of the list of a user's sessions; behind it stands the partition of each."""
        return self._hash(("sessions", self.partition(user).hex()))

    def sections(self) -> bytes:
        """Return the 16-byte prefix of the sections of other libraries' caches that this one does not know."""
        return self._hash(("sections",))

    def section(self, name: str) -> bytes:
        """Return the key of one of them."""
        return self.sections() + self._hash(("section", name))

    def id_token(self, owner: Owner, realm: str) -> bytes:
        """Return the key of an owner's id token for a realm."""
        return self.partition(owner) + self._named_part("id", realm.lower())

    def accounts(self, owner: Owner, family_id: str = "") -> bytes:
        """Return the 16-byte prefix of all accounts of the owner's client, or of a family of clients."""
        whose = ("accounts of family", family_id) if family_id else ("accounts", owner.client_id.lower())
        return self._hash((whose[0], owner.authority, whose[1]), owner.partition)

    def account(self, owner: Owner, family_id: str = "") -> bytes:
        """Return the 24-byte prefix of one user's accounts, one for each realm."""
        return self.accounts(owner, family_id) + self._hash(("account", owner.subject))[:8]

    def account_in(self, owner: Owner, realm: str, family_id: str = "") -> bytes:
        """Return the 32-byte key of one user's account in one realm."""
        return self.account(owner, family_id) + self._hash(("realm", realm.lower()))[:8]

    def app(self, owner: Owner) -> bytes:
        """Return the key of the client's metadata."""
        return self._hash(("app metadata", owner.authority, owner.client_id.lower()), owner.partition) + bytes(16)

    def throttled(self, slot: Slot, scopes: tuple[str, ...]) -> bytes:
        """Return the key of the note that the provider wants no request for these scopes of a slot now."""
        return self.partition(slot.owner) + self._hash(("throttled", self._slot_part(*slot[1:]).hex(), *scopes))

    def refused(self, slot: Slot, scopes: tuple[str, ...], claims: str | None, refresh_token: str) -> bytes:
        """Return the key of the note that a refresh token does not do for these scopes and claims."""
        part = self._slot_part(*slot[1:]).hex()
        return self.partition(slot.owner) + self._hash(("refused", part, refresh_token, claims or "", *scopes))

    def clients(self, environment: str) -> bytes:
        """Return the 16-byte prefix of what is known of the clients under an authority's host."""
        return self._hash(("clients", environment.lower()))

    def client(self, environment: str, client_id: str) -> bytes:
        """Return the 24-byte prefix of what is known of one client under an authority's host."""
        return self.clients(environment) + self._hash(("client", client_id.lower()))[:8]

    def client_with(self, environment: str, client_id: str, authority: str, token_type: str) -> bytes:
        """Return the 32-byte key that tells that a client has had such tokens."""
        return self.client(environment, client_id) + self._hash(("seen", authority, token_type.lower()))[:8]

    def lock_offset(self, key: bytes) -> int:
        """Return the offset of the byte that is locked while a token for this key is being fetched."""
        digest = blake2b(key, key=self._index_key, digest_size=8, person=b"warmtoken lock").digest()
        return 1 + (int.from_bytes(digest, "little") >> 2)
