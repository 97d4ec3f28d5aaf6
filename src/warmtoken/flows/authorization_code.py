"""Signs a user in with the system browser: authorization code with PKCE on a loopback redirect (RFC 8252).

What a web site's sign-in has in common with it, `auth_code_flow` takes from here.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field, replace
from functools import partial

from warmtoken.errors import ClientError, ProtocolError, ServiceError, UiRequiredError, WarmTokenError
from warmtoken.flows.context import Context, Stopwatch
from warmtoken.flows.effects import Call, Flow, call_program
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.replies import Asked, take_in
from warmtoken.flows.requests import AuthCodeRequest, InteractiveRequest, new_correlation_id
from warmtoken.flows.sending import send
from warmtoken.models import Account, AuthenticationResult
from warmtoken.protocol.authority import cloud_name
from warmtoken.protocol.claims import merge_claims
from warmtoken.protocol.discovery import ProviderMetadata, entra_metadata
from warmtoken.protocol.entra_headers import mailbox_of_hint
from warmtoken.protocol.pkce import challenge, new_verifier
from warmtoken.protocol.token_reply import parse_token_reply
from warmtoken.protocol.token_request import (
    AuthorizationRequest,
    authorization_code_request,
    authorization_url,
    secrets_of,
)


@dataclass(frozen=True, slots=True)
class SignIn:
    """One sign-in: what was sent with the browser and must come back, or go with the code. Used once.

    `account` is the user who must sign in, None for any; `signed_in_since` (Unix seconds) when at the earliest.
    """

    request: InteractiveRequest | AuthCodeRequest
    metadata: ProviderMetadata
    correlation_id: str
    watch: Stopwatch
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    account: Account | None = None
    signed_in_since: float | None = None


def acquire_interactive(context: Context, request: InteractiveRequest) -> Flow[AuthenticationResult]:
    """Return a token for the user who signs in in the browser.

    Raises ClientError where the user does not come back in time or the call is cancelled, UiRequiredError and
    ServiceError where the provider says no.
    """
    watch = Stopwatch()
    metadata = yield from provider_metadata(context, context.authority, watch)
    sign_in = new_sign_in(request, metadata, watch, request.account)
    redirect_uri, parameters = yield from _ask_user(context, request, sign_in)
    return (yield from finish_sign_in(context, sign_in, redirect_uri, parameters))


def new_sign_in(
    request: InteractiveRequest | AuthCodeRequest,
    metadata: ProviderMetadata,
    watch: Stopwatch,
    account: Account | None = None,
) -> SignIn:
    """Return a sign-in with a state, a nonce and a code verifier of its own, 256 random bits each."""
    return SignIn(
        request,
        metadata,
        new_correlation_id(request.correlation_id),
        watch,
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(32),
        new_verifier(),
        account,
    )


def finish_sign_in(
    context: Context, sign_in: SignIn, redirect_uri: str, parameters: dict[str, str]
) -> Flow[AuthenticationResult]:
    """Return the token for the code that a redirect brought, once its state has been found to be the sign-in's."""
    # A parameter without a value is none (RFC 6749, section 3.1); some parsers leave it out, others do not.
    parameters = {name: value for name, value in parameters.items() if value}
    _check_issuer(sign_in.metadata, parameters, sign_in.correlation_id)
    code = _code(parameters, sign_in)
    there = _cloud_of_user(context, parameters, sign_in.correlation_id)
    if there is not context:
        sign_in = replace(sign_in, metadata=entra_metadata(there.authority))
    return (yield from _exchange(there, sign_in, redirect_uri, code))


def _ask_user(context: Context, request: InteractiveRequest, sign_in: SignIn) -> Flow[tuple[str, dict[str, str]]]:
    from warmtoken.browser import open_system_browser
    from warmtoken.interactive import LoopbackReceiver

    # Microsoft registers http://localhost for native clients; RFC 8252 wants the address itself.
    advertise, path = (None, "/") if context.authority.kind == "oidc" else ("localhost", "")
    if context.redirect_path is not None:
        path = context.redirect_path
    receiver = LoopbackReceiver(state=sign_in.state, path=path, advertise=advertise)
    try:
        url = url_of(context, sign_in, authorization_request(context, sign_in, receiver.redirect_uri))
        yield from call_program(partial(request.open_browser or open_system_browser, url))
        parameters = yield Call(partial(receiver.wait, request.timeout), cancel=receiver.close)
    except GeneratorExit:
        receiver.close()  # nobody runs this flow any more: no effects
        raise
    except BaseException:
        yield Call(receiver.close)
        raise
    yield Call(receiver.close)
    return receiver.redirect_uri, parameters


