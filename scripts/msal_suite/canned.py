"""Answers what MSAL's tests ask the Internet: discovery, as Microsoft Entra does. All else is not reached."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

HOST = "login.microsoftonline.com"
ALIASES = [HOST, "login.windows.net", "login.microsoft.com", "sts.windows.net"]


def install() -> None:
    """Send no request to any host but this one from now on."""
    send = HTTPAdapter.send

    def send_or_answer(self: HTTPAdapter, request: requests.PreparedRequest, *rest: Any, **more: Any) -> Any:
        parts = urlsplit(request.url or "")
        if parts.hostname in ("localhost", "127.0.0.1", "::1"):
            return send(self, request, *rest, **more)
        answer = _answer(str(parts.hostname), parts.path)
        if answer is None:
            raise requests.ConnectionError(f"no network here: {request.method} {request.url}")
        return _response(request, answer)

    HTTPAdapter.send = send_or_answer  # type: ignore[method-assign]


def _answer(host: str, path: str) -> dict[str, Any] | None:
    if host not in ALIASES:
        return None
    if path.endswith("/discovery/instance"):
        group = {"preferred_network": ALIASES[0], "preferred_cache": ALIASES[1], "aliases": ALIASES}
        return {"metadata": [group], "tenant_discovery_endpoint": f"https://{host}/common/.well-known"}
    tenant = path.strip("/").split("/")[0]
    if path.endswith("/.well-known/openid-configuration"):
        url = f"https://{host}/{tenant}"
        return {
            "issuer": f"{url}/v2.0",
            "authorization_endpoint": f"{url}/oauth2/v2.0/authorize",
            "token_endpoint": f"{url}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{url}/oauth2/v2.0/devicecode",
        }
    return {"ver": "1.0", "account_type": "Managed"} if "/userrealm/" in path else None


def _response(request: requests.PreparedRequest, body: dict[str, Any]) -> requests.Response:
    response = requests.Response()
    response.status_code = 200
    response.url = str(request.url)
    response.request = request
    response._content = json.dumps(body).encode()
    return response
