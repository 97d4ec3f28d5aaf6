"""Sessions: what a client got on behalf of a user, each set of tokens under a key of its own.

Whose sessions they are says a list, by which they leave with the user's account.
"""

from __future__ import annotations

from typing import NamedTuple

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.lookup_keys import Owner, user_of
from warmtoken.cache.sealing import FOR_EVER, Header, RecordType
from warmtoken.cache.vault import NewTokens, Vault

_PARTITION = 16  # bytes: behind the prefix of a key of the list


class SessionRecord(NamedTuple):
    """That a user has a session with tokens of its own: its key, in the list of the user's sessions."""

    session: str
    extra: str = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def entries_of(vault: Vault, new: NewTokens) -> list[Operation]:
    """Return what goes before the tokens of a session: its entry in the list, and the end of another user's tokens."""
    owner = new.slot.owner
    return _end_of_others(vault, new) + (_listed(vault, new) if owner.home_account_id else [])


def note_end(vault: Vault, session: Owner) -> None:
    """Note that the refresh token of a user's session is gone: the list names it until its access tokens have ended.

    Raises CacheError where that cannot be written; then the list names it for longer than need be.
    """
    vault.write(lambda: [_entry(vault, session, 1000 * _last_expiry(vault, session))])


def removal_of_sessions(vault: Vault, user: Owner) -> list[Operation]:
    """Return what deletes all sessions of a user."""
    prefix = vault.keys.sessions(user)
    listed = vault.scan(_engine.NOTE, prefix)
    removals = [operation for key, _ in listed for operation in _removal(key[_PARTITION:])]
    return [*removals, (_engine.DELETE_PREFIX, _engine.NOTE, prefix)] if removals else []


def end(vault: Vault, session: Owner) -> bool:
    """Delete the tokens of a session, and tell whether it had any; CacheError where they cannot be deleted."""
    partition = vault.keys.partition(session)
    vault.forget_unsaved(lambda new: vault.keys.partition(new.slot.owner) == partition)
    users = _users_of(vault, session)
    if not users:
        return False
    vault.shared.commit([*_removal(partition), *(_unlisted(vault, session, user) for user in users)])
    vault.notes.forget_unsaved(partition)
    return True


def _removal(partition: bytes) -> list[Operation]:
    return [
        (_engine.DELETE_TOKENS, _engine.ACCESS, partition),
        (_engine.DELETE_PREFIX, _engine.REFRESH, partition),
        (_engine.DELETE_PREFIX, _engine.NOTE, partition),
    ]


def _unlisted(vault: Vault, session: Owner, user: str) -> Operation:
    return _engine.DELETE, _engine.NOTE, _entry_key(vault, session._replace(home_account_id=user))


def _end_of_others(vault: Vault, new: NewTokens) -> list[Operation]:
    owner = new.slot.owner
    others = [user for user in _users_of(vault, owner) if user_of(owner.authority, user) != owner.subject]
    if not others:
        return []
    removal = _removal(vault.keys.partition(owner))
    if new.refresh_token is not None:  # it has just taken the place of the other's
        removal = [operation for operation in removal if operation[1] != _engine.REFRESH]
    return [*removal, *(_unlisted(vault, owner, user) for user in others)]


def _users_of(vault: Vault, session: Owner) -> set[str]:
    # One, unless a program gave two users the same key.
    users = {token.home_account_id for token in vault.access_tokens(session)}
    found = vault.find_refresh_token(session)
    return users | ({found.record.home_account_id} if found is not None else set())


def _entry_key(vault: Vault, owner: Owner) -> bytes:
    return vault.keys.sessions(owner.user) + vault.keys.partition(owner)


def _listed(vault: Vault, new: NewTokens) -> list[Operation]:
    owner = new.slot.owner
    # Refresh tokens do not say how long they last.
    lasts = new.refresh_token is not None or vault.has_refresh_token(owner)
    expires = new.access_token.expires_on if new.access_token else 0
    ends = FOR_EVER if lasts else 1000 * max(expires, _last_expiry(vault, owner))
    return [*_some_ended(vault, new), _entry(vault, owner, ends)]


def _entry(vault: Vault, owner: Owner, ends: int) -> Operation:
    key, named = _entry_key(vault, owner), records.encode(SessionRecord(owner.session))
    return _engine.PUT, _engine.NOTE, key, vault.sealer.seal(RecordType.SESSION, key, named, Header(ends, 0, 1))


def _last_expiry(vault: Vault, session: Owner) -> int:
    return max((token.expires_on for token in vault.access_tokens(session)), default=0)


def _some_ended(vault: Vault, new: NewTokens) -> list[Operation]:
    # Of this user's, and of those of users who come no more.
    now = new.access_token.cached_at * 1000 if new.access_token else 0
    return [*vault.notes.some_ended(now, vault.keys.sessions(new.slot.owner.user)), *vault.notes.some_ended(now)]
