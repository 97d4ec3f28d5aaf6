"""Where a managed identity gets its tokens: what the environment says of it, and the ways of each kind of endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from warmtoken.errors import ClientError
from warmtoken.identities import ManagedIdentityId, kind_and_id
from warmtoken.protocol.authority import split_url
from warmtoken.protocol.scopes import RESERVED

Source = Literal["imds", "app_service", "azure_arc", "service_fabric", "cloud_shell", "machine_learning"]

# MSAL.NET's names in the cache: one client for all system-assigned identities, one tenant for all identities.
SYSTEM_ASSIGNED = "system_assigned_managed_identity"
AUTHORITY = "https://login.microsoftonline.com/managed_identity"

IMDS = "http://169.254.169.254"
ARC_AGENT = "/opt/azcmagent/bin/himds"
ARC_ENDPOINT = "http://127.0.0.1:40342/metadata/identity/oauth2/token"
_TOKEN_PATH = "/metadata/identity/oauth2/token"
_DEFAULT_SCOPE = "/.default"
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_THUMBPRINT = re.compile(r"[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environment says of where this process runs; the repr shows no secret.

    `url` is the endpoint, and `named_by` the variable that it comes from. `secret` proves to it that the request comes
    from this process, "" where it wants no proof. `thumbprint` is of its TLS certificate, "" where any trusted one
    will do. `client_id` is that of the system-assigned identity where it has to be named.
    """

    source: Source
    url: str
    named_by: str
    secret: str = field(default="", repr=False)
    thumbprint: str = ""
    client_id: str = ""

    @property
    def fingerprint(self) -> str:
        """A text that is another for each secret, without saying it, and each `client_id`; "" where there is no secret.

        They alone say whose the system-assigned identity is: of which application of a host, or which one it is.
        """
        if not self.secret:
            return ""
        from hashlib import sha256

        return sha256(f"{self.url}\0{self.secret}\0{self.client_id}".encode()).hexdigest()


class ManagedIdentity(NamedTuple):
    """Which identity of the resource that a process runs in, and where that gets its tokens."""

    identity: ManagedIdentityId
    place: Surroundings


def is_filled(path: str) -> bool:
    """Tell whether there is a file that is not empty."""
    try:
        return Path(path).stat().st_size > 0
    except OSError:
        return False


# Looked for once, at the import: making an application touches no disk, which would block an event loop.
HAS_ARC_AGENT = is_filled(ARC_AGENT)


class Ways(NamedTuple):
    """How one kind of endpoint is asked: `names` is what it calls the ids of user-assigned identities, if it knows any.

    `knows_revocation`: it takes what the client can handle, and the hash of a token that was revoked (MSAL.NET).
    """

    api_version: str = ""
    secret_header: str = ""
    names: Mapping[str, str] = {}
    knows_revocation: bool = False


_IDS = {"client_id": "client_id", "object_id": "object_id"}

WAYS: Mapping[Source, Ways] = {
    "imds": Ways("2018-02-01", names={**_IDS, "resource_id": "msi_res_id"}),
    "app_service": Ways("2019-08-01", "x-identity-header", {**_IDS, "resource_id": "mi_res_id"}),
    "azure_arc": Ways("2020-06-01"),
    "service_fabric": Ways("2020-05-01", "secret", knows_revocation=True),
    "cloud_shell": Ways(),
    "machine_learning": Ways("2017-09-01", "secret", {"client_id": "clientid"}),
}


def read_surroundings(environ: Mapping[str, str]) -> Surroundings:
    """Return which endpoint the environment shows, in MSAL.NET's order; a variable that is empty is none."""
    variables = {name: value for name, value in environ.items() if value}
    endpoint, secret = variables.get("IDENTITY_ENDPOINT", ""), variables.get("IDENTITY_HEADER", "")
    if endpoint and secret:
        thumbprint = variables.get("IDENTITY_SERVER_THUMBPRINT", "")
        kind: Source = "service_fabric" if thumbprint else "app_service"
        return Surroundings(kind, endpoint, "IDENTITY_ENDPOINT", secret, thumbprint)
    if "MSI_ENDPOINT" in variables:
        return _by_msi_endpoint(variables)
    if endpoint and "IMDS_ENDPOINT" in variables:
        return Surroundings("azure_arc", endpoint, "IDENTITY_ENDPOINT")
    if HAS_ARC_AGENT:
        return Surroundings("azure_arc", ARC_ENDPOINT, ARC_AGENT)
    host = variables.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", IMDS).rstrip("/")
    return Surroundings("imds", host + _TOKEN_PATH, "AZURE_POD_IDENTITY_AUTHORITY_HOST")


