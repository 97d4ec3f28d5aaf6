"""The same tokens as MSAL.NET, Python, Java, Go and Node write them: keys and fields by hand, from the unified schema.

Each cache holds a user's access token, one that is bound to a key and one that is bound to an FMI path, where the
library has such, the client's own access token, refresh tokens of the client and of a family, an id token, the account
and what is known of two clients.
"""

from __future__ import annotations

import base64
import json
from typing import Any

NOW = 1_800_000_000
TENANT = "22222222-bbbb-4c40-97bc-f7a23c703084"
OID = "11111111-aaaa-4c40-97bc-f7a23c703084"
USER = f"{OID}.{TENANT}"
HOST = "login.windows.net"
CLIENT = "cli-1"
FAMILY_CLIENT = "cli-2"
FMI_PATH = "agents/7"
FMI_HASH_OF_NETSTRING = "zz1mb_qklptiwyjnhyp8k97r9mnmfpz-qldy5y6afdk"  # SHA-256 of "8:fmi_path8:agents/7"
FMI_HASH_OF_TEXTS = "1-dydv8eo7v64glshtmiucx8mjpxdmwhvog8mtvjl4m"  # SHA-256 of "fmi_pathagents/7"
CLIENT_INFO = base64.urlsafe_b64encode(f'{{"uid":"{OID}","utid":"{TENANT}"}}'.encode()).decode().rstrip("=")

Cache = dict[str, dict[str, dict[str, Any]]]


def jwt(**claims: Any) -> str:
    """Return an id token with these claims; nobody signed it."""
    parts = [{"alg": "none"}, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".sig"


ID_TOKEN = jwt(
    iss=f"https://login.microsoftonline.com/{TENANT}/v2.0", tid=TENANT, oid=OID, sub="s-1", iat=NOW - 60,
    preferred_username="alice@example.test", name="Alice",
)  # fmt: skip
_USERS = {"home_account_id": USER, "environment": HOST, "client_id": CLIENT}
_FAMILYS = _USERS | {"client_id": FAMILY_CLIENT}
_OWN = {"environment": HOST, "client_id": CLIENT, "realm": TENANT, "target": "https://vault.test/.default"}
_TIMES = {"cached_at": str(NOW - 60), "expires_on": str(NOW + 3540), "extended_expires_on": str(NOW + 3540)}
_ACCOUNT = {
    "home_account_id": USER,
    "environment": HOST,
    "realm": TENANT,
    "local_account_id": OID,
    "username": "alice@example.test",
    "authority_type": "MSSTS",
}
_SCOPES = {"realm": TENANT, "target": "Mail.Read User.Read"}
_MODIFIED = {"last_modification_time": str(NOW - 60)}


def net() -> Cache:
    """As MSAL.NET writes."""
    times = _TIMES | {"ext_expires_on": str(NOW + 3540)}
    user = _USERS | {"client_info": CLIENT_INFO}
    return {
        "AccessToken": {
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read": {
                **user, **_SCOPES, **times, "credential_type": "AccessToken", "secret": "at-user",
                "refresh_on": str(NOW + 1740),
            },
            f"{USER}-{HOST}-accesstoken_with_authscheme-{CLIENT}-{TENANT}-mail.read user.read-pop": {
                **user, **_SCOPES, **times, "credential_type": "AccessToken_With_AuthScheme", "secret": "at-pop",
                "token_type": "pop", "kid": "key-1",
            },
            f"-{HOST}-accesstoken-{CLIENT}-{TENANT}-https://vault.test/.default": {
                **_OWN, **times, "credential_type": "AccessToken", "secret": "at-own",
            },
            f"-{HOST}-atext-{CLIENT}-{TENANT}-https://vault.test/.default-{FMI_HASH_OF_TEXTS}": {
                **_OWN, **times, "credential_type": "atext", "secret": "at-fmi", "ext": {"fmi_path": FMI_PATH},
            },
        },
        "RefreshToken": {
            f"{USER}-{HOST}-refreshtoken-{CLIENT}--": {
                **user, "credential_type": "RefreshToken", "secret": "rt-user",
            },
            f"{USER}-{HOST}-refreshtoken-1--": {
                **user, "client_id": FAMILY_CLIENT, "credential_type": "RefreshToken", "secret": "rt-family",
                "family_id": "1",
            },
        },
        "IdToken": {
            f"{USER}-{HOST}-idtoken-{CLIENT}-{TENANT}-": {
                **user, "credential_type": "IdToken", "realm": TENANT, "secret": ID_TOKEN,
            },
        },
        "Account": {
            f"{USER}-{HOST}-{TENANT}": {
                **_ACCOUNT, "client_info": CLIENT_INFO, "name": "Alice", "wam_account_ids": {CLIENT: "wam-1"},
            },
        },
        "AppMetadata": {
            f"appmetadata-{HOST}-{CLIENT}": {"client_id": CLIENT, "environment": HOST},
            f"appmetadata-{HOST}-{FAMILY_CLIENT}": {
                "client_id": FAMILY_CLIENT, "environment": HOST, "family_id": "1",
            },
        },
    }  # fmt: skip


