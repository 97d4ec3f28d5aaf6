"""Acquires a token of a managed identity: from the cache, else from the endpoint of the platform it runs on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from warmtoken.cache.extended_key import extended_key
from warmtoken.errors import TransportError
from warmtoken.flows.context import Context, Stopwatch, open_cache
from warmtoken.flows.effects import Call, Flow
from warmtoken.flows.replies import asked_by_client, take_in
from warmtoken.flows.requests import TokenRequest, new_correlation_id
from warmtoken.flows.search import Search, find_or_fetch
from warmtoken.flows.sending import Exchange, send_until_answered
from warmtoken.models import AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.azure_arc import challenged_file, read_key
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.discovery import ProviderMetadata
from warmtoken.protocol.managed_identity import ManagedIdentity, check_surroundings, pause_before_retry
from warmtoken.protocol.managed_identity_reply import parse_managed_identity_reply, unreachable
from warmtoken.protocol.managed_identity_request import IdentityRequest, managed_identity_request

PATIENCE = 105.0  # seconds: 30 for requests, 70 while IMDS is updated, and time to write the reply
ENDPOINT = "managed_identity_endpoint"


def acquire_for_managed_identity(
    context: Context, identity: ManagedIdentity, request: TokenRequest
) -> Flow[AuthenticationResult]:
    """Return a token of the managed identity for the one resource asked for (MSAL.NET)."""
    watch = Stopwatch()
    check_surroundings(identity.place, identity.identity)
    merge_claims(request.claims, ())  # they are not sent, but have to be some
    yield from open_cache(context)
    slot = context.slot(None, context.authority, _key_of(identity))
    search = _passing_by_the_refused(Search(context, request, slot, None, watch))
    return (
        yield from find_or_fetch(
            search,
            lambda: context.vault.keys.access_token(search.slot, search.scopes),
            lambda search, reason, _: _ask(search, identity, reason),
            patience=PATIENCE,
        )
    )


def _key_of(identity: ManagedIdentity) -> str:
    # Applications of one host may share a cache, and each has a system-assigned identity of its own.
    fingerprint = identity.place.fingerprint
    return extended_key({ENDPOINT: fingerprint} if fingerprint else {})


def _passing_by_the_refused(search: Search) -> Search:
    # MSAL: an API that sends a challenge has refused the token in the cache, if that still lasts. So that one is named,
    # and whoever else got the challenge takes its successor.
    found = search.find() if search.request.claims is not None else None
    if found is None or found.expires_on <= search.context.now():
        return search
    from hashlib import sha256

    refused = sha256(found.secret.encode()).hexdigest()
    request = replace(search.request, force_refresh=False, refresh_if_sha256=refused)
    return replace(search, request=request)


def _ask(search: Search, identity: ManagedIdentity, reason: CacheRefreshReason) -> Flow[AuthenticationResult]:
    context, request, watch, place = search.context, search.request, search.watch, identity.place
    correlation_id = new_correlation_id(request.correlation_id)
    sent_at = context.now()
    (resource,) = request.asked
    wanted = IdentityRequest(resource, correlation_id, context.client_capabilities, request.refresh_if_sha256)
    wanted, exchange = yield from _exchange(identity, wanted, watch)
    reply = parse_managed_identity_reply(
        place.source,
        exchange.response,
        correlation_id=correlation_id,
        secrets=(place.secret, wanted.key),
        now=sent_at,
    )
    metadata = ProviderMetadata(issuer="", authorization_endpoint="", token_endpoint=place.url)
    asked = asked_by_client(search, context.authority, metadata, correlation_id, sent_at, reason)
    return (yield from take_in(context, asked, reply))


def _exchange(
    identity: ManagedIdentity, wanted: IdentityRequest, watch: Stopwatch
) -> Flow[tuple[IdentityRequest, Exchange]]:
    exchange = yield from _send(identity, wanted, watch)
    if identity.place.source == "azure_arc" and exchange.response.status == 401:
        path = challenged_file(exchange.response.headers)
        key: str = yield Call(partial(read_key, path))
        wanted = replace(wanted, key=key)
        exchange = yield from _send(identity, wanted, watch)
    return wanted, exchange


def _send(identity: ManagedIdentity, wanted: IdentityRequest, watch: Stopwatch) -> Flow[Exchange]:
    place = identity.place
    make = partial(managed_identity_request, place, identity.identity, wanted)
    try:
        return (yield from send_until_answered(make, watch, partial(pause_before_retry, place.source)))
    except TransportError as error:
        raise unreachable(place.source, error) from None
