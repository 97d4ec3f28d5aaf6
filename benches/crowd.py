"""Caches too large to be kept in memory besides: every entry is made anew from its number, the same at each call."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benches.ours import KEY, confidential_application, new_tokens, public_application
from benches.population import MISSING, SCOPES, SUBSET, Entry, own_token, user
from warmtoken import AuthenticationResult, TokenCache
from warmtoken.cache.group_commit import Operation
from warmtoken.cache.live_sealer import LiveSealer
from warmtoken.cache.shared_store import SharedStore
from warmtoken.cache.vault import Vault

BATCH = 20_000  # records written in one transaction while a cache is filled
LEAST_MAP = 1 << 30
ROOM = 20_000  # bytes of map for each token

Acquire = Callable[..., AuthenticationResult]
Call = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Crowd:
    """`size` tokens in the cache of a directory; `now` is when the last were issued, in Unix seconds."""

    directory: Path
    size: int
    now: int

    def cache(self) -> TokenCache:
        """Return a new object on the cache, with nothing in memory yet."""
        room = max(LEAST_MAP, self.size * ROOM)
        return TokenCache(self.directory, key=KEY, map_size=room, max_bytes=room)  # nothing is to be evicted

    def entry(self, number: int) -> Entry:
        """Return a token by its number."""
        raise NotImplementedError

    def acquire(self, cache: TokenCache) -> Acquire:
        """Return the public method that serves these tokens."""
        raise NotImplementedError

    def call(self, number: int) -> Call:
        """Return the arguments that ask for a token by all its scopes."""
        raise NotImplementedError

    def subset_call(self, number: int) -> Call:
        """Return the arguments that ask for a token by one of its scopes."""
        raise NotImplementedError

    def numbers(self, count: int, passes: int) -> list[list[int]]:
        """Return the numbers of up to `count` tokens for each of some passes, no number twice."""
        count = min(count, self.size // passes)
        chosen = random.Random(self.size).sample(range(self.size), count * passes)
        return [chosen[i * count : (i + 1) * count] for i in range(passes)]

    def fill(self) -> None:
        """Write all tokens as Vault.save does, but many saves in one transaction."""
        with self.cache() as cache:
            collector = Collector(cache.vault().shared)
            vault = collector.vault(cache.vault().sealer)
            for number in range(self.size):
                vault.save(new_tokens(self.entry(number)))
                if len(collector.operations) >= BATCH:
                    collector.write()
            collector.write()
            assert cache.stats().access_tokens == self.size

    def sealed_size(self) -> int:
        """Return how many bytes the record of an added token has in the file."""
        with self.cache() as cache:
            collector = Collector(cache.vault().shared)
            collector.vault(cache.vault().sealer).save(new_tokens(self.added(0)))
        return len(collector.operations[0][3])

    def added(self, number: int) -> Entry:
        """Return a token that is not among those with which the cache was filled: one record and its index entries."""
        return own_token(self.size + number, self.now)


class Users(Crowd):
    """One token for three scopes, an id token and an account for each of `size` users."""

    def entry(self, number: int) -> Entry:
        """Return a user's token."""
        return user(number, self.now)

    def acquire(self, cache: TokenCache) -> Acquire:
        """Return the silent method."""
        return public_application(cache).acquire_token_silent

    def call(self, number: int) -> Call:
        """Return the three scopes and the user."""
        return SCOPES, user(number, self.now).account

    def subset_call(self, number: int) -> Call:
        """Return one of the scopes and the user."""
        return SUBSET, user(number, self.now).account

    def missing_call(self, number: int) -> Call:
        """Return a scope that no token has, and the user."""
        return MISSING, user(number, self.now).account


class OwnTokens(Crowd):
    """The client's own tokens, all in one partition: each for two scopes of another API."""

    def entry(self, number: int) -> Entry:
        """Return the client's token for one API."""
        return own_token(number, self.now)

    def acquire(self, cache: TokenCache) -> Acquire:
        """Return the client credentials method."""
        return confidential_application(cache).acquire_token_for_client

    def call(self, number: int) -> Call:
        """Return both scopes of the API."""
        return (list(self.entry(number).scopes),)

    def subset_call(self, number: int) -> Call:
        """Return one of them."""
        return (list(self.entry(number).scopes[:1]),)


class Collector:
    """Stands for the shared store in a vault: takes what it would commit until `write`."""

    def __init__(self, shared: SharedStore) -> None:
        self.store = shared.store
        self.unsaved_notes = shared.unsaved_notes
        self.operations: list[Operation] = []
        self._shared = shared

    def vault(self, sealer: LiveSealer) -> Vault:
        """Return a vault that writes here."""
        return Vault(cast("SharedStore", self), sealer)

    def commit(self, operations: list[Operation]) -> tuple[int, bool]:
        """Take operations; whatever they expect is said to be so."""
        self.operations += operations
        return 0, True

    def write(self) -> None:
        """Commit all that was taken."""
        if self.operations:
            _, applied = self._shared.commit(self.operations)
            assert applied
        self.operations = []
