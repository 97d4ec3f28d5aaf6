"""Looks for the tokens of a session: what a client has got on behalf of a user."""

from __future__ import annotations

from dataclasses import dataclass, replace

from warmtoken import _engine
from warmtoken._engine import CachedToken
from warmtoken.cache.extended_key import USER_ASSERTION, components_of, extended_key
from warmtoken.cache.records import AccountRecord
from warmtoken.flows.accounts import listed_account
from warmtoken.flows.context import Context, Remember, Stopwatch
from warmtoken.flows.requests import TokenRequest
from warmtoken.flows.search import Search
from warmtoken.models import AuthenticationResult, CacheLevel, CacheRefreshReason
from warmtoken.protocol.authority import TENANTLESS, Authority


def session_search(context: Context, session: str, authority: Authority, request: TokenRequest) -> SessionSearch:
    """Return the search for what a request asks of a session.

    A token says of which session it is, beside the place where it lies (MSAL's `user_assertion_hash`).
    """
    bound = extended_key(components_of(request.extended_key) | {USER_ASSERTION: session})
    slot = context.session_slot(session, authority, bound)
    return SessionSearch(context, request, slot, None, Stopwatch())


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
        user = next((record for record in self._users_of(found) if _is_user_of(found, record)), None)
        if found.home_account_id and user is None:
            return None
        self.account = None if user is None else listed_account(user, self.context.authority.environment)
        id_token = None if user is None else self._id_token_of(user)

        def made(level: CacheLevel, took: float, correlation_id: str | None) -> AuthenticationResult:
            result = _engine.cached_result(found, self.account, level, took, correlation_id, reason)
            # The token may lie in `common`, its user does not.
            return replace(result, id_token=id_token, tenant_id=user.realm if user is not None else found.realm)

        if remember is not None:
            weight = found.weight + len(id_token or "")
            kept, until_ms = made("L1", 0.0, None), int(until * 1000)
            remember.view().remember(
                remember.scopes, None, remember.variant, kept, until_ms, found.txnid, found.witnesses, weight
            )
        return made("store", self.watch.total_ms(), self.request.correlation_id)

    def _users_of(self, found: CachedToken) -> list[AccountRecord]:
        # One user, but as each tenant has the user.
        if not found.home_account_id:
            return []
        return self.context.vault.account(self.context.owner(found.home_account_id))

    def _id_token_of(self, user: AccountRecord) -> str | None:
        tokens = self.context.vault.id_tokens(self.context.owner(user.home_account_id))
        return next((token.secret for token in tokens if token.realm.lower() == user.realm.lower()), None)


def _is_user_of(found: CachedToken, user: AccountRecord) -> bool:
    if found.realm.lower() in TENANTLESS:  # the id within a tenant tells the tenants apart
        return found.local_account_id == user.local_account_id
    return found.realm.lower() == user.realm.lower()
