"""The program that has a user: it signs the user in, and once more where the workers cannot go on."""

from __future__ import annotations

import time

from warmtoken import Account, AuthenticationResult, PublicClientApplication, UiRequiredError
from warmtoken.demo.sightings import Sightings
from warmtoken.demo.stage import SCOPES, USERNAME
from warmtoken.errors import ClientError
from warmtoken.testing import UserAgent

BY_HAND_SECONDS = 300.0
SCRIPTED_SECONDS = 30.0


class Program:
    """Acquires tokens with the user's help; every sign-in goes through the loopback redirect.

    `by_hand` is whether a person uses the real browser; else a scripted user agent does the same over HTTP. What is
    handed out is noted in `sightings`.
    """

    def __init__(self, application: PublicClientApplication, sightings: Sightings, *, by_hand: bool) -> None:
        self._application = application
        self._sightings = sightings
        self._by_hand = by_hand
        self.sign_ins = 0

    def sign_in(self) -> Account:
        """Sign the user in for the first time; raises CacheError where the cache cannot be used, before asking."""
        if self._application.get_accounts():
            raise ClientError("cache_not_new", "expected a cache of our own, found one with accounts in it")
        account = self._interactive(None, None).account
        assert account is not None
        return account

    def help(self, account: Account) -> bool:
        """Get a token for the account: silently, else by asking the user; returns whether the user was asked."""
        try:
            result = self._application.acquire_token_silent(SCOPES, account)
        except UiRequiredError as error:
            again = self._interactive(account, error.claims).account
            if again is None or again.home_account_id != account.home_account_id:
                raise ClientError(
                    "user_mismatch", f"expected {account.username} to sign in again, but somebody else did; start anew"
                ) from None
            return True
        self._sightings.see(result.access_token, result.expires_on, time.time())
        return False

    def _interactive(self, account: Account | None, claims: str | None) -> AuthenticationResult:
        hint = account.username if account else USERNAME
        agent = None if self._by_hand else UserAgent(hint)
        timeout = BY_HAND_SECONDS if self._by_hand else SCRIPTED_SECONDS
        result = self._application.acquire_token_interactive(
            SCOPES, login_hint=hint, claims=claims, open_browser=agent, timeout=timeout
        )
        if agent is not None:
            agent.join()
        self.sign_ins += 1
        self._sightings.see_sign_in(result.access_token, result.expires_on, time.time())
        return result
