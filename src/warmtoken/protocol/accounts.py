"""Who signed in: the account that a token reply is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmtoken.errors import ProtocolError
from warmtoken.models import Account

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warmtoken.protocol.authority import Authority
    from warmtoken.protocol.token_reply import TokenReply

_USERNAME_CLAIMS = ("preferred_username", "upn", "email", "name")


def account_from(reply: TokenReply, claims: Mapping[str, Any], authority: Authority, *, source: str) -> Account:
    """Return the account of a token reply and its id token's claims; `source` says which flow it came from.

    Raises ProtocolError `account_missing` where neither names a user: ask for the scope `openid`.
    """
    return Account(
        home_account_id=_home_account_id(reply, claims, authority),
        environment=authority.environment,
        username=_first(claims, *_USERNAME_CLAIMS),
        tenant_id=_tenant_id(claims, authority),
        local_account_id=_first(claims, "oid", "sub"),
        name=_first(claims, "name"),
        account_source=source,
    )


def _tenant_id(claims: Mapping[str, Any], authority: Authority) -> str:
    if not authority.tenant:
        return ""
    # B2C's id tokens need not say the tenant: then it is the one that was asked (MSAL.NET).
    return _first(claims, "tid") or ("" if authority.is_tenantless else authority.tenant)


def _home_account_id(reply: TokenReply, claims: Mapping[str, Any], authority: Authority) -> str:
    client_info = reply.client_info or {}
    uid, utid = _first(client_info, "uid"), _first(client_info, "utid")
    if authority.speaks_entra and uid and utid:
        return f"{uid}.{utid}"  # at B2C the uid ends with the user flow: `{oid}-{flow}.{tid}`
    subject = _first(claims, "sub")
    if not subject:
        raise ProtocolError(
            "account_missing",
            "expected a token reply that names the user, got no id token with sub; ask for the scope openid",
        )
    return subject


def _first(claims: Mapping[str, Any], *names: str) -> str:
    """The first of these claims that is a text, else ""."""
    return next((value for name in names if isinstance(value := claims.get(name), str) and value), "")
