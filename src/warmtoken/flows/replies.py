"""Takes a token reply in: checks it, writes it to the cache, makes the result."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from warmtoken.cache.best_effort import write_or_log
from warmtoken.cache.extended_key import USER_ASSERTION
from warmtoken.cache.lookup_keys import Slot, user_of
from warmtoken.cache.records import AccessTokenRecord, AccountRecord, AppRecord, IdTokenRecord, RefreshTokenRecord
from warmtoken.cache.vault import NewTokens, Replacing, Vault
from warmtoken.errors import ClientError, ProtocolError
from warmtoken.flows.context import Context, Stopwatch
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.family import app_of
from warmtoken.flows.freshness import draw_refresh_time
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason, ResultMetadata
from warmtoken.protocol.accounts import account_from
from warmtoken.protocol.authority import Authority
from warmtoken.protocol.discovery import ProviderMetadata
from warmtoken.protocol.id_token import WRONG_CLOCK, check_id_token
from warmtoken.protocol.scopes import lookup_scopes
from warmtoken.protocol.token_reply import TokenReply

if TYPE_CHECKING:
    from warmtoken.flows.search import Search


@dataclass(frozen=True, slots=True)
class Asked:
    """What a token reply answers.

    `sent_at` is the Unix time before the request went out, from which lifetimes count. `account` is the user it must
    be for, None for whoever signed in; `object_id` (Entra's) says the same of a user who has no account here yet.
    `source` says how the user signed in, `signed_in_since` (Unix seconds) when at the earliest, which an id token must
    show. `vault` is where the reply is written although the cache was closed meanwhile, None where that need not be.
    `imported` is a refresh token that is not in the cache yet; it is kept where the reply brings no other.
    `extended_key` tells the access token apart from those of plain requests, `session` says in which session it
    belongs, "" for none.
    """

    authority: Authority
    metadata: ProviderMetadata
    scopes: tuple[str, ...]
    correlation_id: str
    sent_at: float
    watch: Stopwatch
    reason: CacheRefreshReason = "not_applicable"
    account: Account | None = None
    nonce: str | None = field(default=None, repr=False)
    source: str = ""
    replacing: Replacing | None = None
    for_user: bool = True
    imported: str | None = field(default=None, repr=False)
    extended_key: str = ""
    signed_in_since: float | None = None
    session: str = ""
    vault: Vault | None = field(default=None, repr=False)
    object_id: str | None = None


def asked_by_client(
    search: Search,
    authority: Authority,
    metadata: ProviderMetadata,
    correlation_id: str,
    sent_at: float,
    reason: CacheRefreshReason,
) -> Asked:
    """Return what a reply for the client itself answers; the arguments are those of `Asked`."""
    return Asked(
        authority,
        metadata,
        search.request.asked,
        correlation_id,
        sent_at,
        search.watch,
        reason,
        for_user=False,
        extended_key=search.slot.extended_key,
    )


def take_in(context: Context, asked: Asked, reply: TokenReply) -> Flow[AuthenticationResult]:
    """Check a reply, write it in one commit, and return its result.

    Where it cannot be written the caller gets the token all the same, and a warning is logged. Raises ProtocolError
    for a reply that does not fit what was asked.
    """
    try:
        claims = _checked_claims(context, asked, reply)
    except ProtocolError as error:
        if error.code in WRONG_CLOCK:
            yield from _keep_successor(context, asked, reply)
        raise
    account = _account(asked, reply, claims) if asked.for_user else None
    issuing = _issuing(asked.authority, claims, account)
    new = _new_tokens(context, asked, reply, issuing, account)
    yield Call(partial(write_or_log, lambda: _vault(context, asked).save(new), "a token could not be stored"))
    assert new.access_token is not None
    return _result(asked, reply, new.access_token, account, issuing.tenant)


def _keep_successor(context: Context, asked: Asked, reply: TokenReply) -> Flow[None]:
    # The refresh token that was sent may be spent, and it is not the provider's fault: with a clock that is put right
    # the session must go on.
    found = asked.replacing.found if asked.replacing is not None else None
    if found is None or reply.refresh_token is None:
        return
    record = found.record._replace(secret=reply.refresh_token, last_modification_time=int(asked.sent_at))
    slot = _slot(context, asked, asked.authority, found.record.home_account_id)
    new = NewTokens(slot, refresh_token=record, replacing=asked.replacing)
    yield Call(partial(write_or_log, lambda: _vault(context, asked).save(new), "a refresh token could not be stored"))


def _vault(context: Context, asked: Asked) -> Vault:
    try:
        return context.vault
    except ClientError:  # closed meanwhile: but the refresh token in the file may be spent
        if asked.vault is None:
            raise
        return asked.vault


def _checked_claims(context: Context, asked: Asked, reply: TokenReply) -> dict[str, Any]:
    if reply.id_token is None and asked.signed_in_since is not None:
        raise ProtocolError(
            "id_token_missing",
            "expected an id token that says when the user signed in, as max_age asks, the reply has none",
            correlation_id=asked.correlation_id,
        )
    if reply.id_token is None or not asked.for_user:
        return {}
    return check_id_token(
        reply.id_token,
        issuer=asked.metadata.issuer,
        client_id=context.client.client_id,
        now=context.now(),
        nonce=asked.nonce,
        signed_in_since=asked.signed_in_since,
    )


def _account(asked: Asked, reply: TokenReply, claims: dict[str, Any]) -> Account | None:
    known = asked.account
    if (known is not None or asked.session) and asked.nonce is None and not claims and reply.client_info is None:
        return known  # a refresh need not bring an id token (OpenID Connect Core, section 12.2), nor an assertion
    account = account_from(reply, claims, asked.authority, source=asked.source)
    if _is_other_user(asked, account, claims):
        raise ClientError(
            "user_mismatch",
            "expected tokens of the account that was asked for, got another user's; nothing was stored. "
            "Sign in with the right account",
            correlation_id=asked.correlation_id,
        )
    return account if known is None else _with_names_of(known, account)


def _is_other_user(asked: Asked, account: Account, claims: dict[str, Any]) -> bool:
    known = asked.account
    if known is None:  # a reply without an id token is nobody's
        return asked.object_id is not None and str(claims.get("oid") or "").lower() != asked.object_id.lower()
    if not asked.authority.issues_for(known.environment):
        return True  # ids are unique within an issuer, and a cloud, only
    name = asked.authority.cache_name
    was, came = user_of(name, known.home_account_id), user_of(name, account.home_account_id)
    if asked.authority.kind == "b2c" and asked.replacing is not None:
        return was.rpartition(".")[2] != came.rpartition(".")[2]  # MSAL.NET: the uid may change with the user flow
    return was != came


def _with_names_of(known: Account, account: Account) -> Account:
    # The id token of a refresh may leave out claims that the sign-in's had (OpenID Connect Core, section 12.2), or be
    # left out itself. The local id is another in each tenant.
    local_account_id = known.local_account_id if known.tenant_id.lower() == account.tenant_id.lower() else ""
    return replace(
        account,
        home_account_id=known.home_account_id,
        local_account_id=account.local_account_id or local_account_id,
        username=account.username or known.username,
        name=account.name or known.name,
    )


def _new_tokens(
    context: Context, asked: Asked, reply: TokenReply, issuing: Authority, account: Account | None
) -> NewTokens:
    user = account.home_account_id if account else ""
    slot = _slot(context, asked, issuing, user or None)
    granted = sorted(reply.scopes if reply.scopes is not None else asked.scopes, key=str.casefold)  # as MSAL.NET
    app = app_of(context, reply) if account else None
    now = int(asked.sent_at)
    names = (user, asked.authority.environment, context.client.client_id)
    access_token = AccessTokenRecord(
        *names,
        slot.realm,
        " ".join(granted),
        reply.access_token,
        now,
        now + reply.expires_in,
        now + reply.refresh_in if reply.refresh_in else 0,
        reply.token_type,
        extended_key=slot.extended_key,
        local_account_id=account.local_account_id if account else "",
    )
    return NewTokens(
        slot,
        lookup_scopes(granted),
        access_token,
        _refresh_token(asked, reply, names, " ".join(granted), app) if asked.for_user else None,
        IdTokenRecord(*names, issuing.tenant, reply.id_token) if account and reply.id_token else None,
        _account_record(account, issuing.tenant, asked.authority) if account else None,
        app,
        asked.replacing,
        draw_refresh_time(access_token, context.expiry_margin),
    )


def _issuing(authority: Authority, claims: dict[str, Any], account: Account | None) -> Authority:
    # MSAL.NET: the tenant that was asked for, else the one that the id token names.
    if not authority.is_tenantless:
        return authority
    tenant = str(claims.get("tid") or (account.tenant_id if account else ""))
    return authority.with_tenant(tenant) if tenant else authority


def _slot(context: Context, asked: Asked, issuing: Authority, user: str | None) -> Slot:
    if asked.session:
        return context.session_slot(asked.session, asked.authority, asked.extended_key, user)
    return context.slot(user, issuing, asked.extended_key)


def _refresh_token(
    asked: Asked, reply: TokenReply, names: tuple[str, str, str], target: str, app: AppRecord | None
) -> RefreshTokenRecord | None:
    secret = reply.refresh_token or asked.imported
    if secret is None:
        return None  # the old one stays good (RFC 6749, section 6)
    # Nobody who finds it in an export may take it for the user's own.
    bound = json.dumps({USER_ASSERTION: asked.session}) if asked.session else ""
    family = app.family_id if app else ""
    return RefreshTokenRecord(*names, secret, target, family, int(asked.sent_at), extra=bound)


def _account_record(account: Account, realm: str, authority: Authority) -> AccountRecord:
    return AccountRecord(
        account.home_account_id,
        account.environment,
        realm,
        account.local_account_id,
        account.username,
        account.name,
        authority.account_type,
        account.account_source,
    )


def _result(
    asked: Asked, reply: TokenReply, record: AccessTokenRecord, account: Account | None, tenant: str
) -> AuthenticationResult:
    metadata = ResultMetadata(
        "identity_provider",
        asked.reason,
        "none",
        record.refresh_on or None,
        asked.watch.total_ms(),
        asked.watch.http_ms,
        asked.metadata.token_endpoint or None,
    )
    return AuthenticationResult(
        record.secret,
        record.expires_on,
        tuple(record.target.split()),
        record.token_type,
        account,
        reply.id_token,
        tenant,
        record.local_account_id,
        asked.correlation_id,
        metadata,
        reply.more(),
    )
