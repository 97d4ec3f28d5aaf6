"""Gets the client's own token from a function of the program's (MSAL.NET's WithAppTokenProvider)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Generator
from functools import partial
from typing import cast

from warmtoken.credentials import AppTokenProvider, AppTokenProviderParameters
from warmtoken.errors import TransportError, WarmTokenError
from warmtoken.flows.effects import Await, Call, Flow
from warmtoken.flows.replies import asked_by_client, take_in
from warmtoken.flows.requests import new_correlation_id
from warmtoken.flows.search import Search
from warmtoken.models import AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.authority import Authority
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.discovery import ProviderMetadata
from warmtoken.protocol.provided_token import read_provided

_NOWHERE = ProviderMetadata(issuer="", authorization_endpoint="", token_endpoint="")


def ask_program(
    provider: AppTokenProvider, search: Search, authority: Authority, reason: CacheRefreshReason
) -> Flow[AuthenticationResult]:
    """Return the token that the program's function gets, once it has been written.

    Raises TransportError `token_provider_failed` for what the function raises, unless that is a WarmTokenError, and
    ClientError for what it returns that is no token.
    """
    context, request, watch = search.context, search.request, search.watch
    correlation_id = new_correlation_id(request.correlation_id)
    claims = merge_claims(request.claims, context.client_capabilities, request.client_claims)
    parameters = AppTokenProviderParameters(request.asked, authority.tenant or None, correlation_id, claims)
    sent_at, since = context.now(), time.perf_counter()
    try:
        returned = yield from _answer(provider, parameters)
    finally:
        watch.count_http(since)
    reply = read_provided(returned, correlation_id=correlation_id)
    asked = asked_by_client(search, authority, _NOWHERE, correlation_id, sent_at, reason)
    return (yield from take_in(context, asked, reply))


def _answer(provider: AppTokenProvider, parameters: AppTokenProviderParameters) -> Flow[object]:
    returned: object = yield Call(partial(_called, provider, parameters))
    if not isinstance(returned, Awaitable):
        return returned
    with _failures_of_ours(parameters):
        answer: object = yield Await(cast("Awaitable[object]", returned))
    return answer


def _called(provider: AppTokenProvider, parameters: AppTokenProviderParameters) -> object:
    # In the thread that calls it: a future of asyncio takes no StopIteration, and would never be done.
    with _failures_of_ours(parameters):
        return provider.function(parameters)


@contextlib.contextmanager
def _failures_of_ours(parameters: AppTokenProviderParameters) -> Generator[None, None, None]:
    try:
        yield
    except WarmTokenError:
        raise
    except Exception as error:
        # Its words may hold anything; who wants them finds them in the cause.
        raise TransportError(
            "token_provider_failed",
            f"expected a token from the function of the AppTokenProvider, but it raised {type(error).__name__}; "
            "see the cause of this error",
            correlation_id=parameters.correlation_id,
        ) from error
