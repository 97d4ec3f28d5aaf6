"""A program that signs users in, as the tests use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from idp.browser import Browser
    from idp.provider import Provider

    from integration.worlds import Exchange, World
    from warmtoken import Account, AuthenticationResult, TokenCache
    from warmtoken.testing import Clock

READ, WRITE = "api://orders/orders.read", "api://orders/orders.write"
KEY = b"k" * 32
LIFETIME = 60  # seconds: the provider's access tokens


@dataclass
class Program:
    """A program of the public client `cli` and the provider it talks to, with a common clock."""

    world: World
    provider: Provider
    cache: TokenCache
    clock: Clock
    browser: Browser
    app: Any
    account: Account | None = None

    @property
    def exchanges(self) -> list[Exchange]:
        return self.world.exchanges

    def sign_in(self, *scopes: str, prompt: str | None = None) -> AuthenticationResult:
        """Sign the browser's user in."""
        call = self.app.acquire_token_interactive(
            list(scopes or (READ,)), prompt=prompt, open_browser=self.browser, timeout=90
        )
        result: AuthenticationResult = self.world.run(call)
        self.account = result.account
        return result

    def silent(self, *scopes: str, **options: Any) -> AuthenticationResult:
        """Acquire a token silently for the one account there is, or for the one that was signed in last."""
        (account,) = self.world.run(self.app.get_accounts()) or [self.account]
        result: AuthenticationResult = self.world.run(
            self.app.acquire_token_silent(list(scopes or (READ,)), account, **options)
        )
        return result

    def acquire(self, *scopes: str) -> AuthenticationResult:
        """Acquire a token with the pattern in one call."""
        call = self.app.acquire_token(list(scopes or (READ,)), open_browser=self.browser, timeout=90)
        result: AuthenticationResult = self.world.run(call)
        return result

    def pass_time(self, seconds: int) -> None:
        """Let time pass for this program and for the provider."""
        self.clock.advance(seconds)
        self.provider.pass_time(round(self.clock.wall_offset / 1e9))
