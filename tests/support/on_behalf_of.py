"""Callers of a web API, and what the file holds of what was got on their behalf."""

from __future__ import annotations

from collections.abc import Sequence

from support.world import ALICE, Client, World

from warmtoken import AuthenticationResult, _engine
from warmtoken.cache.sealing import RecordType

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
API = ["graph/read", "graph/write"]
DAY = 86_400


def caller(world: World, username: str = ALICE) -> str:
    """Sign a user in to a program, and return the token that it calls the API with, which lasts for a day."""
    lifetime, world.idp.access_token_lifetime = world.idp.access_token_lifetime, DAY
    token = world.sign_in(world.public(), username, ["api/access"]).access_token
    world.idp.access_token_lifetime = lifetime
    return token


def grants(world: World) -> dict[str, int]:
    """How many requests of each grant the provider got since the last sign-in."""
    return dict(world.idp.counters.grants)


def renewed(world: World, api: Client, session_key: str, scopes: Sequence[str] = tuple(API)) -> AuthenticationResult:
    """The token that a session gets when the one before has expired."""
    world.clock.advance(3600)
    result: AuthenticationResult = api.acquire_token_in_long_running_on_behalf_of(session_key, scopes)
    return result


def plains(world: World) -> list[tuple[RecordType, bytes]]:
    """What each record of the file says."""
    vault = world.cache.vault()
    found: list[tuple[RecordType, bytes]] = []
    for db in (_engine.ACCESS, _engine.REFRESH, _engine.IDENTITY, _engine.ACCOUNT, _engine.APP, _engine.NOTE):
        for key, value in _engine.scan(vault.shared.store, db, b""):
            kind = RecordType(value[14])
            plain = vault.sealer.unseal(kind, key, value)
            assert plain is not None
            found.append((kind, plain))
    return found


def sessions(world: World) -> int:
    """How many sessions the lists of all users name."""
    return sum(kind is RecordType.SESSION for kind, _ in plains(world))
