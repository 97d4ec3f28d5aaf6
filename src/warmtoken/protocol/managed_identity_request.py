"""Requests for a managed identity's tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from warmtoken.identities import ManagedIdentityId, kind_and_id
from warmtoken.protocol.managed_identity import WAYS, Surroundings
from warmtoken.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

# An endpoint for metadata refuses requests without this header: one that a server was tricked into lacks it.
_METADATA = {"metadata": "true", "accept": "application/json"}


@dataclass(frozen=True, slots=True)
class IdentityRequest:
    """What is asked for: a token for a resource.

    `capabilities` is what the client can handle, `revoked_sha256` the hash of the token that was refused, in
    hexadecimal. `key` is what Azure Arc wants to see.
    """

    resource: str
    correlation_id: str
    capabilities: Sequence[str] = ()
    revoked_sha256: str | None = None
    key: str = field(default="", repr=False)


def managed_identity_request(place: Surroundings, identity: ManagedIdentityId, asked: IdentityRequest) -> HttpRequest:
    """Return the request for a token, once `check_surroundings` has passed place and identity."""
    ways, headers = WAYS[place.source], {**_METADATA, "x-ms-client-request-id": asked.correlation_id}
    if place.source == "cloud_shell":
        return _posted(place.url, asked.resource, headers)
    query = {
        "api-version": ways.api_version,
        "resource": asked.resource,
        **_identity(place, identity),
        **(_revocation(asked) if ways.knows_revocation else {}),
    }
    if ways.secret_header:
        headers[ways.secret_header] = place.secret
    if asked.key:
        headers["authorization"] = f"Basic {asked.key}"
    return HttpRequest("GET", f"{place.url}{'&' if '?' in place.url else '?'}{urlencode(query)}", headers)


def _posted(url: str, resource: str, headers: dict[str, str]) -> HttpRequest:
    form = {"content-type": "application/x-www-form-urlencoded"}
    return HttpRequest("POST", url, {**headers, **form}, urlencode({"resource": resource}).encode("ascii"))


def _identity(place: Surroundings, identity: ManagedIdentityId) -> dict[str, str]:
    names = WAYS[place.source].names
    kind, value = kind_and_id(identity)
    if kind:
        return {names[kind]: value}
    return {names["client_id"]: place.client_id} if place.client_id else {}


def _revocation(asked: IdentityRequest) -> dict[str, str]:
    capabilities = {"xms_cc": ",".join(asked.capabilities)} if asked.capabilities else {}
    revoked = {"token_sha256_to_refresh": asked.revoked_sha256} if asked.revoked_sha256 else {}
    return {**capabilities, **revoked}
