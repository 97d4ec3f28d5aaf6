"""Where a provider's endpoints are (OpenID Connect Discovery 1.0, RFC 8414)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from warmtoken.errors import ProtocolError
from warmtoken.protocol.authority import Authority, is_loopback, split_url
from warmtoken.protocol.reply_body import read_json_reply
from warmtoken.protocol.service_error import error_from
from warmtoken.transport import HttpRequest, HttpResponse

_HINT = "check that the authority is the issuer exactly as the provider spells it"


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """A provider's endpoints, and what it says it can do; () where it says nothing.

    `issuer` is what id tokens carry as `iss`; for Microsoft Entra it holds a literal `{tenantid}`.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str | None = None
    jwks_uri: str | None = None
    revocation_endpoint: str | None = None
    code_challenge_methods: tuple[str, ...] = ()
    token_endpoint_auth_methods: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ()
    response_iss_supported: bool = False


def has_known_endpoints(authority: Authority) -> bool:
    """Tell whether the endpoints follow from the URL; B2C's do too, but not what its id tokens call the issuer."""
    return authority.kind in {"entra", "ciam", "dsts"}


def entra_metadata(authority: Authority) -> ProviderMetadata:
    """Return the endpoints that follow from an authority's URL; raises ValueError where none do."""
    if not has_known_endpoints(authority):
        raise ValueError(f"expected a Microsoft Entra authority, got {authority.url}")
    base = f"{authority.url}/oauth2/v2.0"
    return ProviderMetadata(
        issuer=authority.issuer_template,
        authorization_endpoint=f"{base}/authorize",
        token_endpoint=f"{base}/token",
        device_authorization_endpoint=f"{base}/devicecode",
        jwks_uri=f"{authority.url}/discovery/v2.0/keys",
        code_challenge_methods=("S256",),
        token_endpoint_auth_methods=("client_secret_post", "private_key_jwt", "client_secret_basic"),
    )


def discovery_request(authority: Authority) -> HttpRequest:
    """Return the request for a provider's metadata (OpenID Connect Discovery 1.0, section 4.1)."""
    return HttpRequest("GET", authority.metadata_url, {"accept": "application/json"})


def parse_metadata(
    authority: Authority, response: HttpResponse, *, correlation_id: str | None = None
) -> ProviderMetadata:
    """Return what a provider says of itself.

    Raises ServiceError where the status is not 200, and ProtocolError where the reply is not JSON, names another
    issuer (RFC 8414, section 3.3) or an endpoint that is no https URL (http: only at a loopback issuer).
    """
    if response.status != 200:
        raise error_from(response, correlation_id=correlation_id)
    fields = read_json_reply(response, f"the metadata at {authority.metadata_url}", correlation_id=correlation_id)
    reader = _Reader(authority, fields, correlation_id)
    return ProviderMetadata(
        issuer=reader.issuer(),
        authorization_endpoint=reader.required_endpoint("authorization_endpoint"),
        token_endpoint=reader.required_endpoint("token_endpoint"),
        device_authorization_endpoint=reader.endpoint("device_authorization_endpoint"),
        jwks_uri=reader.endpoint("jwks_uri"),
        revocation_endpoint=reader.endpoint("revocation_endpoint"),
        code_challenge_methods=reader.words("code_challenge_methods_supported"),
        token_endpoint_auth_methods=reader.words("token_endpoint_auth_methods_supported"),
        scopes=reader.words("scopes_supported"),
        grant_types=reader.words("grant_types_supported"),
        # RFC 9207, section 3
        response_iss_supported=fields.get("authorization_response_iss_parameter_supported") is True,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    authority: Authority
    fields: dict[str, Any]
    correlation_id: str | None

    def issuer(self) -> str:
        issuer = self.fields.get("issuer")
        if not self.authority.names_issuer(issuer):
            expected = self.authority.issuer_template
            raise self._error("issuer_mismatch", f"expected issuer {expected}, got {_shown(issuer)}; {_HINT}")
        return cast("str", issuer)

    def required_endpoint(self, name: str) -> str:
        endpoint = self.endpoint(name)
        if endpoint is None:
            raise self._error("metadata_endpoint_missing", f"expected {name} in the provider's metadata, got none")
        return endpoint

    def endpoint(self, name: str) -> str | None:
        value = self.fields.get(name)
        if value is None:
            return None
        try:
            parts = split_url(value, name)
        except (TypeError, ValueError) as error:
            raise self._error("metadata_endpoint_invalid", f"the provider's metadata: {error}") from None
        if parts.scheme == "http" and not self._issuer_is_loopback():
            raise self._error("metadata_endpoint_invalid", f"the provider's metadata: expected {name} to be https")
        return cast("str", value)

    def words(self, name: str) -> tuple[str, ...]:
        value = self.fields.get(name)
        if not isinstance(value, list):
            return ()
        return tuple(word for word in cast("list[object]", value) if isinstance(word, str))

    def _issuer_is_loopback(self) -> bool:
        return is_loopback(split_url(self.authority.url, "the authority").hostname or "")

    def _error(self, code: str, message: str) -> ProtocolError:
        return ProtocolError(code, message, correlation_id=self.correlation_id)


def _shown(value: object) -> str:
    return ascii(value)[:200] if isinstance(value, str) else f"a {type(value).__name__}"
