"""The least that MSAL asks of an HTTP client and of its responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests


class MinimalResponse:
    """A response with a status, a text and, if they are given, headers."""

    def __init__(
        self,
        status_code: int | None = None,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        requests_resp: requests.Response | None = None,
    ) -> None:
        found = requests_resp
        self.status_code = status_code if found is None else found.status_code
        self.text = text if found is None else found.text
        if headers is not None:
            self.headers = headers

    def raise_for_status(self) -> None:
        """Raise what `requests` raises where the status says that it failed."""
        if self.status_code is not None and self.status_code >= 400:
            raise requests.HTTPError(f"status {self.status_code}")


class MinimalHttpClient:
    """Sends requests by `requests`."""

    def __init__(self, verify: bool = True, proxies: Any = None, timeout: float | None = None) -> None:
        self._session = requests.Session()
        self._session.verify = verify
        self._session.proxies = proxies or {}
        self._timeout = timeout

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None) -> MinimalResponse:
        """Send a POST request."""
        found = self._session.post(url, params=params, data=data, headers=headers, timeout=self._timeout)
        return MinimalResponse(requests_resp=found)

    def get(self, url: str, params: Any = None, headers: Any = None) -> MinimalResponse:
        """Send a GET request."""
        found = self._session.get(url, params=params, headers=headers, timeout=self._timeout)
        return MinimalResponse(requests_resp=found)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
