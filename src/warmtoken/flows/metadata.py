"""Finds a provider's endpoints."""

from __future__ import annotations

import time
from functools import partial

from warmtoken.flows.context import Context, Stopwatch
from warmtoken.flows.effects import Flow
from warmtoken.flows.sending import send
from warmtoken.protocol.authority import Authority
from warmtoken.protocol.discovery import (
    ProviderMetadata,
    discovery_request,
    entra_metadata,
    has_known_endpoints,
    parse_metadata,
)

MAX_AGE = 86_400.0  # seconds; MSAL keeps discovered endpoints for a day


def provider_metadata(context: Context, authority: Authority, watch: Stopwatch) -> Flow[ProviderMetadata]:
    """Return the endpoints of an authority: known ones at Entra's, discovered once a day at any other.

    Raises ClientError `client_credential_required` where the client has nothing to show there.
    """
    context.check_credential()
    if has_known_endpoints(authority):
        return entra_metadata(authority)
    arrived, known = context.metadata.get(authority.url, (0.0, None))
    if known is not None and time.monotonic() - arrived < MAX_AGE:
        return known
    exchange = yield from send(partial(discovery_request, authority), watch)
    found = parse_metadata(authority, exchange.response)
    context.metadata[authority.url] = time.monotonic(), found
    return found
