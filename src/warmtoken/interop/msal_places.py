"""Where the entries of an MSAL cache belong in ours: under which authority, in which realm.

An entry names the host that issued it, our cache the authority: one for all aliases of a cloud, and of another provider
the issuer. What an entry leaves open the id tokens beside it say, or its optional field `authority`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from warmtoken.cache.lookup_keys import Owner
from warmtoken.cache.records import AccessTokenRecord, AccountRecord, AppRecord, IdTokenRecord, RefreshTokenRecord
from warmtoken.interop.msal_entries import extra_of, to_json
from warmtoken.interop.msal_reasons import Unfit
from warmtoken.protocol.authority import TENANTLESS, Authority, parse_authority
from warmtoken.protocol.json_object import parse_base64url_object

AUTHORITY = "authority"
_ADFS = "adfs"

_B2C = ".b2clogin."
_B2C_USER = re.compile(r"[0-9a-f-]{36}-([a-z0-9_-]+)\.([^.]+)")

Credential = AccessTokenRecord | RefreshTokenRecord | IdTokenRecord
CredentialT = TypeVar("CredentialT", AccessTokenRecord, RefreshTokenRecord, IdTokenRecord)
RealmT = TypeVar("RealmT", AccessTokenRecord, IdTokenRecord, AccountRecord)


def claims_in(id_token: str) -> dict[str, Any]:
    """Return the claims of an id token, whose signature is not looked at; empty where it cannot be read."""
    parts = id_token.split(".")
    try:
        return parse_base64url_object(parts[1]) if len(parts) == 3 else {}
    except ValueError:
        return {}


class _Said(NamedTuple):
    # What one id token says of its issuer, the tenant, and the user flow of Azure AD B2C.
    issuer: str = ""
    tenant: str = ""
    policy: str = ""


_NOTHING = _Said()


class Places:
    """Finds the places of the entries of one file by what its id tokens and accounts say."""

    def __init__(self, id_tokens: Iterable[IdTokenRecord], accounts: Iterable[AccountRecord]) -> None:
        self._by_user: dict[tuple[str, str], _Said] = {}
        self._by_owner: dict[tuple[str, str, str], _Said] = {}
        self._issuers: dict[str, set[str]] = {}
        self._of_adfs: set[str] = set()
        self._authorities: dict[tuple[str, _Said, str], Authority] = {}
        for token in id_tokens:
            self._hear(token)
        for account in accounts:
            self._note_adfs(account)

    def _hear(self, token: IdTokenRecord) -> None:
        said, host, user = _said_by(token), _cloud(token.environment), token.home_account_id.lower()
        self._by_user.setdefault((host, user), said)
        self._by_owner.setdefault((host, user, token.client_id.lower()), said)
        self._issuers.setdefault(host, set()).add(said.issuer)
        self._note_adfs(token)

    def _note_adfs(self, record: IdTokenRecord | AccountRecord) -> None:
        if record.realm.lower() == _ADFS:
            self._of_adfs.add(record.environment)

    def credential(self, record: CredentialT) -> tuple[Owner, CredentialT]:
        """Return whose a token is, and the token with the realm in which it is looked for.

        Raises Unfit where its host can be no authority's.
        """
        said = self._said_of(record)
        authority = self._authority(record.environment, said, _named_in(record))
        owner = Owner(authority.cache_name, record.client_id, record.home_account_id or None)
        return owner, record if isinstance(record, RefreshTokenRecord) else _settled(record, authority, said)

    def account(self, record: AccountRecord) -> tuple[str, AccountRecord]:
        """Return the authority that an account is at, and the account with the realm that is listed."""
        user = record.home_account_id.lower()
        said = self._by_user.get((_cloud(record.environment), user)) or _said_by_name(user)
        authority = self._authority(record.environment, said)
        return authority.cache_name, _settled(record, authority, said)

    def app(self, record: AppRecord) -> Owner:
        """Return the client that an entry speaks of."""
        return Owner(self._authority(record.environment, _NOTHING).cache_name, record.client_id)

    def _said_of(self, record: Credential) -> _Said:
        host, user = _cloud(record.environment), record.home_account_id.lower()
        found = self._by_owner.get((host, user, record.client_id.lower())) or self._by_user.get((host, user))
        return found or _said_by_name(user)

    def _authority(self, host: str, said: _Said, named: str = "") -> Authority:
        key = host, said, named
        if key not in self._authorities:
            self._authorities[key] = _authority_at([named, *self._candidates(host, said)], host)
        return self._authorities[key]

    def _candidates(self, host: str, said: _Said) -> list[str]:
        if _entra_cloud(host):
            return [f"https://{host}/common"]
        issuers = self._issuers.get(host, set())
        issuer = said.issuer or (next(iter(issuers)) if len(issuers) == 1 else "")
        if host in self._of_adfs or f"{host}/{_ADFS}" in issuer:
            return [f"https://{host}/{_ADFS}"]  # AD FS signs as another than it is asked as
        if said.policy and _B2C in host:
            return [f"https://{host}/tfp/{said.tenant}/{said.policy}"]
        return [issuer, f"https://{host}"]


def _named_in(record: Credential) -> str:
    # Optional in the unified schema; an export writes it where nothing else in the text says it.
    named = extra_of(record).get(AUTHORITY) if record.extra else None
    return named if isinstance(named, str) else ""


def _said_by(token: IdTokenRecord) -> _Said:
    claims = claims_in(token.secret)
    named = _said_by_name(token.home_account_id.lower())
    policy = _text(claims, "tfp") or _text(claims, "acr") or named.policy
    tenant = _text(claims, "tid") or named.tenant
    if _B2C in token.environment:
        tenant = token.realm or tenant  # a program may name its tenant by a domain
    return _Said(_text(claims, "iss"), tenant.lower(), policy.lower())


def _said_by_name(home_account_id: str) -> _Said:
    # Azure AD B2C names the user flow in the id of the account.
    match = _B2C_USER.fullmatch(home_account_id)
    return _Said(policy=match[1], tenant=match[2]) if match else _NOTHING


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _settled(record: RealmT, authority: Authority, said: _Said) -> RealmT:
    realm = _realm(record.realm, authority, said)
    if realm == record.realm:
        return record
    return record._replace(realm=realm, extra=to_json({"realm": record.realm} | extra_of(record)))


def _realm(realm: str, authority: Authority, said: _Said) -> str:
    # The tenant for `common`; nothing where there are no tenants.
    if not authority.tenant:
        return ""
    return said.tenant or realm if realm.lower() in TENANTLESS else realm


def _cloud(host: str) -> str:
    return _entra_cloud(host) or host


@lru_cache(maxsize=1024)
def _entra_cloud(host: str) -> str:
    authority = _parsed(f"https://{host}/common")
    return authority.cache_name if authority is not None and authority.kind == "entra" else ""


def _authority_at(candidates: list[str], host: str) -> Authority:
    for url in candidates:
        authority = _parsed(url)
        if authority is not None and authority.environment == host:
            return authority
    raise Unfit("environment_invalid")


def _parsed(url: str) -> Authority | None:
    try:
        return parse_authority(url)
    except ValueError:
        return None
