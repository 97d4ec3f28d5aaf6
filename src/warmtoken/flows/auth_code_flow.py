"""Signs a user in at a web site: one request of the site sends the browser away, another takes what it brings back.

What must be the same in both (OpenID Connect Core 1.0, section 3.1) is kept in the user's session meanwhile.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from warmtoken.errors import ClientError
from warmtoken.flows.authorization_code import SignIn, authorization_request, finish_sign_in, new_sign_in, url_of
from warmtoken.flows.context import Context, Stopwatch
from warmtoken.flows.effects import Flow
from warmtoken.flows.metadata import provider_metadata
from warmtoken.flows.requests import AuthCodeRequest
from warmtoken.models import AuthenticationResult
from warmtoken.notices import AuthCodeFlow
from warmtoken.protocol.discovery import ProviderMetadata
from warmtoken.texts import is_unicode

MAX_AGE = 3600  # seconds that a user may take to sign in
CLOCK_LEEWAY = 300  # seconds between the clocks of the hosts that serve one site

Parameters = Mapping[str, object] | Iterable[tuple[str, str]]


def initiate(context: Context, request: AuthCodeRequest) -> Flow[AuthCodeFlow]:
    """Return a new sign-in, with the URL to send the browser to; the provider's metadata may have to be asked for."""
    watch = Stopwatch()
    metadata = yield from provider_metadata(context, context.authority, watch)
    sign_in = new_sign_in(request, metadata, watch)
    asked = replace(
        authorization_request(context, sign_in, request.redirect_uri),
        domain_hint=request.domain_hint,
        max_age=request.max_age,
        response_mode=request.response_mode,
    )
    return {
        "auth_uri": url_of(context, sign_in, asked),
        "state": sign_in.state,
        "nonce": sign_in.nonce,
        "code_verifier": sign_in.verifier,
        "redirect_uri": request.redirect_uri,
        "scope": list(request.asked),
        "claims_challenge": request.claims,
        "login_hint": request.login_hint,
        "prompt": request.prompt,
        "max_age": request.max_age,
        "correlation_id": sign_in.correlation_id,
        "client_id": context.client.client_id,
        "authority": context.authority.url,
        "partition": _mark_of(context.partition),
        "created_at": int(context.now()),
    }


def _mark_of(partition: str) -> str:
    # A session may be the user's own cookie, who need not read there which other customers there are.
    return hashlib.sha256(partition.encode()).hexdigest() if partition else ""


def redeem(context: Context, flow: Mapping[str, object] | None, parameters: Parameters) -> Flow[AuthenticationResult]:
    """Return the token for what a redirect brought to the site, if it is the answer to the session's sign-in.

    Raises ClientError, before anything is sent, where it is not, or where the user or the program took too long.
    """
    brought = _checked_parameters(parameters)
    if not flow:
        raise ClientError(
            "state_mismatch", "expected the session to have a sign-in under way, it has none; sign in again"
        )
    kept = _kept(flow)
    kept.check_state(brought.get("state", ""))
    kept.check_owner(context)
    kept.check_age(context.now())
    watch = Stopwatch()
    metadata = yield from provider_metadata(context, context.authority, watch)
    return (yield from finish_sign_in(context, kept.sign_in(metadata, watch), kept.request.redirect_uri, brought))


def _checked_parameters(parameters: Parameters) -> dict[str, str]:
    pairs = _pairs(parameters)
    brought = {name: value for name, value in pairs if isinstance(value, str) and is_unicode(value)}
    if len(brought) != len(pairs):  # RFC 6749, section 3.1: none must come more than once
        raise ClientError(
            "redirect_parameters_invalid",
            "expected each parameter of the redirect once and as text, got one more often, or as something else; "
            "pass the query's or the form's parameters as pairs or as a dict of strings",
        )
    return brought


def _pairs(parameters: object) -> list[tuple[str, object]]:
    if isinstance(parameters, Mapping):
        mapping = cast("Mapping[str, object]", parameters)
        return [(name, value) for name in mapping for value in _values(mapping, name)]
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Iterable):
        raise TypeError(f"expected params as a dict or as pairs, such as parse_qsl's, got {type(parameters).__name__}")
    return [_pair(item) for item in cast("Iterable[object]", parameters)]


