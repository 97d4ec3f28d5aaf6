"""Acquires a token of the client's own (RFC 6749, section 4.4): from the cache, else with its credential."""

from __future__ import annotations

from functools import partial

from warmtoken.credentials import AppTokenProvider
from warmtoken.errors import ClientError
from warmtoken.flows.context import Context, Stopwatch, open_cache
from warmtoken.flows.effects import Flow
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.replies import asked_by_client, take_in
from warmtoken.flows.requests import TokenRequest, new_correlation_id
from warmtoken.flows.search import Search, find_or_fetch
from warmtoken.flows.sending import send
from warmtoken.models import AuthenticationResult, CacheRefreshReason
from warmtoken.protocol.authority import Authority, request_authority
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.token_reply import parse_token_reply
from warmtoken.protocol.token_request import check_scopes_of_client, client_credentials_request, secrets_of


def acquire_for_client(context: Context, request: TokenRequest) -> Flow[AuthenticationResult]:
    """Return a token for the client itself (MSAL.NET's AcquireTokenForClient)."""
    watch = Stopwatch()
    authority = authority_of_one_tenant(context, request.tenant_id)
    if request.fmi_path is not None:
        _check_knows_paths(context, authority)
    check_scopes_of_client(authority, request.asked, request.correlation_id)
    yield from open_cache(context)
    search = Search(context, request, context.slot(None, authority, request.extended_key), None, watch)
    return (
        yield from find_or_fetch(
            search,
            lambda: context.vault.keys.access_token(search.slot, search.scopes),
            lambda search, reason, _: _ask(search, authority, reason),
        )
    )


def authority_of_one_tenant(context: Context, tenant_id: str | None) -> Authority:
    """Return the authority for a request about no user; ClientError `tenant_required` where it has no tenant."""
    authority = request_authority(context.authority, None, tenant_id)
    if authority.is_tenantless:
        raise ClientError(
            "tenant_required",
            f"expected an authority that names a tenant, got {authority.url}; pass tenant_id= or another authority",
        )
    return authority


def _check_knows_paths(context: Context, authority: Authority) -> None:
    # Who does not know the parameter leaves it out, and the token would be more than was asked for.
    if authority.kind != "entra" or isinstance(context.client.credential, AppTokenProvider):
        raise ClientError(
            "fmi_path_not_supported",
            f"expected Microsoft Entra and a credential for it with fmi_path, got {authority.url} and "
            f"{type(context.client.credential).__name__}; leave fmi_path out",
        )


def _ask(search: Search, authority: Authority, reason: CacheRefreshReason) -> Flow[AuthenticationResult]:
    credential = search.context.client.credential
    if not isinstance(credential, AppTokenProvider):
        return _ask_authority(search, authority, reason)
    from warmtoken.flows.app_token_provider import ask_program

    return ask_program(credential, search, authority, reason)


def _ask_authority(search: Search, authority: Authority, reason: CacheRefreshReason) -> Flow[AuthenticationResult]:
    context, request, watch = search.context, search.request, search.watch
    metadata = yield from provider_metadata(context, authority, watch)
    correlation_id = new_correlation_id(request.correlation_id)
    sent_at = context.now()
    make_request = partial(
        client_credentials_request,
        context.request(authority, metadata, correlation_id),
        request.asked,
        claims=merge_claims(request.claims, context.client_capabilities, request.client_claims),
        fmi_path=request.fmi_path,
    )
    http_request, response = yield from send(make_request, watch)
    reply = parse_token_reply(response, correlation_id=correlation_id, secrets=secrets_of(http_request))
    asked = asked_by_client(search, authority, metadata, correlation_id, sent_at, reason)
    return (yield from take_in(context, asked, reply))
