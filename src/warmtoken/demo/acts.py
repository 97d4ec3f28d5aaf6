"""The two acts: the shared cache with expiry, revocation and fallback; then the pure-Python caches."""

from __future__ import annotations

import time
from collections.abc import Callable

from warmtoken import Account, PublicClientApplication
from warmtoken.default_transport import DefaultTransport
from warmtoken.demo import live_table
from warmtoken.demo.crew import Crew
from warmtoken.demo.dict_cache import post_form
from warmtoken.demo.figures import Figures
from warmtoken.demo.outcome import Outcome
from warmtoken.demo.screen import Screen
from warmtoken.demo.stage import CLIENT_ID, LIFETIME, REVOKED_AFTER, SCOPES, USERNAME, SeparateLoad, Shared, SharedLoad
from warmtoken.demo.user import Program
from warmtoken.demo.worker import NeedsUser, Report
from warmtoken.testing import Counters, IdentityProviderControl

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
COUNTERS_SECONDS = 0.25


class Acts:
    """Puts the workers to work; `seconds` are those of load on each cache."""

    def __init__(
        self, provider: IdentityProviderControl, crew: Crew, screen: Screen, *, workers: int, seconds: float
    ) -> None:
        self._provider = provider
        self._crew = crew
        self._screen = screen
        self._workers = workers
        self._seconds = seconds

    def play(self, shared: Shared, application: PublicClientApplication, *, by_hand: bool) -> Outcome:
        """Play both acts."""
        figures = Figures()
        program = Program(application, figures.sightings, by_hand=by_hand)
        account = self._sign_in(program)
        self._share(shared, program, account, figures)
        counted = self._provider.counters
        separate = self._separate(account)
        refreshes = self._provider.counters.refreshes_granted - counted.refreshes_granted
        return Outcome(self._workers, figures, separate, counted, refreshes, program.sign_ins)

    def _sign_in(self, program: Program) -> Account:
        self._screen.line("waiting for a sign-in through the browser and a redirect to this program ...")
        account = program.sign_in()
        self._screen.line(f"{account.username} has signed in; access tokens live for {LIFETIME} s")
        self._screen.line()
        return account

    def _share(self, shared: Shared, program: Program, account: Account, figures: Figures) -> None:
        revocation = Once(self._seconds * REVOKED_AFTER, self._revoke)
        self._crew.order(SharedLoad(shared, account, self._seconds))
        self._watch(figures, Counters(), revocation, lambda code: self._fall_back(program, account, code))

    def _revoke(self) -> None:
        self._provider.revoke_refresh_tokens()
        self._screen.line("the provider has revoked the refresh token")

    def _fall_back(self, program: Program, account: Account, code: str) -> None:
        if program.help(account):
            self._screen.line(f"a worker needed the user ({code}); {account.username} has signed in again")

    def _separate(self, account: Account) -> Figures:
        figures = Figures()
        self._provider.rotation = "never"
        order = self._separate_load(account)
        before = self._provider.counters
        self._screen.line()
        self._screen.line(
            "the same load on a pure-Python cache, one in each worker; refresh tokens are not rotated now"
        )
        self._screen.line()
        self._crew.order(order)
        self._watch(figures, before, None, lambda code: figures.errors.append(f"a pure-Python cache: {code}"))
        return figures

    def _separate_load(self, account: Account) -> SeparateLoad:
        transport = DefaultTransport()
        issuer, client = self._provider.issuer, {"client_id": CLIENT_ID}
        scope = " ".join(["openid", "offline_access", *SCOPES])
        try:
            asked = post_form(transport, f"{issuer}/device_authorization", client | {"scope": scope})
            self._provider.approve_device(str(asked["user_code"]), USERNAME)
            form = {"grant_type": DEVICE_CODE_GRANT, "device_code": str(asked["device_code"])}
            expires_on = int(time.time()) + LIFETIME
            tokens = post_form(transport, f"{issuer}/token", client | form)
        finally:
            transport.close()
        refresh_token, access_token = str(tokens["refresh_token"]), str(tokens["access_token"])
        return SeparateLoad(f"{issuer}/token", refresh_token, access_token, expires_on, account, self._seconds)

    def _watch(self, figures: Figures, before: Counters, midway: Once | None, fall_back: Callable[[str], None]) -> None:
        """Collect the workers' reports until all have ended, and show them."""
        since, looked, working = time.monotonic(), 0.0, self._workers
        counters = before
        while working:
            for number, message in self._crew.messages(timeout=0.1):
                if isinstance(message, NeedsUser):
                    fall_back(message.code)
                    self._crew.answer(number)
                elif isinstance(message, Report):
                    figures.add(message.figures)
                    working -= message.last
            elapsed = time.monotonic() - since
            if midway is not None:
                midway.at(elapsed)
            if elapsed - looked > COUNTERS_SECONDS or not working:
                looked, counters = elapsed, self._provider.counters
                self._show(figures, before, counters, elapsed, now=not working)
        self._screen.leave_table()

    def _show(self, figures: Figures, before: Counters, counters: Counters, elapsed: float, *, now: bool) -> None:
        row = live_table.row(
            figures,
            workers=self._workers,
            elapsed=elapsed,
            refreshes=counters.refreshes_granted - before.refreshes_granted,
            sign_ins=counters.sign_ins - before.sign_ins,
        )
        self._screen.row(row, now=now)


class Once:
    """Something that happens once, `after` so many seconds."""

    def __init__(self, after: float, act: Callable[[], None]) -> None:
        self._after = after
        self._act = act
        self._done = False

    def at(self, elapsed: float) -> None:
        """Do it if it is time and it was not done."""
        if elapsed >= self._after and not self._done:
            self._done = True
            self._act()
