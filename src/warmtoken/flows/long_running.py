"""Sessions on behalf of a user that outlive the user's call: begun with the user's token, gone on with by a key."""

from __future__ import annotations

from functools import partial

from warmtoken.cache.best_effort import write_or_log
from warmtoken.errors import ClientError, UiRequiredError
from warmtoken.flows.accounts import listed_account
from warmtoken.flows.context import Context, open_cache
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.on_behalf_of import Exchange
from warmtoken.flows.requests import TokenRequest, check_text
from warmtoken.flows.search import Look, Search, find_or_fetch
from warmtoken.flows.session_search import SessionSearch, session_search
from warmtoken.flows.single_flight import Fetch, fetch_once
from warmtoken.flows.throttling import throttle
from warmtoken.models import Account, AuthenticationResult, CacheRefreshReason
from warmtoken.notices import LongRunningSession
from warmtoken.protocol.authority import Authority, request_authority
from warmtoken.protocol.user_assertion import assertion_hash


def initiate(
    context: Context, user_assertion: str, session_key: str | None, request: TokenRequest
) -> Flow[LongRunningSession]:
    """Begin a session with what the assertion brings (MSAL.NET's InitiateLongRunningProcessInWebApi)."""
    search, exchange = _beginning(context, user_assertion, session_key, request)
    yield from open_cache(context)
    return LongRunningSession(search.slot.owner.session, (yield from _begin(search, exchange)))


def initiate_or_go_on(
    context: Context, user_assertion: str, session_key: str | None, request: TokenRequest
) -> Flow[LongRunningSession]:
    """Go on with a session that has a usable token, and the means to get others; begin it where there is none."""
    search, exchange = _beginning(context, user_assertion, session_key, request)
    yield from open_cache(context)
    result = None
    if context.vault.has_refresh_token(search.slot.owner) and not request.bypasses_cache:
        result = search.usable(search.find())
    return LongRunningSession(search.slot.owner.session, result or (yield from _begin(search, exchange)))


def acquire_in_long_running(context: Context, session_key: str, request: TokenRequest) -> Flow[AuthenticationResult]:
    """Return a token of a session: from the cache, else by its refresh token.

    Raises ClientError `obo_cache_key_not_in_cache_error` (MSAL.NET's code) where it has neither.
    """
    _check_key(session_key)
    yield from open_cache(context)
    authority = request_authority(context.authority, None, request.tenant_id)
    search = session_search(context, session_key, authority, request)
    found = yield from find_or_fetch(search, lambda: _lock_of(search), partial(_renew, authority))
    if found is None:
        raise ClientError(
            "obo_cache_key_not_in_cache_error",
            "expected tokens of this session in the cache, found none; "
            "begin it with initiate_long_running_on_behalf_of and the user's token",
            correlation_id=request.correlation_id,
        )
    return found


def stop(context: Context, session_key: str) -> Flow[bool]:
    """Delete the tokens of a session, and return whether it had any (MSAL.NET's StopLongRunningProcessInWebApi)."""
    _check_key(session_key)
    yield from open_cache(context)
    from warmtoken.cache.sessions import end

    session = context.owner(None)._replace(session=session_key)
    stopped: bool = yield Call(lambda: end(context.vault, session))
    return stopped


def _check_key(session_key: object) -> None:
    if session_key is None:
        raise TypeError("expected session_key to be a str, got None")
    check_text("session_key", session_key)


def _beginning(
    context: Context, user_assertion: str, session_key: str | None, request: TokenRequest
) -> tuple[SessionSearch, Exchange]:
    check_text("session_key", session_key)
    hashed = assertion_hash(user_assertion)
    authority = request_authority(context.authority, None, request.tenant_id)
    return session_search(context, session_key or hashed, authority, request), Exchange(authority, user_assertion)


def _begin(search: SessionSearch, exchange: Exchange) -> Flow[AuthenticationResult]:
    # One at a time, but each with its own assertion: two users must not share an answer, whatever a program calls them.
    def fetch() -> Flow[AuthenticationResult]:
        return throttle(search.context, search.slot, search.scopes, lambda: exchange.for_long(search, "not_applicable"))

    need = ("begin", exchange, search.slot, search.scopes, search.request.claims, search.context.client)
    nowhere: Fetch[AuthenticationResult] = Fetch(_lock_of(search), need, lambda: None, fetch)
    return (yield from fetch_once(search.context.vault, nowhere))


def _lock_of(search: Search) -> bytes:
    return search.context.vault.keys.refresh_token(search.slot.owner)


def _renew(
    authority: Authority, search: Search, reason: CacheRefreshReason, look: Look
) -> Flow[AuthenticationResult | None]:
    # Imported where it is needed: a process that finds its token in the cache never comes here.
    from warmtoken.cache.sessions import note_end
    from warmtoken.flows.refresh import Renewal, renew

    context, session = search.context, search.slot.owner
    yield Call(context.vault.save_unsaved)  # what began the session may be among it
    found = context.vault.find_refresh_token(session)
    if found is None:
        return None
    user = found.record.home_account_id
    account = _account_of(context, user)
    if user and account is None:  # signed out, be it by an application of MSAL, which knows no sessions
        return None
    renewal = Renewal(account, authority, search.slot, search.request, reason, search.watch, look)
    try:
        return (yield from renew(context, renewal))
    except UiRequiredError:
        if user and not context.vault.has_refresh_token(session):
            ended = session._replace(home_account_id=user)
            failure = "the end of a session could not be noted"
            yield Call(partial(write_or_log, lambda: note_end(context.vault, ended), failure))
        raise


def _account_of(context: Context, home_account_id: str) -> Account | None:
    known = context.vault.account(context.owner(home_account_id)) if home_account_id else []
    return listed_account(known[0], context.authority.environment) if known else None