def python() -> Cache:
    """As MSAL Python writes."""
    return {
        "AccessToken": {
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read": {
                **_USERS, **_SCOPES, **_TIMES, "credential_type": "AccessToken", "secret": "at-user",
                "token_type": "Bearer", "refresh_on": str(NOW + 1740),
            },
            f"-{HOST}-accesstoken-{CLIENT}-{TENANT}-https://vault.test/.default": {
                **_OWN, **_TIMES, "home_account_id": None, "credential_type": "AccessToken", "secret": "at-own",
                "token_type": "Bearer",
            },
            f"-{HOST}-atext-{CLIENT}-{TENANT}-https://vault.test/.default-{FMI_HASH_OF_NETSTRING}": {
                **_OWN, **_TIMES, "home_account_id": None, "credential_type": "AccessToken", "secret": "at-fmi",
                "token_type": "Bearer", "ext_cache_key": FMI_HASH_OF_NETSTRING,
            },
        },
        "RefreshToken": {
            f"{USER}-{HOST}-refreshtoken-{CLIENT}--mail.read user.read": {
                **_USERS, **_MODIFIED, "credential_type": "RefreshToken", "secret": "rt-user",
                "target": "Mail.Read User.Read",
            },
            f"{USER}-{HOST}-refreshtoken-{FAMILY_CLIENT}--user.read": {
                **_FAMILYS, **_MODIFIED, "credential_type": "RefreshToken", "secret": "rt-family",
                "target": "User.Read", "family_id": "1",
            },
        },
        "IdToken": {
            f"{USER}-{HOST}-idtoken-{CLIENT}-{TENANT}-": {
                **_USERS, "credential_type": "IdToken", "realm": TENANT, "secret": ID_TOKEN,
            },
        },
        "Account": {f"{USER}-{HOST}-{TENANT}": _ACCOUNT | {"account_source": "authorization_code"}},
        "AppMetadata": {
            f"appmetadata-{HOST}-{CLIENT}": {"client_id": CLIENT, "environment": HOST},
            f"appmetadata-{HOST}-{FAMILY_CLIENT}": {
                "client_id": FAMILY_CLIENT, "environment": HOST, "family_id": "1",
            },
        },
    }  # fmt: skip


def java() -> Cache:
    """As MSAL Java writes."""
    return {
        "AccessToken": {
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read": {
                **_USERS, **_SCOPES, **_TIMES, "credential_type": "AccessToken", "secret": "at-user",
            },
            f"-{HOST}-accesstoken-{CLIENT}-{TENANT}-https://vault.test/.default-{FMI_HASH_OF_NETSTRING}": {
                **_OWN, **_TIMES, "home_account_id": "", "credential_type": "AccessToken", "secret": "at-fmi",
                "ext_cache_key_hash": FMI_HASH_OF_NETSTRING,
            },
        },
        "RefreshToken": {
            f"{USER}-{HOST}-refreshtoken-{CLIENT}--": {
                **_USERS, "credential_type": "RefreshToken", "secret": "rt-user",
            },
            f"{USER}-{HOST}-refreshtoken-1--": {
                **_FAMILYS, "credential_type": "RefreshToken", "secret": "rt-family", "family_id": "1",
            },
        },
        "IdToken": {
            f"{USER}-{HOST}-idtoken-{CLIENT}-{TENANT}-": {
                **_USERS, "credential_type": "IdToken", "realm": TENANT, "secret": ID_TOKEN,
            },
        },
        "Account": {f"{USER}-{HOST}-{TENANT}": _ACCOUNT | {"name": "Alice"}},
        "AppMetadata": {
            f"appmetadata-{HOST}-{FAMILY_CLIENT}": {
                "client_id": FAMILY_CLIENT, "environment": HOST, "family_id": "1",
            },
        },
    }  # fmt: skip


