"""Random programs on one cache, through both kinds of application, against a model that is a few dicts."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import hypothesis.strategies as st
from faults.scale import SCALE
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.world import KEY, StillClock

import warmtoken
import warmtoken.aio
from warmtoken import Account, AuthenticationResult, ClientSecret, ServiceError, TokenCache, UiRequiredError
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

ISSUER = "https://idp.example"
LIFETIME = 3600
MARGIN = 300
SLACK = 2  # seconds around the end of something in which it may be over or not
HOLD = 5  # seconds for which a provider that failed is not asked again, and a token within its margin is served
REFUSAL_HOLD = 120  # seconds for which a refused refresh token is not sent again for the same scopes
USERS = ("alice", "bob", "carol")
SCOPES = ("a", "b", "c")
Scopes = frozenset[str]


def segment(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


class Provider:
    """An OpenID Connect provider without a network: it rotates refresh tokens, and takes no spent one."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rotates = True
        self.is_down = False
        self.sign_ins: dict[str, tuple[str, Scopes]] = {}  # live refresh token -> user, granted scopes
        self.replays = 0
        self._spent: set[str] = set()
        self._count = 0

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        if request.method == "GET":
            names = ("authorization_endpoint", "token_endpoint")
            return self._json(200, {"issuer": ISSUER, **{name: f"{ISSUER}/{name}" for name in names}})
        if self.is_down:
            return HttpResponse(500)
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        asked = frozenset(form.get("scope", "").split()) - {"openid", "profile", "offline_access"}
        if form["grant_type"] == "client_credentials":
            return self._json(200, self._access_token(asked))
        return self._refresh(form["refresh_token"], asked)

    def sign_in(self, user: str, scopes: Scopes) -> str:
        """Return a refresh token, as another library may have got it."""
        self._count += 1
        token = f"rt-{self._count}"
        self.sign_ins[token] = user, scopes
        return token

    def revoke(self, user: str) -> None:
        self.sign_ins = {token: whose for token, whose in self.sign_ins.items() if whose[0] != user}

    def _refresh(self, token: str, asked: Scopes) -> HttpResponse:
        self.replays += token in self._spent
        if token not in self.sign_ins:
            return self._json(400, {"error": "invalid_grant"})
        user, granted = self.sign_ins[token]
        if not asked <= granted:
            return self._json(400, {"error": "invalid_scope"})
        reply = self._access_token(asked) | {"id_token": self._id_token(user)}
        if self.rotates:
            del self.sign_ins[token]
            self._spent.add(token)
            reply["refresh_token"] = self.sign_in(user, granted)
        return self._json(200, reply)

    def _access_token(self, scopes: Scopes) -> dict[str, Any]:
        self._count += 1
        scope = " ".join(["openid", *sorted(scopes)])
        return {"access_token": f"at-{self._count}", "token_type": "Bearer", "expires_in": LIFETIME, "scope": scope}

    def _id_token(self, user: str) -> str:
        now = int(self.clock.time())
        claims = {"iss": ISSUER, "aud": "client", "sub": user, "iat": now, "exp": now + LIFETIME}
        return f"{segment({'alg': 'RS256'})}.{segment(claims)}.c2ln"

    def _json(self, status: int, content: dict[str, Any]) -> HttpResponse:
        return HttpResponse(status, {}, json.dumps(content).encode())


