"""Tokens of a service itself, with each kind of credential that the provider takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from integration.program import KEY, LIFETIME
from warmtoken import ClientCertificate, ClientSecret, ServiceError, TokenCache, TransportError
from warmtoken.models import claims_of
from warmtoken.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp.provider import Provider

    from integration.worlds import World
    from warmtoken import AuthenticationResult

SCOPE = "api://orders/.default"
SECRET = "svc-secret-0123456789"


@dataclass
class Service:
    """Confidential clients of one host, and the provider they talk to."""

    world: World
    provider: Provider
    cache: TokenCache
    clock: Clock

    def app(self, client_id: str = "svc", credential: Any = None) -> Any:
        return self.world.confidential(client_id, credential or ClientSecret(SECRET), self.provider.issuer, self.cache)

    def token(self, app: Any) -> AuthenticationResult:
        result: AuthenticationResult = self.world.run(app.acquire_token_for_client([SCOPE]))
        return result


@pytest.fixture
def service(world: World, provider: Provider, tmp_path: Path) -> Iterator[Service]:
    clock = Clock()
    with TokenCache(tmp_path / "cache", key=KEY, clock=clock) as cache:
        yield Service(world, provider, cache, clock)


def credential_of(client_id: str, provider: Provider) -> ClientSecret | ClientCertificate:
    if client_id == "svc-jwt":
        return ClientCertificate((provider.keys / "svc-jwt.pem").read_bytes())
    return ClientSecret(SECRET)


@pytest.mark.parametrize("client_id", ["svc", "svc-post", "svc-jwt"])
def test_each_credential_gets_a_token_that_is_then_cached(service: Service, client_id: str) -> None:
    app = service.app(client_id, credential_of(client_id, service.provider))

    first, second = service.token(app), service.token(app)

    assert claims_of(first.access_token)["client_id"] == client_id
    assert first.metadata.token_source == "identity_provider"
    assert second.access_token == first.access_token
    assert second.metadata.token_source == "cache"
    assert service.provider.counters.grants == {"client_credentials": 1}


def test_an_expired_token_is_fetched_again(service: Service) -> None:
    app = service.app()
    first = service.token(app)
    service.clock.advance(LIFETIME + 1)

    assert service.token(app).access_token != first.access_token
    assert service.provider.counters.grants == {"client_credentials": 2}


def test_each_assertion_is_used_once(service: Service) -> None:
    """The provider refuses a client assertion whose jti it has seen (RFC 7523, section 3)."""
    app = service.app("svc-jwt", credential_of("svc-jwt", service.provider))

    tokens = [
        service.world.run(app.acquire_token_for_client([SCOPE], force_refresh=True)).access_token for _ in range(3)
    ]

    assert len(set(tokens)) == 3


def test_a_second_application_on_the_cache_needs_no_request(service: Service) -> None:
    first = service.token(service.app())

    assert service.token(service.app()).access_token == first.access_token
    assert service.provider.counters.token_requests == 1


def test_clients_do_not_see_each_others_tokens(service: Service) -> None:
    service.token(service.app())

    other = service.token(service.app("svc-post"))

    assert claims_of(other.access_token)["client_id"] == "svc-post"
    assert service.provider.counters.token_requests == 2


def test_many_callers_at_once_fetch_one_token(service: Service) -> None:
    app = service.app()
    service.provider.fail(delay_ms=300)

    results = service.world.run_at_once([lambda: app.acquire_token_for_client([SCOPE])] * 16)

    assert len({result.access_token for result in results}) == 1
    assert service.provider.counters.token_requests == 1


@pytest.mark.parametrize("client_id", ["svc", "svc-post"])
def test_a_wrong_secret_is_a_typed_refusal_that_does_not_show_it(service: Service, client_id: str) -> None:
    app = service.app(client_id, ClientSecret("not-the-secret"))

    with pytest.raises(ServiceError) as raised:
        service.token(app)

    assert (raised.value.code, raised.value.error, raised.value.status) == ("invalid_client", "invalid_client", 401)
    assert not raised.value.is_retryable
    assert "not-the-secret" not in f"{raised.value} {raised.value!r} {vars(raised.value)}"


@pytest.mark.parametrize("wrong", [{"status": 503, "body": "{}"}, {"reset": True}], ids=["503", "reset"])
def test_a_fault_is_typed_and_the_cached_token_goes_on(service: Service, wrong: dict[str, Any]) -> None:
    app = service.app()
    first = service.token(app)
    service.provider.fail(times=2, **wrong)  # it is sent once more

    with pytest.raises((ServiceError, TransportError)) as raised:
        service.world.run(app.acquire_token_for_client([SCOPE], force_refresh=True))

    assert raised.value.code in {"service_not_available", "connection_failed"}
    assert service.token(app).access_token == first.access_token
