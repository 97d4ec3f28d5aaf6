"""What we write MSAL Python reads, and what it writes we read: with the library itself."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msal
import msal_extensions
import pytest
from support.msal_texts import CLIENT, OID, TENANT, jwt

from warmtoken import ClientSecret, ConfidentialClientApplication, PublicClientApplication, TokenCache

HOST = "login.microsoftonline.com"
ALICE, BOB = "alice@example.test", "bob@example.test"


class Answer:
    """A reply of an HTTP client, as MSAL wants it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.status_code, self.text, self.headers = 200, json.dumps(body), dict[str, str]()

    def raise_for_status(self) -> None:
        """All is well."""


class Provider:
    """An HTTP client that answers discovery, and counts and answers token requests."""

    def __init__(self) -> None:
        self.redeemed: list[str] = []

    def get(self, url: str, **_: object) -> Answer:
        base = f"https://{HOST}/{TENANT if TENANT in url else 'common'}"
        return Answer(
            {
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
                "issuer": f"https://{HOST}/{TENANT}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "metadata": [{"preferred_network": HOST, "preferred_cache": HOST, "aliases": [HOST]}],
            }
        )

    def post(self, url: str, data: dict[str, str] | None = None, **_: object) -> Answer:
        self.redeemed.append((data or {})["refresh_token"])
        return Answer({"access_token": "at-renewed", "token_type": "Bearer", "expires_in": 3600, "scope": "New.Scope"})

    def close(self) -> None:
        """Nothing is open."""


def msal_app(text: str, provider: Provider, tenant: str = TENANT) -> msal.PublicClientApplication:
    state = msal.SerializableTokenCache()
    state.deserialize(text)
    return msal.PublicClientApplication(
        CLIENT, authority=f"https://{HOST}/{tenant}", token_cache=state, http_client=provider, instance_discovery=False
    )


def sign_in(state: msal.SerializableTokenCache, name: str, scopes: list[str], realm: str, **response: Any) -> None:
    """Let MSAL take a reply into its cache, as after a sign-in."""
    oid = OID.replace("1", str(len(name) % 10))
    claims = {"tid": TENANT, "oid": oid, "sub": oid, "preferred_username": name, "iat": int(time.time())}
    client_info = jwt(uid=oid, utid=TENANT).split(".")[1]
    state.add(
        {
            "client_id": CLIENT,
            "scope": scopes,
            "token_endpoint": f"https://{HOST}/{realm}/oauth2/v2.0/token",
            "grant_type": "authorization_code",
            "response": {
                "access_token": f"at-{name}",
                "refresh_token": f"rt-{name}",
                "id_token": jwt(iss=f"https://{HOST}/{TENANT}/v2.0", aud=CLIENT, **claims),
                "client_info": client_info,
                "expires_in": 3600,
                "token_type": "Bearer",
                **response,
            },
        }
    )


@pytest.fixture(params=[TENANT, "common"])
def state(request: pytest.FixtureRequest) -> msal.SerializableTokenCache:
    """MSAL's cache with two users and the client's own token."""
    state = msal.SerializableTokenCache()
    sign_in(state, ALICE, ["User.Read", "Mail.Read"], request.param)
    sign_in(state, BOB, ["User.Read"], request.param, foci="1", refresh_in=1800)
    state.add(
        {
            "client_id": CLIENT,
            "scope": ["https://vault.test/.default"],
            "token_endpoint": f"https://{HOST}/{TENANT}/oauth2/v2.0/token",
            "response": {"access_token": "at-own", "expires_in": 3600, "token_type": "Bearer"},
        }
    )
    return state


@pytest.fixture
def cache(tmp_path: Path) -> TokenCache:
    """An empty cache whose clock is the machine's, as MSAL's is."""
    return TokenCache(tmp_path / "cache", key=bytes(32))


