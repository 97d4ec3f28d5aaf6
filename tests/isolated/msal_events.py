"""What MSAL tells its cache after a token request."""

from __future__ import annotations

import base64
import json
from typing import Any

HOST = "login.microsoftonline.com"
TENANT = "9f4880d8-80ba-4c40-97bc-f7a23c703084"
CLIENT = "3a7e1d2c-1111-4c40-97bc-f7a23c703084"


def encoded(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def signed_in(user: str) -> dict[str, Any]:
    """Return the event of a user's sign-in, with tokens of all kinds."""
    claims = {"oid": user, "sub": user, "preferred_username": f"{user}@contoso.example"}
    return {
        "client_id": CLIENT,
        "scope": ["Mail.Read", "User.Read"],
        "environment": HOST,
        "token_endpoint": f"https://{HOST}/{TENANT}/oauth2/v2.0/token",
        "grant_type": "authorization_code",
        "response": {
            "access_token": f"at of {user}",
            "refresh_token": f"rt of {user}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "id_token": f"{encoded({'alg': 'none'})}.{encoded(claims)}.c2ln",
            "client_info": encoded({"uid": user, "utid": TENANT}),
        },
    }
