from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from warmtoken import Account, ServiceError
from warmtoken.default_transport import DefaultTransport
from warmtoken.demo.dict_cache import DictCache
from warmtoken.demo.stage import SCOPES, SeparateLoad
from warmtoken.testing import IdentityProvider
from warmtoken.transport import HttpRequest, HttpResponse

ACCOUNT = Account("user", "issuer.example")
FAR = 2**40


class OneReply(DefaultTransport):
    def __init__(self, status: int = 200) -> None:
        super().__init__()
        self.status = status
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        self.requests.append(request)
        return HttpResponse(self.status, {}, b'{"access_token": "fetched"}')


@pytest.fixture
def transport() -> Iterator[OneReply]:
    transport = OneReply()
    yield transport
    transport.close()


def cache(transport: OneReply, *, expires_on: int) -> DictCache:
    order = SeparateLoad("http://127.0.0.1/token", "refresh", "seed", expires_on, ACCOUNT, 1.0)
    return DictCache(order, transport)


def test_a_token_that_is_good_comes_from_the_dict(transport: OneReply) -> None:
    token = cache(transport, expires_on=FAR).acquire_token_silent(SCOPES, ACCOUNT)
    assert (token.access_token, transport.requests) == ("seed", [])


def test_a_token_that_has_expired_is_refreshed_once_for_all_threads(transport: OneReply) -> None:
    held = cache(transport, expires_on=1)
    tokens = list[str]()
    threads = [
        threading.Thread(target=lambda: tokens.append(held.acquire_token_silent(SCOPES, ACCOUNT).access_token))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == ["fetched"] * 8
    assert len(transport.requests) == 1


def test_a_provider_that_refuses_is_an_error(transport: OneReply) -> None:
    transport.status = 400
    with pytest.raises(ServiceError, match="expected the provider to answer 200, got 400"):
        cache(transport, expires_on=1).acquire_token_silent(SCOPES, ACCOUNT)


def test_the_provider_takes_its_refreshes() -> None:
    transport = DefaultTransport()
    with IdentityProvider() as provider:
        order = SeparateLoad(f"{provider.issuer}/token", "unknown", "seed", 1, ACCOUNT, 1.0)
        with pytest.raises(ServiceError):
            DictCache(order, transport).acquire_token_silent(SCOPES, ACCOUNT)
        assert provider.counters.grants == {"refresh_token": 1}
    transport.close()