def test_what_msal_wrote_serves_our_applications(state: msal.SerializableTokenCache, cache: TokenCache) -> None:
    assert cache.import_msal(state.serialize()).skipped == ()
    application = PublicClientApplication(CLIENT, authority=f"https://{HOST}/common", cache=cache)
    assert {account.username for account in application.get_accounts()} == {ALICE, BOB}
    for account in application.get_accounts():
        assert application.acquire_token_silent(["User.Read"], account).access_token == f"at-{account.username}"
    own = ConfidentialClientApplication(
        CLIENT, credential=ClientSecret("s"), authority=f"https://{HOST}/{TENANT}", cache=cache
    )
    assert own.acquire_token_for_client(["https://vault.test/.default"]).access_token == "at-own"


def test_what_was_imported_from_msal_comes_out_as_msal_wrote_it(
    state: msal.SerializableTokenCache, cache: TokenCache
) -> None:
    before = state.serialize()
    cache.import_msal(before)
    assert json.loads(cache.export_msal("python")) == json.loads(before)


@pytest.mark.parametrize("dialect", ["dotnet", "python", "java", "go", "node"])
def test_msal_reads_what_we_write_in_each_dialect(
    state: msal.SerializableTokenCache, cache: TokenCache, dialect: str
) -> None:
    realm = next(iter(json.loads(state.serialize())["Account"].values()))["realm"]
    cache.import_msal(state.serialize())
    provider = Provider()
    application = msal_app(cache.export_msal(dialect), provider, realm)
    assert {account["username"] for account in application.get_accounts()} == {ALICE, BOB}
    for account in application.get_accounts():
        result = application.acquire_token_silent(["User.Read"], account)
        assert (result["access_token"], result["token_source"]) == (f"at-{account['username']}", "cache")
    assert provider.redeemed == []
    [alice] = application.get_accounts(ALICE)
    result = application.acquire_token_silent(["New.Scope"], alice)
    assert (result["access_token"], provider.redeemed) == ("at-renewed", [f"rt-{ALICE}"])


def test_what_our_applications_wrote_serves_msal(cache: TokenCache, tmp_path: Path) -> None:
    state = msal.SerializableTokenCache()
    sign_in(state, ALICE, ["User.Read"], TENANT)
    cache.import_msal(state.serialize())
    other = TokenCache(tmp_path / "other", key=bytes(32))
    other.import_msal(cache.export_msal("dotnet"))
    application = msal_app(other.export_msal("python"), Provider())
    [account] = application.get_accounts()
    assert application.acquire_token_silent(["User.Read"], account)["access_token"] == f"at-{ALICE}"


def test_a_plain_file_of_msals_extensions_is_read(cache: TokenCache, tmp_path: Path) -> None:
    path = tmp_path / "msal_token_cache.json"  # Azure CLI's name for it
    state = msal_extensions.PersistedTokenCache(msal_extensions.FilePersistence(str(path)))
    sign_in(state, ALICE, ["User.Read"], "organizations")
    report = cache.import_msal(path.read_bytes())
    assert report.imported == {"AccessToken": 1, "RefreshToken": 1, "IdToken": 1, "Account": 1, "AppMetadata": 1}
    application = PublicClientApplication(CLIENT, authority=f"https://{HOST}/organizations", cache=cache)
    [account] = application.get_accounts()
    assert application.acquire_token_silent(["user.read"], account).access_token == f"at-{ALICE}"


def test_msal_takes_a_bound_token_for_bound_requests_alone(cache: TokenCache) -> None:
    state = msal.SerializableTokenCache()
    event = {
        "client_id": CLIENT,
        "scope": ["s1"],
        "token_endpoint": f"https://{HOST}/{TENANT}/oauth2/v2.0/token",
        "response": {"access_token": "at-fmi", "expires_in": 3600, "token_type": "Bearer"},
        "data": {"fmi_path": "a/b"},
    }
    state.add(event)
    cache.import_msal(state.serialize())
    again = msal.SerializableTokenCache()
    again.deserialize(cache.export_msal("python"))
    query = {"client_id": CLIENT, "environment": HOST, "realm": TENANT, "home_account_id": None}
    kind = msal.TokenCache.CredentialType.ACCESS_TOKEN
    assert list(again.search(kind, ["s1"], query)) == []
    bound = json.loads(state.serialize())["AccessToken"].popitem()[1]["ext_cache_key"]
    [found] = again.search(kind, ["s1"], query | {"ext_cache_key": bound})
    assert found["secret"] == "at-fmi"
