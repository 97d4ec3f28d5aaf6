"""What each tenant says of a user, read from the id tokens in the cache."""

from __future__ import annotations

from typing import Any

from warmtoken.cache.records import IdTokenRecord
from warmtoken.models import Account, claims_of
from warmtoken.notices import TenantProfile
from warmtoken.protocol.authority import Authority


def profiles_of(account: Account, tokens: list[IdTokenRecord], authority: Authority) -> list[TenantProfile]:
    """Return a profile for each id token that can be read, the home tenant's first, then by tenant."""
    read = [(token, _claims(token.secret)) for token in tokens]
    profiles = [_profile(account, token, claims, authority) for token, claims in read if claims]
    return sorted(profiles, key=lambda profile: (not profile.is_home, profile.tenant_id))


def _profile(account: Account, token: IdTokenRecord, claims: dict[str, Any], authority: Authority) -> TenantProfile:
    tenant = _text(claims, "tid") or token.realm
    return TenantProfile(
        tenant if authority.tenant else "",
        _text(claims, "oid") or _text(claims, "sub"),
        _is_home(account, tenant, authority),
        token.secret,
    )


def _is_home(account: Account, tenant: str, authority: Authority) -> bool:
    # Where an authority takes no other tenant, users can be nobody's guests.
    _, dot, home = account.home_account_id.rpartition(".")
    return not authority.takes_tenants or (bool(dot) and home.lower() == tenant.lower())


def _claims(id_token: str) -> dict[str, Any]:
    try:
        return claims_of(id_token)
    except ValueError:  # another library may have put it there, and does not check what it gets
        return {}


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
