"""Looks for the tokens of a session: what a client has got on behalf of a user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from warmtoken import _engine
from warmtoken._engine import CachedToken
from warmtoken.cache.entries import Entries
from warmtoken.cache.extended_key import USER_ASSERTION, components_of, extended_key
from warmtoken.cache.records import AccountRecord
from warmtoken.cache.sealing import RecordType
from warmtoken.flows.accounts import listed_account
from warmtoken.flows.context import Context, Remember, Stopwatch
from warmtoken.flows.requests import TokenRequest
from warmtoken.flows.search import Search
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.authority import TENANTLESS, Authority


def session_search(context: Context, session: str, authority: Authority, request: TokenRequest) -> SessionSearch:
    """Return the search for what a request asks of a session.

    A token says of which session it is, beside the place where it lies (MSAL's `user_assertion_hash`).
    """
    bound = extended_key(components_of(request.extended_key) | {USER_ASSERTION: session})
    slot = context.session_slot(session, authority, bound)
    return SessionSearch(context, request, slot, None, Stopwatch())


class _User(NamedTuple):
    # On whose behalf a token is, and what the tenant said of the user.
    account: Account
    id_token: str | None


@dataclass(slots=True)
class SessionSearch(Search):
    """A search whose user the token that is found tells: `account` is None until then."""

    def result_of(
        self,
        found: CachedToken,
        remember: Remember | None,
        until: float,
        reason: CacheRefreshReason = "not_applicable",
    ) -> AuthenticationResult | None:
        """Return a complete result; None where the user's account is gone, and so must be the user's tokens."""
        user = self._user_of(found)
        if found.home_account_id and user is None:
            return None
        self.account = None if user is None else user.account
        if remember is not None:
            kept = _engine.cached_result(found, None, "L1", 0.0, None, reason)
            _keep(found, remember, until, _completed(kept, user))
        took, correlation_id = self.watch.total_ms(), self.request.correlation_id
        return _completed(_engine.cached_result(found, None, "store", took, correlation_id, reason), user)

    def _user_of(self, found: CachedToken) -> _User | None:
        if not found.home_account_id:
            return None
        context, owner = self.context, self.context.owner(found.home_account_id)
        entries, kind = Entries(context.vault), RecordType.ACCOUNT
        for key, sealed in entries.sealed_under(kind, context.vault.keys.account(owner)):
            record: AccountRecord | None = entries.opened(kind, key, sealed)
            if record is not None and _is_user_of(found, record):
                # What is kept in memory ends with the account, too, whoever removes it.
                found.witnesses.also(_engine.ACCOUNT, key, sealed)
                tokens = (
                    token for token in context.vault.id_tokens(owner) if token.realm.lower() == record.realm.lower()
                )
                id_token = next((token.secret for token in tokens), None)
                return _User(listed_account(record, context.authority.environment), id_token)
        return None


def _is_user_of(found: CachedToken, user: AccountRecord) -> bool:
    # A user has an account for each tenant. Where none was asked for, the id within the tenant tells them apart.
    if found.realm.lower() in TENANTLESS:
        return found.local_account_id == user.local_account_id
    return found.realm.lower() == user.realm.lower()


def _completed(result: AuthenticationResult, user: _User | None) -> AuthenticationResult:
    # The token may lie in `common`, its user does not.
    if user is None:
        return result
    return replace(result, account=user.account, id_token=user.id_token, tenant_id=user.account.tenant_id)


def _keep(found: CachedToken, remember: Remember, until: float, result: AuthenticationResult) -> None:
    remember.view().remember(
        remember.scopes,
        None,
        remember.variant,
        result,
        int(until * 1000),
        found.txnid,
        found.witnesses,
        found.weight + len(result.id_token or ""),
    )