def check_surroundings(place: Surroundings, identity: ManagedIdentityId) -> None:
    """Raise ClientError where the endpoint must not be asked as the environment names it, or not for this identity."""
    _check_endpoint(place)
    _check_proofs(place)
    _check_identity(place.source, kind_and_id(identity)[0])


def name_in_cache(identity: ManagedIdentityId) -> str:
    """Return the client id under which an identity's tokens are cached (MSAL.NET)."""
    return kind_and_id(identity)[1] or SYSTEM_ASSIGNED


def resource_of(resource: str) -> str:
    """Return the resource that a scope such as "https://vault.azure.net/.default" stands for; others as they are.

    Raises TypeError for what is no str, and ValueError for a scope that is reserved for users.
    """
    if not isinstance(resource, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f'expected resource such as "https://vault.azure.net", got {type(resource).__name__}')
    stripped = resource.removesuffix(_DEFAULT_SCOPE)
    if stripped.casefold() in RESERVED:  # looked up like no scope at all, which any token covers
        raise ValueError(f'expected resource such as "https://vault.azure.net", got {resource!r}, which is for users')
    return stripped


def pause_before_retry(source: Source, status: int, sent: int) -> float | None:
    """Return the seconds after which to ask again, when `sent` requests were sent again before; None: not again."""
    pauses = _pauses(source, status)
    return pauses[sent] if sent < len(pauses) else None


def passes_by_itself(source: Source, status: int) -> bool:
    """Tell whether a refusal with this status is one after which it is worth to ask again."""
    return status >= 500 or len(_pauses(source, status)) > 0


def _by_msi_endpoint(variables: Mapping[str, str]) -> Surroundings:
    endpoint, secret = variables["MSI_ENDPOINT"], variables.get("MSI_SECRET", "")
    if not secret:
        return Surroundings("cloud_shell", endpoint, "MSI_ENDPOINT")
    client_id = variables.get("DEFAULT_IDENTITY_CLIENT_ID", "")
    return Surroundings("machine_learning", endpoint, "MSI_ENDPOINT", secret, client_id=client_id)


def _check_endpoint(place: Surroundings) -> None:
    url = place.url
    # Plain http to a link-local address, such as IMDS: no router passes it on (RFC 3927, section 7), so that it goes no
    # further than this host and its link. All other rules hold for it as for https.
    if place.source != "service_fabric" and _is_link_local(url):
        url = "https" + url.removeprefix("http")
    try:
        scheme = split_url(url, place.named_by).scheme
    except ValueError as error:
        raise _wrong_endpoint(str(error)) from None
    if place.source == "service_fabric" and scheme != "https":
        raise _wrong_endpoint(f"expected {place.named_by} that starts with https://, since its certificate is known")


def _is_link_local(url: str) -> bool:
    import ipaddress

    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and ipaddress.IPv4Address(parts.hostname or "").is_link_local
    except ValueError:
        return False


def _check_proofs(place: Surroundings) -> None:
    if place.secret and not _VISIBLE.fullmatch(place.secret):
        raise _wrong_endpoint(f"expected the secret beside {place.named_by} to be visible ASCII characters")
    if place.thumbprint and not _THUMBPRINT.fullmatch(place.thumbprint):
        raise _wrong_endpoint("expected IDENTITY_SERVER_THUMBPRINT to be 40 hexadecimal digits")


def _check_identity(source: Source, kind: str) -> None:
    if not kind or kind in WAYS[source].names:
        return
    if source == "machine_learning":
        raise ClientError(
            "invalid_managed_identity_id_type",
            f"expected the client_id of a user-assigned identity, which is all that {source} knows, got its {kind}",
        )
    if source == "service_fabric":
        raise ClientError(
            "user_assigned_managed_identity_not_configurable_at_runtime",
            "expected SystemAssignedManagedIdentity(), since Service Fabric has one identity for each application, "
            "which its manifest names",
        )
    raise ClientError(
        "user_assigned_managed_identity_not_supported",
        f"expected SystemAssignedManagedIdentity(), since {source} knows no user-assigned identities",
    )


def _wrong_endpoint(message: str) -> ClientError:
    return ClientError(
        "invalid_managed_identity_endpoint",
        f"{message}; mend the environment of this process (http:// is for loopback hosts and 169.254.0.0/16)",
    )


_EACH_SECOND = (1.0, 1.0, 1.0)
_DOUBLED = (1.0, 2.0, 4.0)
_WHILE_IMDS_IS_UPDATED = (10.0,) * 7  # it says that it may take up to 70 seconds


def _pauses(source: Source, status: int) -> tuple[float, ...]:
    # MSAL.NET's rules for retries.
    if source != "imds":
        return _EACH_SECOND if status in {404, 408, 429, 500, 503, 504} else ()
    if status == 410:
        return _WHILE_IMDS_IS_UPDATED
    return _DOUBLED if status in {404, 408, 429} or 500 <= status <= 599 else ()
