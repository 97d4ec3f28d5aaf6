"""Acquires a user's token without the user: from the cache, else by the refresh token."""

from __future__ import annotations

from dataclasses import dataclass, replace

from warmtoken.errors import UiRequiredError
from warmtoken.flows.accounts import account_with_hint, no_tokens_found
from warmtoken.flows.context import Context, Stopwatch, open_cache
from warmtoken.flows.effects import Flow
from warmtoken.flows.family import family_to_try
from warmtoken.flows.requests import TokenRequest
from warmtoken.flows.search import Look, Search, find_or_fetch
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.authority import Authority


def acquire_silent(context: Context, request: TokenRequest) -> Flow[AuthenticationResult]:
    """Return a token for the request's account (MSAL.NET's AcquireTokenSilent).

    Raises UiRequiredError where only the user can help, with MSAL's codes.
    """
    watch = Stopwatch()
    context.check_credential()
    account = yield from _resolve_account(context, request)
    context = context.at(account.environment)
    yield from open_cache(context)
    authority = context.request_authority(account.home_account_id, request.tenant_id)
    slot = context.slot(account.home_account_id, authority, request.extended_key)
    search = Search(context, request, slot, account, watch)
    absence = _absence(search, account)
    if absence is not None:
        raise absence
    renewing = _Renewing(search, account, authority)
    found = yield from _find_or_renew(renewing)
    if found is None and renewing.family_id:  # its token is not for this client, or is gone by now
        found = yield from _find_or_renew(replace(renewing, family_id=""))
    if found is None:
        raise no_tokens_found(request.correlation_id)
    return found


@dataclass(slots=True)
class _Renewing:
    # With whose refresh token: the family's, or the client's own (""). The lock must be that of the token that is
    # sent, or two clients of a family would spend it twice; so it is chosen once, when a lock is first needed.
    search: Search
    account: Account
    authority: Authority
    family_id: str | None = None

    def key(self) -> bytes:
        owner, context = self.search.slot.owner, self.search.context
        if self.family_id is None:
            self.family_id = family_to_try(context, owner)
        return context.vault.keys.refresh_token(owner, self.family_id)

    def renew(self, search: Search, reason: CacheRefreshReason, look: Look) -> Flow[AuthenticationResult | None]:
        # Imported where it is needed: a process that finds its token in the cache never comes here.
        from warmtoken.flows.refresh import Renewal, renew

        renewal = Renewal(
            self.account,
            self.authority,
            search.slot,
            search.request,
            reason,
            search.watch,
            look,
            self.family_id or "",
        )
        return (yield from renew(search.context, renewal))


def _find_or_renew(renewing: _Renewing) -> Flow[AuthenticationResult | None]:
    return (yield from find_or_fetch(renewing.search, renewing.key, renewing.renew))


def _absence(search: Search, account: Account) -> UiRequiredError | None:
    # Where the file has neither a token nor a refresh token nobody need wait for anybody; and the answer is kept.
    request, vault = search.request, search.context.vault
    if request.bypasses_cache or request.min_validity is not None or vault.needs_heal or vault.shared.unsaved:
        return None
    txnid = vault.nothing_for(search.slot, search.scopes)
    # What is read after that snapshot may be of a later one; but then the answer, kept for the earlier, is not served.
    if not txnid or family_to_try(search.context, search.slot.owner):
        return None
    if request.remember is not None and request.login_hint is None:
        keep = request.remember
        keep.view().remember_absence(keep.scopes, account, keep.variant, no_tokens_found(None), txnid)
    return no_tokens_found(request.correlation_id)


def _resolve_account(context: Context, request: TokenRequest) -> Flow[Account]:
    if request.account is not None:
        return _own_account(context, request.account, request.correlation_id)
    if request.login_hint is not None:
        return (yield from account_with_hint(context, request.login_hint, request.correlation_id))
    raise UiRequiredError(
        "user_null",
        "expected an account or a login hint, got neither; pass one of get_accounts(), or sign in interactively",
        classification="acquire_token_silent_failed",
        correlation_id=request.correlation_id,
    )


def _own_account(context: Context, account: Account, correlation_id: str | None) -> Account:
    # Ids are unique within an issuer only: another issuer's user must not get the tokens of ours with the same id.
    if context.at(account.environment).issues_for(account.environment):
        return account
    raise UiRequiredError(
        "no_tokens_found",
        f"expected an account of {context.authority.environment}, got one of {account.environment}; "
        "pass one of this application's get_accounts(), or sign in interactively",
        classification="acquire_token_silent_failed",
        correlation_id=correlation_id,
    )
