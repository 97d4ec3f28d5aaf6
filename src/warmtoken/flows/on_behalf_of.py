"""Acquires tokens on behalf of the user whose token a web API was called with (MSAL.NET's AcquireTokenOnBehalfOf)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from warmtoken.flows.context import Context, open_cache
from warmtoken.flows.effects import Flow
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.replies import Asked, take_in
from warmtoken.flows.requests import TokenRequest, new_correlation_id
from warmtoken.flows.search import Search, find_or_fetch
from warmtoken.flows.sending import send
from warmtoken.flows.session_search import session_search
from warmtoken.models import AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.authority import Authority, request_authority
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.token_exchange import check_issued_token
from warmtoken.protocol.token_reply import TokenReply, parse_token_reply
from warmtoken.protocol.token_request import known_scopes, on_behalf_of_request, secrets_of
from warmtoken.protocol.user_assertion import assertion_hash


@dataclass(frozen=True, slots=True)
class Exchange:
    """Trades a user's token for others at an authority."""

    authority: Authority
    user_assertion: str = field(repr=False)

    def once(self, search: Search, reason: CacheRefreshReason) -> Flow[AuthenticationResult]:
        """Get an access token alone: a refresh token would outlive the caller's own token (MSAL discards it)."""
        asked, reply = yield from self._exchange(search, reason)
        return (yield from take_in(search.context, asked, replace(reply, refresh_token=None)))

    def for_long(self, search: Search, reason: CacheRefreshReason) -> Flow[AuthenticationResult]:
        """Get an access token and keep what brings others."""
        asked, reply = yield from self._exchange(search, reason, "offline_access")
        return (yield from take_in(search.context, asked, reply))

    def _exchange(self, search: Search, reason: CacheRefreshReason, *also: str) -> Flow[tuple[Asked, TokenReply]]:
        context, request, slot = search.context, search.request, search.slot
        metadata = yield from provider_metadata(context, self.authority, search.watch)
        correlation_id = new_correlation_id(request.correlation_id)
        sent_at = context.now()
        make_request = partial(
            on_behalf_of_request,
            context.request(self.authority, metadata, correlation_id),
            self.user_assertion,
            [*request.asked, *known_scopes(metadata, also)],
            claims=merge_claims(request.claims, context.client_capabilities, request.client_claims),
        )
        http_request, response = yield from send(make_request, search.watch)
        reply = parse_token_reply(response, correlation_id=correlation_id, secrets=secrets_of(http_request))
        check_issued_token(reply, correlation_id)
        asked = Asked(
            self.authority,
            metadata,
            request.asked,
            correlation_id,
            sent_at,
            search.watch,
            reason,
            extended_key=slot.extended_key,
            session=slot.owner.session,
        )
        return asked, reply


def acquire_on_behalf_of(context: Context, user_assertion: str, request: TokenRequest) -> Flow[AuthenticationResult]:
    """Return a token for another API: what this assertion has brought before, else what it brings now."""
    yield from open_cache(context)
    authority = request_authority(context.authority, None, request.tenant_id)
    search = session_search(context, assertion_hash(user_assertion), authority, request)
    exchange = Exchange(authority, user_assertion)
    return (
        yield from find_or_fetch(
            search,
            lambda: context.vault.keys.access_token(search.slot, search.scopes),
            lambda search, reason, _: exchange.once(search, reason),
        )
    )
