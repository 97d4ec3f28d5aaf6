"""MSAL Python and msal-extensions at the identity provider of `warmtoken.testing`, with real requests on loopback.

MSAL takes authorities by https and with a path only, the provider has neither: addresses are translated in between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msal
import requests
from msal_extensions import PersistedTokenCache

from benches.baselines.msal_extensions_cache import persistence

PATH = "/tenant"


class Translated:
    """A requests session, MSAL's own kind of client, for one provider."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self.authority = f"https://{urlsplit(issuer).netloc}{PATH}"
        self._session = requests.Session()
        self._session.trust_env = False  # loopback, whatever the proxy settings

    def get(self, url: str, **named: Any) -> requests.Response:
        """Return the answer to a GET; the addresses in the provider's metadata are translated too."""
        response = self._session.get(self._real(url), **named)
        if url.endswith("/.well-known/openid-configuration"):
            metadata: Mapping[str, object] = response.json()
            shown = {
                name: value.replace(self._issuer, self.authority) if isinstance(value, str) else value
                for name, value in metadata.items()
            }
            response._content = json.dumps(shown).encode()
        return response

    def post(self, url: str, **named: Any) -> requests.Response:
        """Return the answer to a POST."""
        return self._session.post(self._real(url), **named)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _real(self, url: str) -> str:
        return url.replace(self.authority, self._issuer)


def application(client_id: str, issuer: str, directory: Path) -> msal.PublicClientApplication:
    """Return MSAL's public application on the file of a directory, which its processes share."""
    http = Translated(issuer)
    return msal.PublicClientApplication(
        client_id,
        oidc_authority=http.authority,
        token_cache=PersistedTokenCache(persistence(directory)),
        http_client=http,
    )
