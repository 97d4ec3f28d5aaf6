"""Refresh tokens that are kept beside the one in use, which another library brought: what to do when that one dies."""

from __future__ import annotations

from warmtoken import _engine
from warmtoken.cache import records
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.lookup_keys import Owner
from warmtoken.cache.records import RefreshTokenRecord
from warmtoken.cache.sealing import Header, RecordType
from warmtoken.cache.vault import CachedRefreshToken, Vault

MAX_KEPT = 8  # of one user and client


def replace_dead(vault: Vault, owner: Owner, dead: CachedRefreshToken) -> bool:
    """Put the newest refresh token that is kept beside a dead one in its place, and tell whether there was one.

    Where there is none the dead one is deleted. Raises CacheError where that cannot be written.
    """
    kept = [token for token in kept_beside(vault, owner) if token.family_id == dead.record.family_id]
    if not kept:
        vault.delete_refresh_token(dead)
        return False
    newest = max(kept, key=lambda token: token.last_modification_time)
    return vault.write(lambda: _succession(vault, owner, dead, newest))


def kept_beside(vault: Vault, owner: Owner) -> list[RefreshTokenRecord]:
    """Return the refresh tokens that are kept beside an owner's own."""
    page = _engine.scan(vault.shared.store, _engine.REFRESH, vault.keys.kept_refresh_tokens(owner))
    plains = [vault.sealer.unseal(RecordType.REFRESH_TOKEN, key, value) for key, value in page]
    return [records.decode_refresh_token(plain) for plain in plains if plain is not None]


def _succession(vault: Vault, owner: Owner, dead: CachedRefreshToken, heir: RefreshTokenRecord) -> list[Operation]:
    header = Header(0, 0, dead.generation + 1).within(owner.partition)
    sealed = vault.sealer.seal(RecordType.REFRESH_TOKEN, dead.key, records.encode(heir), header)
    return [
        (_engine.EXPECT, _engine.REFRESH, dead.key, dead.sealed_head),
        (_engine.PUT, _engine.REFRESH, dead.key, sealed),
        (_engine.DELETE, _engine.REFRESH, vault.keys.kept_refresh_token(owner, heir.secret)),
    ]