def go() -> Cache:
    """As MSAL Go writes."""
    return {
        "AccessToken": {
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read": {
                **_USERS, **_SCOPES, **_TIMES, "credential_type": "AccessToken", "secret": "at-user",
                "token_type": "Bearer",
            },
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read-pop": {
                **_USERS, **_SCOPES, **_TIMES, "credential_type": "AccessToken", "secret": "at-pop",
                "token_type": "pop", "keyid": "key-1",
            },
            f"-{HOST}-atext-{CLIENT}-{TENANT}-https://vault.test/.default-{FMI_HASH_OF_NETSTRING}": {
                **_OWN, **_TIMES, "home_account_id": "", "credential_type": "atext", "secret": "at-fmi",
                "token_type": "Bearer", "ext_cache_key": FMI_HASH_OF_NETSTRING,
            },
        },
        "RefreshToken": {
            f"{USER}-{HOST}-refreshtoken-{CLIENT}": {
                **_USERS, "credential_type": "RefreshToken", "secret": "rt-user", "target": "User.Read",
            },
            f"{USER}-{HOST}-refreshtoken-1": {
                **_FAMILYS, "credential_type": "RefreshToken", "secret": "rt-family", "family_id": "1",
            },
        },
        "IdToken": {
            f"{USER}-{HOST}-idtoken-{CLIENT}-{TENANT}": {
                **_USERS, "credential_type": "IdToken", "realm": TENANT, "secret": ID_TOKEN,
            },
        },
        "Account": {f"{USER}-{HOST}-{TENANT}": _ACCOUNT | {"client_info": CLIENT_INFO}},
        "AppMetadata": {
            f"appmetadata-{HOST}-{FAMILY_CLIENT}": {
                "client_id": FAMILY_CLIENT, "environment": HOST, "family_id": "1",
            },
        },
    }  # fmt: skip


def node() -> Cache:
    """As MSAL Node writes."""
    return {
        "AccessToken": {
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read user.read-": {
                **_USERS, **_SCOPES, **_TIMES, "credential_type": "AccessToken", "secret": "at-user",
                "token_type": "Bearer",
            },
            f"{USER}-{HOST}-accesstoken_with_authscheme-{CLIENT}-{TENANT}-mail.read user.read-pop": {
                **_USERS, **_SCOPES, **_TIMES, "credential_type": "AccessToken_With_AuthScheme", "secret": "at-pop",
                "token_type": "pop", "key_id": "key-1",
            },
            f"{USER}-{HOST}-accesstoken-{CLIENT}-{TENANT}-mail.read--claims-1": {
                **_USERS, **_SCOPES, **_TIMES, "target": "Mail.Read", "credential_type": "AccessToken",
                "secret": "at-claims", "token_type": "Bearer", "requestedClaims": "{}",
                "requestedClaimsHash": "claims-1",
            },
        },
        "RefreshToken": {
            f"{USER}-{HOST}-refreshtoken-{CLIENT}---": {
                **_USERS, "credential_type": "RefreshToken", "secret": "rt-user",
            },
            f"{USER}-{HOST}-refreshtoken-1---": {
                **_FAMILYS, "credential_type": "RefreshToken", "secret": "rt-family", "family_id": "1",
            },
        },
        "IdToken": {
            f"{USER}-{HOST}-idtoken-{CLIENT}-{TENANT}--": {
                **_USERS, "credential_type": "IdToken", "realm": TENANT, "secret": ID_TOKEN,
            },
        },
        "Account": {
            f"{USER}-{HOST}-{TENANT}": {
                **_ACCOUNT, "client_info": CLIENT_INFO, "name": "Alice", "tenants": [TENANT],
                "last_modification_time": str(NOW - 60),
            },
        },
        "AppMetadata": {
            f"appmetadata-{HOST}-{FAMILY_CLIENT}": {
                "client_id": FAMILY_CLIENT, "environment": HOST, "family_id": "1",
            },
        },
    }  # fmt: skip


DIALECTS = {"dotnet": net, "python": python, "java": java, "go": go, "node": node}


def text_of(**sections: list[dict[str, Any]]) -> str:
    """Return the text of an MSAL cache with entries under keys that say nothing."""
    keyed = {section: {f"entry-{i}": entry for i, entry in enumerate(entries)} for section, entries in sections.items()}
    return json.dumps(keyed)


def access(secret: str = "at-1", **fields: Any) -> dict[str, Any]:
    """Return an entry of an access token."""
    return {**_USERS, **_SCOPES, **_TIMES, "secret": secret} | fields


def refresh(secret: str = "rt-1", **fields: Any) -> dict[str, Any]:
    """Return an entry of a refresh token."""
    return {**_USERS, **_MODIFIED, "secret": secret, "target": "User.Read"} | fields


def identity(secret: str = ID_TOKEN, **fields: Any) -> dict[str, Any]:
    """Return an entry of an id token."""
    return {**_USERS, "realm": TENANT, "secret": secret} | fields


def account(**fields: Any) -> dict[str, Any]:
    """Return an entry of an account."""
    return _ACCOUNT | fields
