"""Finds a provider's endpoints."""

from __future__ import annotations

import time

from warmtoken.flows.context import HTTP_TIMEOUT, Context, Stopwatch
from warmtoken.flows.effects import Flow, Send
from warmtoken.protocol.authority import Authority
from warmtoken.protocol.discovery import (
    ProviderMetadata,
    discovery_request,
    entra_metadata,
    has_known_endpoints,
    parse_metadata,
)
from warmtoken.transport import HttpRequest, HttpResponse

MAX_AGE = 86_400.0  # seconds; MSAL keeps discovered endpoints for a day


def provider_metadata(context: Context, authority: Authority, watch: Stopwatch) -> Flow[ProviderMetadata]:
    """Return the endpoints of an authority: known ones at Entra's, discovered once a day at any other."""
    if has_known_endpoints(authority):
        return entra_metadata(authority)
    arrived, known = context.metadata.get(authority.url, (0.0, None))
    if known is not None and time.monotonic() - arrived < MAX_AGE:
        return known
    response = yield from send(discovery_request(authority), watch)
    found = parse_metadata(authority, response)
    context.metadata[authority.url] = time.monotonic(), found
    return found


def send(request: HttpRequest, watch: Stopwatch) -> Flow[HttpResponse]:
    """Send a request and count the time it took; all requests of one call have 30 s together."""
    since = time.perf_counter()
    try:
        response: HttpResponse = yield Send(request, max(1.0, HTTP_TIMEOUT - watch.http_ms / 1000))
        return response
    finally:
        watch.count_http(since)