class AsyncProvider:
    """The same for asyncio."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        await asyncio.sleep(0)
        return self._provider.send(request, timeout=timeout)


@dataclass
class Person:
    """What the cache should know of a user, or of the client itself: its tokens with the times of their expiry."""

    granted: Scopes = frozenset()  # what the refresh token in the cache stands for
    has_refresh_token: bool = False
    is_revoked: bool = False
    tokens: dict[Scopes, tuple[str, int]] = field(default_factory=dict)
    generation: int = 0  # of the refresh token
    held: dict[Scopes, float] = field(default_factory=dict)  # until when the provider is not asked
    refused: dict[tuple[Scopes, int], float] = field(default_factory=dict)  # until when this token is not sent
    stale: dict[Scopes, float] = field(default_factory=dict)  # until when memory may serve what is within its margin

    def covering(self, scopes: Scopes) -> dict[str, int]:
        return {secret: expires for has, (secret, expires) in self.tokens.items() if scopes <= has}

    def usable(self, scopes: Scopes, now: float) -> set[str]:
        return {secret for secret, expires in self.covering(scopes).items() if expires - MARGIN > now}

    def unexpired(self, scopes: Scopes, now: float) -> set[str]:
        return {secret for secret, expires in self.covering(scopes).items() if expires > now}

    def signs_in(self, scopes: Scopes) -> None:
        """A new refresh token came, and what was noted of the one before is gone."""
        self.granted, self.has_refresh_token, self.is_revoked = scopes, True, False
        self.generation += 1
        self.held.clear()
        self.refused.clear()

    def can_be_served(self, now: float) -> bool:
        return self.has_refresh_token or bool(self.usable(frozenset(), now))

    def keep(self, scopes: Scopes, result: AuthenticationResult) -> None:
        """A token takes the place of those whose scopes it covers."""
        self.tokens = {has: token for has, token in self.tokens.items() if not has <= scopes}
        self.tokens[scopes] = result.access_token, result.expires_on


scope_sets = st.frozensets(st.sampled_from(SCOPES), min_size=1)
kinds = st.sampled_from(["sync", "async"])


class CacheAndFlows(RuleBasedStateMachine):
    """The rules are what programs, users and the provider do; each call says whether it did what the model says."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="warmtoken-model-"))
        self.clock = StillClock()
        self.provider = Provider(self.clock)
        self.runner = asyncio.Runner()
        self.apps = {"sync": self.application(warmtoken), "async": self.application(warmtoken.aio)}
        self.people: dict[str, Person] = {}
        self.client = Person()

    def application(self, module: Any) -> Any:
        """Each has a cache object, and so a memory, of its own, as two processes have."""
        cache = TokenCache(self.directory / "cache", key=KEY, clock=self.clock)
        transport = self.provider if module is warmtoken else AsyncProvider(self.provider)
        return module.ConfidentialClientApplication(
            "client", credential=ClientSecret("secret"), authority=ISSUER, cache=cache, transport=transport
        )

    def call(self, kind: str, method: str, *arguments: Any, **named: Any) -> Any:
        outcome = getattr(self.apps[kind], method)(*arguments, **named)
        return outcome if kind == "sync" else self.runner.run(outcome)

    def outcome(self, kind: str, method: str, *arguments: Any, **named: Any) -> AuthenticationResult | str:
        """Return the result of a call, or the code of its error."""
        try:
            result: AuthenticationResult = self.call(kind, method, *arguments, **named)
        except (UiRequiredError, ServiceError) as error:
            return error.code
        return result

    # --- what happens ---

    @rule(kind=kinds, user=st.sampled_from(USERS), scopes=scope_sets)
    def sign_in(self, kind: str, user: str, scopes: Scopes) -> None:
        token = self.provider.sign_in(user, scopes)
        found = self.outcome(kind, "acquire_token_by_refresh_token", token, sorted(scopes))
        if self.provider.is_down:
            assert found == "service_not_available"
            return
        assert isinstance(found, AuthenticationResult)
        person = self.people.setdefault(user, Person())
        person.signs_in(scopes)
        person.keep(scopes, found)

    @rule(kind=kinds, user=st.sampled_from(USERS), scopes=scope_sets, times=st.integers(1, 3))
    def silent(self, kind: str, user: str, scopes: Scopes, times: int) -> None:
        for _ in range(times):
            self.ask(kind, user, scopes, force_refresh=False)

    @rule(kind=kinds, user=st.sampled_from(USERS), scopes=scope_sets)
    def force_refresh(self, kind: str, user: str, scopes: Scopes) -> None:
        self.ask(kind, user, scopes, force_refresh=True)

    def ask(self, kind: str, user: str, scopes: Scopes, *, force_refresh: bool) -> None:
        person, account = self.people.get(user, Person()), Account(user, "idp.example")
        call = partial(self.outcome, kind, "acquire_token_silent", sorted(scopes), account, force_refresh=force_refresh)
        outcomes = self.outcomes(person, scopes, force_refresh=force_refresh)
        found = self.checked(person, scopes, call, outcomes, bypasses_cache=force_refresh)
        if found == "invalid_grant":
            person.has_refresh_token = False
        if found == "invalid_scope":
            noted = scopes, person.generation
            if person.refused.get(noted, 0) <= self.clock.time() + SLACK:
                person.refused[noted] = self.clock.time() + REFUSAL_HOLD
        if isinstance(found, AuthenticationResult) and found.metadata.token_source == "identity_provider":
            person.generation += self.provider.rotates

    def outcomes(self, person: Person, scopes: Scopes, *, force_refresh: bool) -> set[str | None]:
        """The codes of the errors where the cache does not serve a user; None where the provider grants a token."""
        if not person.has_refresh_token and not force_refresh and not person.covering(scopes):
            return {"no_tokens_found"}  # told at once
        outcomes = set[str | None]()
        for is_held in self.states_of(person.held.get(scopes, 0)):
            for is_refused in self.states_of(person.refused.get((scopes, person.generation), 0)):
                outcomes.add(self.outcome_of(person, scopes, is_held=is_held, is_refused=is_refused))
        return outcomes

    def outcome_of(self, person: Person, scopes: Scopes, *, is_held: bool, is_refused: bool) -> str | None:
        if is_held:
            return "service_not_available"
        if not person.has_refresh_token:
            return "no_tokens_found"
        if is_refused:
            return "invalid_scope"
        if self.provider.is_down:
            return "service_not_available"
        if person.is_revoked:
            return "invalid_grant"
        return None if scopes <= person.granted else "invalid_scope"

    def states_of(self, until: float) -> set[bool]:
        """Whether a note holds now: one of both, or both where it ends just now."""
        now = self.clock.time()
        return {until > now + SLACK, until > now - SLACK}

    @rule(kind=kinds, scopes=scope_sets)
    def for_client(self, kind: str, scopes: Scopes) -> None:
        held = self.states_of(self.client.held.get(scopes, 0))
        fails = {is_held or self.provider.is_down for is_held in held}
        outcomes = {"service_not_available" if failing else None for failing in fails}
        self.checked(
            self.client, scopes, partial(self.outcome, kind, "acquire_token_for_client", sorted(scopes)), outcomes
        )

    def checked(
        self,
        person: Person,
        scopes: Scopes,
        call: Callable[[], AuthenticationResult | str],
        outcomes: set[str | None],
        *,
        bypasses_cache: bool = False,
    ) -> AuthenticationResult | str:
        """Make a call, check that its outcome is the model's, and let the model follow."""
        now = self.clock.time()
        usable = set() if bypasses_cache else person.usable(scopes, now)
        surely_usable = set() if bypasses_cache else person.usable(scopes, now + SLACK)
        found = call()
        if isinstance(found, AuthenticationResult) and found.metadata.token_source == "cache":
            if found.metadata.cache_refresh_reason == "expired":
                self.check_stale(person, scopes, found, now, "service_not_available" in outcomes)
                assert not bypasses_cache
            else:
                assert found.access_token in usable
            return found
        assert not surely_usable, "expected a token from the cache"
        if isinstance(found, AuthenticationResult):
            assert None in outcomes
            person.keep(scopes, found)
            return found
        assert found in outcomes
        if found == "service_not_available":
            assert bypasses_cache or not person.unexpired(scopes, now + SLACK), "expected the token that still lasts"
            self.note_failure(person, scopes)
        return found

    def check_stale(
        self, person: Person, scopes: Scopes, found: AuthenticationResult, now: float, may_fail: bool
    ) -> None:
        """A token whose margin has begun serves where the provider fails, and for a moment after that."""
        assert found.access_token in person.unexpired(scopes, now)
        assert may_fail or person.stale.get(scopes, 0) > now - SLACK
        if may_fail and found.metadata.cache_level != "L1":
            person.stale[scopes] = self.clock.time() + HOLD
            self.note_failure(person, scopes)

    def note_failure(self, person: Person, scopes: Scopes) -> None:
        if self.provider.is_down and person.held.get(scopes, 0) <= self.clock.time() + SLACK:
            person.held[scopes] = self.clock.time() + HOLD

    @rule(kind=kinds, user=st.sampled_from(USERS))
    def sign_out(self, kind: str, user: str) -> None:
        self.call(kind, "remove_account", Account(user, "idp.example"))
        self.people.pop(user, None)

    @rule(
        seconds=st.sampled_from(
            [1, MARGIN - 1, MARGIN + 1, LIFETIME - MARGIN - 5, LIFETIME - MARGIN + 5, LIFETIME, 10 * LIFETIME]
        )
    )
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(rotates=st.booleans())
    def provider_changes_its_ways(self, rotates: bool) -> None:
        self.provider.rotates = rotates

    @rule(is_down=st.booleans())
    def provider_fails_or_recovers(self, is_down: bool) -> None:
        self.provider.is_down = is_down

    @rule(user=st.sampled_from(USERS))
    def provider_revokes(self, user: str) -> None:
        self.provider.revoke(user)
        if user in self.people:
            self.people[user].is_revoked = True

    # --- what always holds ---

    @invariant()
    def no_spent_refresh_token_is_sent(self) -> None:
        assert self.provider.replays == 0

    @invariant()
    def both_list_the_users_who_can_be_served(self) -> None:
        now = self.clock.time()
        possibly = {user for user, person in self.people.items() if person.can_be_served(now)}
        surely = {user for user, person in self.people.items() if person.can_be_served(now + SLACK)}
        for kind in self.apps:
            listed = [account.home_account_id for account in self.call(kind, "get_accounts")]
            assert len(set(listed)) == len(listed)
            assert surely <= set(listed) <= possibly

    def teardown(self) -> None:
        for app in self.apps.values():
            app.cache.close()
        self.runner.close()
        shutil.rmtree(self.directory)


TestCacheAndFlows = CacheAndFlows.TestCase
TestCacheAndFlows.settings = settings(
    max_examples=SCALE.model_runs,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