def authorization_request(context: Context, sign_in: SignIn, redirect_uri: str) -> AuthorizationRequest:
    """Return what the browser takes to the provider for a sign-in."""
    request = sign_in.request
    return AuthorizationRequest(
        redirect_uri,
        request.asked,
        sign_in.state,
        sign_in.nonce,
        challenge(sign_in.verifier),
        request.login_hint,
        request.prompt,
        merge_claims(request.claims, context.client_capabilities),
        context.multi_cloud,
    )


def url_of(context: Context, sign_in: SignIn, asked: AuthorizationRequest) -> str:
    """Return the URL to open in the browser; raises ProtocolError where the provider cannot do PKCE with S256."""
    return authorization_url(context.request(context.authority, sign_in.metadata, sign_in.correlation_id), asked)


def _check_issuer(metadata: ProviderMetadata, parameters: dict[str, str], correlation_id: str) -> None:
    # RFC 9207, section 2.4: the answer of another issuer must not reach this one's token endpoint.
    issuer = parameters.get("iss")
    if "{tenantid}" in metadata.issuer or (issuer is None and not metadata.response_iss_supported):
        return
    if issuer is None or not hmac.compare_digest(issuer.encode(), metadata.issuer.encode()):
        raise ProtocolError(
            "issuer_mismatch",
            f"expected the redirect to name the issuer {metadata.issuer}, it "
            f"{'names another' if issuer else 'names none'}; the sign-in was dropped",
            correlation_id=correlation_id,
        )


def _code(parameters: dict[str, str], sign_in: SignIn) -> str:
    if "error" in parameters:
        raise _refusal(parameters, sign_in)
    code = parameters.get("code")
    if not code:
        raise ProtocolError(
            "code_missing",
            "expected the redirect to bring an authorization code or an error, it brought neither; try again",
            correlation_id=sign_in.correlation_id,
        )
    return code


def _cloud_of_user(context: Context, parameters: dict[str, str], correlation_id: str) -> Context:
    named = parameters.get("cloud_instance_host_name")
    if not context.multi_cloud or not named:
        return context
    # Who gets the code and its verifier gets the user's tokens, and the refresh tokens later on. A redirect is no
    # proof of whom it comes from: it may choose among the clouds that are built in, and never name a host itself.
    if cloud_name(named.lower()) is None:
        raise ProtocolError(
            "invalid_instance",
            f"expected the redirect to name a host of a known Microsoft Entra cloud, got {_printable(named, 100)!r}; "
            "the sign-in was dropped and nothing was sent there",
            correlation_id=correlation_id,
        )
    return context.at(named)


def _refusal(parameters: dict[str, str], sign_in: SignIn) -> WarmTokenError:
    correlation_id = sign_in.correlation_id
    error = _printable(parameters["error"], 100)
    description = _printable(parameters.get("error_description", ""), 1000) or None
    message = f"the identity provider ended the sign-in: {error}" + (f" ({description})" if description else "")
    if error == "access_denied":
        return ClientError("access_denied", message, correlation_id=correlation_id)
    if error in {"interaction_required", "login_required", "consent_required", "account_selection_required"}:
        return UiRequiredError(
            error,
            message,
            classification=_classification(error, sign_in.request.prompt),
            error_description=description,
            correlation_id=correlation_id,
        )
    return ServiceError(
        error,
        message,
        status=0,
        error=error,
        error_description=description,
        is_retryable=error == "temporarily_unavailable",
        correlation_id=correlation_id,
    )


def _classification(error: str, prompt: str | None) -> str:
    if prompt == "none":  # MSAL.NET's Prompt.Never
        return "prompt_never_failed"
    return "consent_required" if error == "consent_required" else "none"


def _printable(text: str, limit: int) -> str:
    return "".join(character for character in text if character.isprintable())[:limit]


def _exchange(context: Context, sign_in: SignIn, redirect_uri: str, code: str) -> Flow[AuthenticationResult]:
    sent_at = context.now()
    make_request = partial(
        authorization_code_request,
        context.request(
            context.authority, sign_in.metadata, sign_in.correlation_id, mailbox_of_hint(sign_in.request.login_hint)
        ),
        code,
        redirect_uri=redirect_uri,
        code_verifier=sign_in.verifier,
        scopes=sign_in.request.asked,
        claims=merge_claims(sign_in.request.claims, context.client_capabilities),
    )
    http_request, response = yield from send(make_request, sign_in.watch)
    reply = parse_token_reply(response, correlation_id=sign_in.correlation_id, secrets=secrets_of(http_request))
    asked = Asked(
        context.authority,
        sign_in.metadata,
        sign_in.request.asked,
        sign_in.correlation_id,
        sent_at,
        sign_in.watch,
        account=sign_in.account,
        nonce=sign_in.nonce,
        source="authorization_code",
        signed_in_since=sign_in.signed_in_since,
    )
    return (yield from take_in(context, asked, reply))
