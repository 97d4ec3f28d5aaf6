"""Microsoft Entra as MSAL's and our applications of one client see it, scripted; and those applications."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msal

from warmtoken import ClientSecret, ConfidentialClientApplication, PublicClientApplication, TokenCache
from warmtoken.interop import msal as interop
from warmtoken.transport import HttpRequest, HttpResponse

HOSTS = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
HOME = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
COMMON = f"https://{HOSTS[0]}/common"
TENANT = f"https://{HOSTS[0]}/{HOME}"
CLIENT = "3a7e1d2c-1111-4c40-97bc-f7a23c703084"
SCOPES = ["User.Read"]
GRANTED = "Mail.Read User.Read openid profile"
SECRET = "not a secret"
_DEVICE_CODE = {"device_code": "dc", "user_code": "uc", "message": "Enter uc", "expires_in": 900, "interval": 1}


def segment(content: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


class Response:
    """What MSAL asks of a response."""

    def __init__(self, status_code: int, body: Mapping[str, Any]) -> None:
        self.status_code = status_code
        self.text = json.dumps(body)
        self.headers: dict[str, str] = {}

    def raise_for_status(self) -> None:
        assert self.status_code < 400, self.text


class Entra:
    """MSAL's http_client= and our transport=: one token endpoint, with `now` (Unix seconds) for its id tokens."""

    def __init__(self, now: float) -> None:
        self.now = int(now)
        self.forms: list[dict[str, str]] = []
        self.uid = "oid-of-alice"
        self.expires_in = 3600
        self.foci: str | None = None

    @property
    def last(self) -> dict[str, str]:
        return self.forms[-1]

    # --- for MSAL ---

    def get(self, url: str, **_: Any) -> Response:
        url = url.partition("?")[0]
        if url.endswith("/discovery/instance"):
            group = {"preferred_network": HOSTS[0], "preferred_cache": HOSTS[1], "aliases": HOSTS}
            return Response(200, {"metadata": [group]})
        assert url.endswith("/v2.0/.well-known/openid-configuration"), url
        tenant = url.removesuffix("/v2.0/.well-known/openid-configuration")
        return Response(
            200,
            {
                "issuer": f"{tenant}/v2.0",
                "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{tenant}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{tenant}/oauth2/v2.0/devicecode",
            },
        )

    def post(self, url: str, data: Mapping[str, str], **_: Any) -> Response:
        if url.endswith("/devicecode"):
            return Response(200, _DEVICE_CODE)
        return Response(200, self._reply(url, dict(data)))

    def close(self) -> None:
        pass

    # --- for us ---

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        return HttpResponse(200, {}, json.dumps(self._reply(request.url, form)).encode())

    def _reply(self, url: str, form: dict[str, str]) -> dict[str, Any]:
        self.forms.append(form)
        number = len(self.forms)
        reply = {"token_type": "Bearer", "access_token": f"at-{number}", "expires_in": self.expires_in}
        if form["grant_type"] == "client_credentials":
            return reply
        tenant = url.split("/")[3]
        home = HOME if tenant in ("common", "organizations") else tenant
        claims = {
            "iss": f"https://{HOSTS[0]}/{home}/v2.0",
            "aud": CLIENT,
            "sub": "pairwise",
            "oid": self.uid,
            "tid": home,
            "preferred_username": "alice@contoso.example",
            "name": "Alice",
            "iat": self.now,
            "exp": self.now + 3600,
        }
        return {
            **reply,
            **({"foci": self.foci} if self.foci else {}),
            "refresh_token": f"rt-{number}",
            "scope": GRANTED,
            "id_token": f"{segment({'alg': 'RS256'})}.{segment(claims)}.c2ln",
            "client_info": segment({"uid": self.uid, "utid": HOME}),
        }


def public_msal(cache: TokenCache, entra: Entra, authority: str = COMMON, client_id: str = CLIENT) -> Any:
    """MSAL's public application on our cache."""
    token_cache = interop.TokenCache(cache)
    return msal.PublicClientApplication(client_id, authority=authority, token_cache=token_cache, http_client=entra)


def confidential_msal(cache: TokenCache, entra: Entra) -> Any:
    """MSAL's confidential application on our cache."""
    return msal.ConfidentialClientApplication(
        CLIENT,
        authority=TENANT,
        client_credential=SECRET,
        token_cache=interop.TokenCache(cache),
        http_client=entra,
    )


def public_own(
    cache: TokenCache, entra: Entra, authority: str = COMMON, client_id: str = CLIENT
) -> PublicClientApplication:
    """Our public application."""
    return PublicClientApplication(client_id, authority=authority, cache=cache, transport=entra)


def confidential_own(cache: TokenCache, entra: Entra) -> ConfidentialClientApplication:
    """Our confidential application."""
    return ConfidentialClientApplication(
        CLIENT, credential=ClientSecret(SECRET), authority=TENANT, cache=cache, transport=entra
    )


def sign_in(app: Any, scopes: list[str] = SCOPES) -> str:
    """Sign a user in with MSAL and return the access token."""
    result = app.acquire_token_by_device_flow(app.initiate_device_flow(scopes))
    assert "access_token" in result, result
    return str(result["access_token"])


def silent(app: Any, scopes: list[str] = SCOPES, **more: Any) -> Any:
    """Acquire a token silently with MSAL for the one account that is there."""
    [account] = app.get_accounts()
    return app.acquire_token_silent(scopes, account, **more)
