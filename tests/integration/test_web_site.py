"""Sign-in at a web site, which redeems the code with its own credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from idp.browser import Browser
from support.web_site import Landing, landing

from integration.program import KEY, READ
from warmtoken import ClientCertificate, ClientError, ClientSecret, TokenCache
from warmtoken.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp.provider import Provider

    from integration.worlds import World

FORM_FIELDS = {"grant_type", "code", "redirect_uri", "code_verifier"}


@pytest.fixture
def site() -> Iterator[Landing]:
    with landing() as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[TokenCache]:
    with TokenCache(tmp_path / "cache", key=KEY, clock=Clock()) as made:
        yield made


def credential_of(client_id: str, provider: Provider) -> ClientSecret | ClientCertificate:
    if client_id == "web-jwt":
        return ClientCertificate((provider.keys / "svc-jwt.pem").read_bytes())
    return ClientSecret("web-secret-0123456789")


@pytest.mark.parametrize("client_id", ["web", "web-jwt"])
@pytest.mark.parametrize(("mode", "method"), [("query", "GET"), ("form_post", "POST")])
def test_a_user_signs_in_at_a_web_site_and_is_served_silently(
    world: World, provider: Provider, cache: TokenCache, site: Landing, client_id: str, mode: str, method: str
) -> None:
    app = world.confidential(client_id, credential_of(client_id, provider), provider.issuer, cache)
    flow = world.run(app.initiate_auth_code_flow([READ], site.redirect_uri, response_mode=mode))
    brought = site.visit(flow["auth_uri"], Browser("alice"))
    assert [how for how, _ in site.brought] == [method]
    assert brought["iss"] == provider.issuer  # RFC 9207

    result = world.run(app.acquire_token_by_auth_code_flow(flow, brought))

    assert result.account.home_account_id == "alice"
    assert result.id_token_claims["nonce"] == flow["nonce"]
    sent = world.exchanges[-1].form
    assert sent.keys() >= FORM_FIELDS
    assert ("client_assertion" in sent) == (client_id == "web-jwt")
    silent = world.run(app.acquire_token_silent([READ], result.account))
    assert (silent.access_token, silent.metadata.token_source) == (result.access_token, "cache")
    assert provider.counters.token_requests == 1


def test_a_redirect_with_another_state_sends_nothing(
    world: World, provider: Provider, cache: TokenCache, site: Landing
) -> None:
    app = world.confidential("web", credential_of("web", provider), provider.issuer, cache)
    flow = world.run(app.initiate_auth_code_flow([READ], site.redirect_uri))
    brought = site.visit(flow["auth_uri"], Browser("alice"))
    with pytest.raises(ClientError, match="state_mismatch"):
        world.run(app.acquire_token_by_auth_code_flow(flow, {**brought, "state": "another"}))
    assert provider.counters.token_requests == 0
