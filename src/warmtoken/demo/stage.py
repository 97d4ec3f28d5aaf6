"""What the play is set to: who signs in, how long tokens live, where things are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmtoken import Account, PublicClientApplication

CLIENT_ID = "warmtoken-demo"
USERNAME = "alice@example.test"
SCOPES = ["User.Read"]  # a list, as programs pass it
LIFETIME = 3  # seconds that an access token lives
MARGIN = 0.3  # seconds before its end that it is no longer used, by either cache
REVOKED_AFTER = 0.4  # of the time under load
LEAST_HITS = 100_000


@dataclass(frozen=True, slots=True)
class Shared:
    """What worker processes need to know to use the shared cache."""

    issuer: str
    directory: Path
    key: bytes = field(repr=False)

    def application(self) -> PublicClientApplication:
        """Return a new application on the shared cache."""
        from warmtoken import PublicClientApplication, TokenCache

        cache = TokenCache(self.directory, key=self.key)
        return PublicClientApplication(CLIENT_ID, authority=self.issuer, cache=cache, expiry_margin=MARGIN)


@dataclass(frozen=True, slots=True)
class SharedLoad:
    """An order to a worker: acquire the account's token from the shared cache for some seconds."""

    shared: Shared
    account: Account
    seconds: float


@dataclass(frozen=True, slots=True)
class SeparateLoad:
    """An order to a worker: the same on a pure-Python cache of its own, which begins with these tokens."""

    token_endpoint: str
    refresh_token: str = field(repr=False)
    access_token: str = field(repr=False)
    expires_on: int
    account: Account
    seconds: float
