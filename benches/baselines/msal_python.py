"""MSAL Python as its users run it: the public and the confidential application, one token cache in memory.

The cache is filled by the events that MSAL itself adds to it after a token request; discovery is answered here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import msal

ALIASES = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]


class CannedResponse:
    """A reply with status 200 and a JSON body."""

    status_code = 200
    headers: Mapping[str, str] = {}

    def __init__(self, body: Mapping[str, Any]) -> None:
        self.text = json.dumps(body)

    def raise_for_status(self) -> None:
        """Do nothing: the status is 200."""


class CannedDiscovery:
    """Answers discovery as Entra does and fails at all else: whoever asks for a token there found none in the cache."""

    def __init__(self, authority: str) -> None:
        self._authority = authority

    def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> CannedResponse:
        """Return the provider's metadata, or the aliases of its hosts."""
        if url.endswith("/discovery/instance"):
            group = {"preferred_network": ALIASES[0], "preferred_cache": ALIASES[1], "aliases": ALIASES}
            return CannedResponse({"metadata": [group]})
        assert url == f"{self._authority}/v2.0/.well-known/openid-configuration", url
        return CannedResponse(
            {
                "issuer": f"{self._authority}/v2.0",
                "authorization_endpoint": f"{self._authority}/oauth2/v2.0/authorize",
                "token_endpoint": token_endpoint(self._authority),
            }
        )

    def post(self, url: str, **_: object) -> NoReturn:
        """Fail."""
        raise AssertionError(f"expected the token in the cache, but MSAL asks {url}")

    def close(self) -> None:
        """Do nothing: there is no connection."""


def token_endpoint(authority: str) -> str:
    """Return where Entra issues the tokens of a tenant."""
    return f"{authority}/oauth2/v2.0/token"


class MsalPython:
    """Both applications of one client on one cache: a new one in memory, or the one that is given."""

    def __init__(self, client_id: str, authority: str, token_cache: msal.SerializableTokenCache | None = None) -> None:
        self._client_id = client_id
        self._authority = authority
        self.token_cache = msal.SerializableTokenCache() if token_cache is None else token_cache
        discovery = CannedDiscovery(authority)
        self.public = msal.PublicClientApplication(
            client_id, authority=authority, token_cache=self.token_cache, http_client=discovery
        )
        self.confidential = msal.ConfidentialClientApplication(
            client_id,
            authority=authority,
            token_cache=self.token_cache,
            http_client=discovery,
            client_credential="a secret",
        )

    def save_for_user(
        self, scopes: tuple[str, ...], home_account_id: str, *, access_token: str, id_token: str, lifetime: int
    ) -> None:
        """Add what MSAL adds after a sign-in; `home_account_id` is `{oid}.{tid}`, `lifetime` in seconds."""
        uid, _, utid = home_account_id.partition(".")
        client_info = base64.urlsafe_b64encode(json.dumps({"uid": uid, "utid": utid}).encode()).decode()
        response = {"id_token": id_token, "client_info": client_info}
        self._add("authorization_code", scopes, access_token, lifetime, response)

    def save_for_client(self, scopes: tuple[str, ...], *, access_token: str, lifetime: int) -> None:
        """Add what MSAL adds after a client-credentials request."""
        self._add("client_credentials", scopes, access_token, lifetime, {})

    def _add(
        self, grant: str, scopes: tuple[str, ...], access_token: str, lifetime: int, more: Mapping[str, str]
    ) -> None:
        self.token_cache.add(
            {
                "client_id": self._client_id,
                "scope": list(scopes),
                "token_endpoint": token_endpoint(self._authority),
                "environment": self.public.authority.instance,
                "grant_type": grant,
                "response": {
                    "access_token": access_token,
                    "token_type": "Bearer",
                    "expires_in": lifetime,
                    **more,
                },
            }
        )

    def find_access_tokens(self, scopes: list[str], account: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Return what MSAL's own search finds, with the query that its silent method makes; None is the client."""
        query = {
            "client_id": self._client_id,
            "environment": self.public.authority.instance,
            "realm": self.public.authority.tenant,
            "home_account_id": account["home_account_id"] if account else None,
        }
        return list(self.token_cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN, target=scopes, query=query))
