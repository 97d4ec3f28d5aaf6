"""Tokens of providers that are not Microsoft Entra find their issuer again, in another cache too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.msal_texts import access, text_of

from warmtoken import ClientSecret, ConfidentialClientApplication, TokenCache
from warmtoken.testing import IdentityProvider


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as provider:
        yield provider


def service(provider: IdentityProvider, cache: TokenCache) -> ConfidentialClientApplication:
    return ConfidentialClientApplication(
        "service", credential=ClientSecret("service-secret"), authority=provider.issuer, cache=cache
    )


@pytest.mark.parametrize("dialect", ["dotnet", "python", "java", "go", "node"])
def test_a_clients_own_token_serves_from_another_cache(
    provider: IdentityProvider, tmp_path: Path, dialect: str
) -> None:
    first, second = (TokenCache(tmp_path / name, key=bytes(32)) for name in ("first", "second"))
    fetched = service(provider, first).acquire_token_for_client(["orders.read"])
    assert second.import_msal(first.export_msal(dialect)).skipped == ()
    served = service(provider, second).acquire_token_for_client(["orders.read"])
    assert (served.access_token, served.metadata.token_source) == (fetched.access_token, "cache")
    assert second.export_msal(dialect) == first.export_msal(dialect)


def test_the_issuer_is_named_only_where_nothing_else_says_it(tmp_path: Path) -> None:
    with TokenCache(tmp_path / "cache", key=bytes(32)) as cache:
        cache.import_msal(text_of(AccessToken=[access(), access(environment="id.example.test")]))
        entries = json.loads(cache.export_msal())["AccessToken"].values()
    assert len(entries) == 2
    assert not any("authority" in entry for entry in entries)


@pytest.mark.parametrize(
    ("named", "found_again"),
    [("https://id.example.test/realms/a", True), ("https://evil.test/realms/a", False), (5, False), ("no url", False)],
)
def test_an_entry_names_issuers_on_its_own_host_alone(tmp_path: Path, named: object, found_again: bool) -> None:
    entry = access("at-own", environment="id.example.test", home_account_id="", authority=named)
    with TokenCache(tmp_path / "cache", key=bytes(32)) as cache:
        assert cache.import_msal(text_of(AccessToken=[entry])).skipped == ()
        authority = "https://id.example.test/realms/a" if found_again else "https://id.example.test"
        assert {client.authority for client in cache.vault().clients.under("id.example.test")} == {authority}
        [exported] = json.loads(cache.export_msal())["AccessToken"].values()
    assert exported["authority"] == named