def _pair(item: object) -> tuple[str, object]:
    kind = type(item).__name__
    if not isinstance(item, tuple | list) or len(cast("Sequence[object]", item)) != 2:
        raise TypeError(f"expected params as a dict or as pairs, such as parse_qsl's, got {kind} in them")
    name, value = cast("tuple[str, object]", item)
    return name, value


def _values(parameters: Mapping[str, object], name: str) -> list[object]:
    # Dicts of web frameworks show one value of several: Django, Flask and Starlette all of them by getlist, aiohttp
    # and WebOb by getall.
    for method in ("getlist", "getall"):
        if hasattr(parameters, method):
            return list(getattr(parameters, method)(name))
    return [parameters[name]]


@dataclass(frozen=True, slots=True)
class _Kept:
    # A sign-in as it came back from the session.
    request: AuthCodeRequest
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    client_id: str
    authority: str
    partition: str
    created_at: int

    def check_state(self, brought: str) -> None:
        # RFC 6749, section 10.12: who sends the browser here with another state wants it signed in as somebody else.
        if not hmac.compare_digest(brought.encode(), self.state.encode()):
            raise self._error(
                "state_mismatch",
                "expected the redirect to answer the sign-in of this session, it answers another one or none; "
                "the redirect was dropped: sign in again",
            )

    def check_owner(self, context: Context) -> None:
        # RFC 9700, section 4.4: a code must not reach another provider than the one that the user was sent to.
        if (self.client_id, self.authority) != (context.client.client_id, context.authority.url):
            raise self._error(
                "auth_code_flow_mismatch",
                f"expected a sign-in of {context.client.client_id!r} at {context.authority.url}, got one of "
                f"{self.client_id!r} at {self.authority}; call the application that initiated it",
            )
        if self.partition != _mark_of(context.partition):
            raise self._error(
                "auth_code_flow_mismatch",
                "expected a sign-in of this application's partition and parameters, got one of others; "
                "call the application that initiated it",
            )

    def check_age(self, now: float) -> None:
        # Also not from the future, as after a clock was set back: it would last longer than it must.
        age = int(now) - self.created_at
        if not -CLOCK_LEEWAY <= age <= MAX_AGE:
            raise self._error(
                "auth_code_flow_expired",
                f"expected the user to be back within {MAX_AGE} seconds, the sign-in began {age} seconds ago; "
                "sign in again",
            )

    def sign_in(self, metadata: ProviderMetadata, watch: Stopwatch) -> SignIn:
        max_age, correlation_id = self.request.max_age, self.request.correlation_id or ""
        since = None if max_age is None else self.created_at - max_age
        return SignIn(
            self.request, metadata, correlation_id, watch, self.state, self.nonce, self.verifier, signed_in_since=since
        )

    def _error(self, code: str, message: str) -> ClientError:
        return ClientError(code, message, correlation_id=self.request.correlation_id)


def _kept(flow: object) -> _Kept:
    if not isinstance(flow, Mapping):
        raise TypeError(f"expected flow to be a dict of initiate_auth_code_flow, got {type(flow).__name__}")
    fields = cast("Mapping[str, Any]", flow)
    try:
        return _Kept(
            _request(fields),
            _text(fields, "state"),
            _text(fields, "nonce"),
            _text(fields, "code_verifier"),
            _text(fields, "client_id"),
            _text(fields, "authority"),
            _text(fields, "partition") if fields["partition"] != "" else "",
            _created_at(fields),
        )
    except KeyError as missing:
        raise ValueError(f"expected flow as initiate_auth_code_flow returned it, got one without {missing}") from None


def _request(fields: Mapping[str, Any]) -> AuthCodeRequest:
    return AuthCodeRequest(
        fields["scope"],
        fields["redirect_uri"],
        login_hint=fields["login_hint"],
        prompt=fields["prompt"],
        claims=fields["claims_challenge"],
        max_age=fields["max_age"],
        correlation_id=_text(fields, "correlation_id"),
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected {name!r} of flow as initiate_auth_code_flow returned it, got another value")
    return value


def _created_at(fields: Mapping[str, Any]) -> int:
    value = fields["created_at"]
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected 'created_at' of flow in whole Unix seconds, got {type(value).__name__}")
    return value
