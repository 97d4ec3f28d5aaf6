"""The metadata of a result says how it came about, on every way that there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import pytest
from support.world import SCOPES, Client, World

from warmtoken import Account, AuthenticationResult
from warmtoken.testing import UserAgent

NOT_APPLICABLE, FORCED, ABSENT, EXPIRED = (
    "not_applicable", "force_refresh_or_claims", "no_cached_access_token", "expired",
)  # fmt: skip


@dataclass
class Scene:
    """A user who signed in, an application of the user's and one of a service that has no token yet."""

    world: World
    app: Client
    service: Client
    account: Account
    refresh_token: str

    def silent(self, scopes: list[str] = SCOPES, **options: Any) -> AuthenticationResult:
        result: AuthenticationResult = self.app.acquire_token_silent(scopes, self.account, **options)
        return result

    def of_service(self, **options: Any) -> AuthenticationResult:
        result: AuthenticationResult = self.service.acquire_token_for_client(SCOPES, **options)
        return result


@pytest.fixture
def scene(world: World) -> Scene:
    sent: list[str] = []
    world.idp.refresh_in = 1800
    world.idp.rotation = "never"
    app = world.public(before=lambda request: sent.extend(parse_qs(request.body.decode()).get("refresh_token", [])))
    account = world.sign_in(app).account
    assert account is not None
    app.acquire_token_silent(SCOPES, account, force_refresh=True)
    world.idp.reset_counters()
    return Scene(world, app, world.confidential(), account, sent[0])


def interactive(scene: Scene) -> AuthenticationResult:
    return scene.world.sign_in(scene.app)


def device_code(scene: Scene) -> AuthenticationResult:
    agent = UserAgent(background=False)
    result: AuthenticationResult = scene.app.acquire_token_by_device_code(
        SCOPES, on_user_code=lambda code: agent(code.verification_uri_complete or "")
    )
    return result


def imported(scene: Scene) -> AuthenticationResult:
    result: AuthenticationResult = scene.app.acquire_token_by_refresh_token(scene.refresh_token, SCOPES)
    return result


def expired(scene: Scene) -> AuthenticationResult:
    scene.world.clock.advance(3600)
    return scene.silent()


def services_expired(scene: Scene) -> AuthenticationResult:
    scene.of_service()
    scene.world.clock.advance(3600)
    return scene.of_service()


@pytest.mark.parametrize(
    ("acquire", "reason"),
    [
        pytest.param(interactive, NOT_APPLICABLE, id="interactive"),
        pytest.param(device_code, NOT_APPLICABLE, id="device code"),
        pytest.param(imported, NOT_APPLICABLE, id="imported"),
        pytest.param(expired, EXPIRED, id="expired"),
        pytest.param(lambda scene: scene.silent(force_refresh=True), FORCED, id="forced"),
        pytest.param(lambda scene: scene.silent(claims="{}"), FORCED, id="claims"),
        pytest.param(lambda scene: scene.silent(min_validity=7200), EXPIRED, id="too old for this call"),
        pytest.param(lambda scene: scene.silent(["openid", "email"]), ABSENT, id="other scopes"),
        pytest.param(lambda scene: scene.of_service(), ABSENT, id="service"),
        pytest.param(services_expired, EXPIRED, id="service, expired"),
        pytest.param(lambda scene: scene.of_service(force_refresh=True), FORCED, id="service, forced"),
    ],
)
def test_a_token_from_the_provider(scene: Scene, acquire: Callable[[Scene], AuthenticationResult], reason: str) -> None:
    scene.world.idp.allow_wider_scope = True
    metadata = acquire(scene).metadata
    assert (metadata.token_source, metadata.cache_level) == ("identity_provider", "none")
    assert metadata.cache_refresh_reason == reason
    assert metadata.token_endpoint == f"{scene.world.idp.issuer}/token"
    assert 0 < metadata.duration_http_ms < metadata.duration_total_ms
    assert metadata.refresh_on is not None
    assert abs(metadata.refresh_on - (scene.world.clock.time() + 1800)) < 10


@pytest.mark.parametrize(
    ("ways", "levels"),
    [
        pytest.param([{}, {}, {}], ["store", "L1", "L1"], id="memory from the second on"),
        pytest.param([{}, {"correlation_id": "mine"}], ["store", "store"], id="a correlation id of its own"),
        pytest.param([{}, {"min_validity": 10}], ["store", "store"], id="a validity of its own"),
    ],
)
@pytest.mark.parametrize("who", ["silent", "of_service"])
def test_a_token_from_the_cache(scene: Scene, who: str, ways: list[dict[str, Any]], levels: list[str]) -> None:
    first = scene.of_service() if who == "of_service" else scene.silent(force_refresh=True)
    for options, level in zip(ways, levels, strict=True):
        metadata = getattr(scene, who)(**options).metadata
        assert (metadata.token_source, metadata.cache_level) == ("cache", level)
        assert (metadata.cache_refresh_reason, metadata.token_endpoint) == (NOT_APPLICABLE, None)
        assert metadata.refresh_on == first.metadata.refresh_on
        assert metadata.duration_http_ms == 0.0
        assert (metadata.duration_total_ms == 0.0) == (level == "L1")


def test_the_time_of_both_sendings_and_the_pause_between_is_the_providers(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmtoken.flows.sending.RETRY_PAUSE", (0.05, 0.05))
    scene.world.idp.fail_next("token", status=503, delay=0.05)
    scene.world.idp.token_delay = 0.05
    metadata = scene.silent(force_refresh=True).metadata
    assert 150 <= metadata.duration_http_ms < metadata.duration_total_ms
