"""Acquires a user's tokens by a federated identity credential: how an agent acts for a user of its own (user_fic)."""

from __future__ import annotations

from functools import partial

from warmtoken.flows.client_credentials import authority_of_one_tenant
from warmtoken.flows.context import Context, Stopwatch, open_cache
from warmtoken.flows.effects import Detach, Flow
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.replies import Asked, take_in
from warmtoken.flows.requests import FederatedCredentialRequest, new_correlation_id
from warmtoken.flows.sending import send
from warmtoken.models import AuthenticationResult
from warmtoken.protocol.authority import Authority
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.entra_headers import mailbox_of_hint, mailbox_of_object
from warmtoken.protocol.token_reply import parse_token_reply
from warmtoken.protocol.token_request import federated_credential_request, secrets_of


def acquire_by_federated_credential(
    context: Context, request: FederatedCredentialRequest
) -> Flow[AuthenticationResult]:
    """Trade the credential for the user's tokens and keep them (MSAL's AcquireTokenByUserFederatedIdentityCredential).

    Raises ClientError `user_mismatch` where they are not those of the user that was named by object id.
    """
    context.check_credential()
    authority = authority_of_one_tenant(context, request.tenant_id)
    result: AuthenticationResult = yield Detach(_exchange(context, authority, request))
    return result


def _exchange(
    context: Context, authority: Authority, request: FederatedCredentialRequest
) -> Flow[AuthenticationResult]:
    yield from open_cache(context)
    watch, correlation_id = Stopwatch(), new_correlation_id(request.correlation_id)
    metadata = yield from provider_metadata(context, authority, watch)
    sent_at = context.now()
    make_request = partial(
        federated_credential_request,
        context.request(authority, metadata, correlation_id, _mailbox(authority, request)),
        request.assertion,
        request.user,
        request.asked,
        claims=merge_claims(request.claims, context.client_capabilities),
    )
    http_request, response = yield from send(make_request, watch)
    reply = parse_token_reply(response, correlation_id=correlation_id, secrets=secrets_of(http_request))
    asked = Asked(
        authority,
        metadata,
        request.asked,
        correlation_id,
        sent_at,
        watch,
        source="user_fic",
        object_id=request.user_object_id,
    )
    return (yield from take_in(context, asked, reply))


def _mailbox(authority: Authority, request: FederatedCredentialRequest) -> str:
    if request.user_object_id is None:
        return mailbox_of_hint(request.username)
    return mailbox_of_object(request.user_object_id, authority.tenant)
