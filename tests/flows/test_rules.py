"""Rules of silent acquisition (docs/compatibility.md) that belong to no other page of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.world import KEY, SCOPES, World

from warmtoken import ClientSecret, ConfidentialClientApplication, TokenCache
from warmtoken.testing import Clock
from warmtoken.transport import HttpRequest, HttpResponse

HOST = "https://login.microsoftonline.com"


def test_capabilities_are_no_part_of_the_key(world: World) -> None:
    signed_in = world.sign_in(world.public(client_capabilities=["cp1"]))
    for capabilities in ([], ["cp1", "cp2"]):
        app = world.public(client_capabilities=capabilities)
        assert app.acquire_token_silent(SCOPES, signed_in.account).access_token == signed_in.access_token
    assert world.token_requests() == 0


class Grants:
    """Entra's token endpoint, as far as a service needs it: each tenant gets a token that names it."""

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        tenant = request.url.removeprefix(HOST).split("/")[1]
        body = f'{{"access_token":"at-{tenant}","token_type":"Bearer","expires_in":3600}}'
        return HttpResponse(200, {}, body.encode())


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=KEY, clock=Clock()) as made:
        yield made


def test_a_token_lies_in_the_tenant_that_was_asked_for(cache: TokenCache) -> None:
    def app(tenant: str) -> ConfidentialClientApplication:
        return ConfidentialClientApplication(
            "service", credential=ClientSecret("s"), authority=f"{HOST}/{tenant}", cache=cache, transport=Grants()
        )

    scope = ["https://graph.microsoft.com/.default"]
    for tenant in ("one", "two"):
        assert app(tenant).acquire_token_for_client(scope).tenant_id == tenant
    for asked, tenant in (("one", "two"), ("two", "one")):
        result = app(asked).acquire_token_for_client(scope, tenant_id=tenant)
        assert (result.access_token, result.metadata.token_source) == (f"at-{tenant}", "cache")
