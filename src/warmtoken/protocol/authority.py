"""Authorities: which URLs may issue tokens, under which name their tokens are cached."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

AuthorityKind = Literal["entra", "oidc"]

MAX_URL = 2048
TENANTLESS = frozenset({"common", "organizations"})


class EntraCloud(NamedTuple):
    """The names of one Entra cloud: tokens issued under one are good under all."""

    hosts: tuple[str, ...]
    preferred_cache: str
    issuer_host: str


def _cloud(*hosts: str, preferred_cache: str = "") -> EntraCloud:
    return EntraCloud(hosts, preferred_cache or hosts[0], hosts[0])


CLOUDS = (
    _cloud(
        "login.microsoftonline.com",
        "login.windows.net",
        "login.microsoft.com",
        "sts.windows.net",
        preferred_cache="login.windows.net",
    ),
    _cloud("login.partner.microsoftonline.cn", "login.chinacloudapi.cn"),
    _cloud("login.microsoftonline.us", "login.usgovcloudapi.net"),
    _cloud("login-us.microsoftonline.com"),
    _cloud("login.microsoftonline.de"),
    _cloud("login.windows-ppe.net", "sts.windows-ppe.net", "login.microsoft-ppe.com"),
    _cloud("login.sovcloud-identity.fr"),
    _cloud("login.sovcloud-identity.de"),
    _cloud("login.sovcloud-identity.sg"),
)

_CLOUD_OF_HOST = {host: cloud for cloud in CLOUDS for host in cloud.hosts}
_VISIBLE = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_HOST_NAME = re.compile(r"(?!-)(?:[a-z0-9_-]{1,63}\.)*(?!0x)[a-z0-9_-]*[a-z][a-z0-9_-]*")
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,252}")
_ENTRA_PATH = re.compile(r"/([^/]+)(?:/v2\.0)?/?")


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues the tokens: a tenant of Microsoft Entra ("entra"), or any OpenID Connect issuer ("oidc").

    `url` has no trailing slash; `environment` is host[:port] in lower case; `tenant` is "" for "oidc".
    `cache_name` is what cache keys hold: one name for all aliases of an Entra cloud, else the issuer's URL.
    """

    kind: AuthorityKind
    url: str
    environment: str
    tenant: str
    cache_name: str

    def issues_for(self, environment: str) -> bool:
        """Tell whether accounts of this environment are this authority's: the same host, or an alias of its cloud."""
        host = environment.lower()
        return host == self.environment or (self.kind == "entra" and _is_alias(host, self.environment))

    @property
    def is_tenantless(self) -> bool:
        """True for Entra's `common` and `organizations`, which stand for the tenant of whoever signs in."""
        return self.kind == "entra" and self.tenant in TENANTLESS

    @property
    def metadata_url(self) -> str:
        """Where the provider's metadata are (OpenID Connect Discovery 1.0, section 4)."""
        version = "/v2.0" if self.kind == "entra" else ""
        return f"{self.url}{version}/.well-known/openid-configuration"

    @property
    def issuer_template(self) -> str:
        """The `iss` of id tokens: for Entra with a literal `{tenantid}`, else the issuer's URL."""
        if self.kind == "oidc":
            return self.url
        return f"https://{_CLOUD_OF_HOST[self.environment].issuer_host}/{{tenantid}}/v2.0"

    def with_tenant(self, tenant: str) -> Authority:
        """Return the authority of another tenant, an id or a domain name; raises ValueError where there are none."""
        if self.kind == "oidc":
            raise ValueError(f"expected no tenant, since {self.url} is no Microsoft Entra authority, got {tenant!r}")
        checked = _checked_tenant(tenant)
        return replace(self, url=f"https://{self.environment}/{checked}", tenant=checked)


def _is_alias(first: str, second: str) -> bool:
    return first in _CLOUD_OF_HOST and _CLOUD_OF_HOST[first] is _CLOUD_OF_HOST.get(second)


def parse_authority(url: str) -> Authority:
    """Return the authority that a URL names.

    Raises TypeError for what is no string, and ValueError for a URL that is not https (http: loopback hosts only),
    that has user info, a query, a fragment, `..`, a backslash, blanks or no host, and for an Entra host without tenant.
    """
    parts = split_url(url, "an authority")
    if parts.query or "?" in url:
        raise ValueError("expected an authority without a query")
    environment = _environment(parts)
    if parts.hostname in _CLOUD_OF_HOST:
        return _entra(environment, parts.path)
    canonical = f"{parts.scheme}://{environment}{parts.path.rstrip('/')}"
    return Authority("oidc", canonical, environment, "", canonical)


def request_authority(configured: Authority, home_account_id: str | None, tenant_id: str | None) -> Authority:
    """Return the authority for one request: the tenant asked for, else the account's home tenant for `common`.

    `consumers` and tenants that are named are never replaced; an override with `common` or `organizations` is
    ignored. Raises ValueError for a tenant that is none, and for any tenant at an issuer that is not Entra.
    """
    if configured.kind == "oidc":
        return configured if tenant_id is None else configured.with_tenant(tenant_id)
    if tenant_id is not None and tenant_id.lower() not in TENANTLESS:
        return configured.with_tenant(tenant_id)
    _, dot, home_tenant = (home_account_id or "").rpartition(".")
    if configured.is_tenantless and dot and home_tenant:
        return configured.with_tenant(home_tenant)
    return configured


def split_url(url: str, what: str) -> SplitResult:
    """Return the parts of a URL that a token or a user may be sent to; `what` names it in the message.

    Raises TypeError and ValueError as `parse_authority` does, but allows a query.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"expected {what} as a string, got {type(url).__name__}")
    if not _VISIBLE.fullmatch(url):  # before urlsplit, which drops tabs and line breaks
        raise ValueError(f"expected {what} of visible ASCII characters without blanks and backslashes")
    if len(url) > MAX_URL:
        raise ValueError(f"expected {what} of at most {MAX_URL} characters, got {len(url)}")
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or "://" not in url:
        raise ValueError(f"expected {what} that starts with https://")
    _check_host(parts, what)
    if "@" in parts.netloc:
        raise ValueError(f"expected {what} without user name and password")
    if "#" in url:
        raise ValueError(f"expected {what} without a fragment")
    _check_path(parts.path, what)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"expected {what} that starts with https://; http:// is for loopback hosts only")
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host is 127.0.0.0/8, ::1 or localhost (RFC 8252, section 7.3)."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_host(parts: SplitResult, what: str) -> None:
    host = parts.hostname or ""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError(f"expected {what} with a port from 1 to 65535, or without one")
    if not _HOST_NAME.fullmatch(host) and not _is_address(host):
        raise ValueError(f"expected {what} with a host name; write names in other scripts as punycode")


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False  # also 127.1 and 2130706433, which resolvers take for addresses
    return "%" not in host


def _check_path(path: str, what: str) -> None:
    decoded = unquote(path)
    if not _VISIBLE.fullmatch(decoded or "/") or decoded.count("/") != path.count("/"):
        raise ValueError(f"expected {what} without encoded slashes, backslashes, blanks and control characters")
    if {".", ".."} & set(unquote(decoded).split("/")) or "//" in path:
        raise ValueError(f"expected {what} without empty, `.` and `..` parts in its path")


def _environment(parts: SplitResult) -> str:
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return named if parts.port in {None, default} else f"{named}:{parts.port}"


def _entra(environment: str, path: str) -> Authority:
    if environment not in _CLOUD_OF_HOST:
        raise ValueError(f"expected Microsoft Entra at its own port 443, got {environment}")
    if not path.strip("/"):
        raise ValueError(
            f"expected a tenant after https://{environment}/: a tenant id, a domain name, "
            "common, organizations or consumers"
        )
    match = _ENTRA_PATH.fullmatch(path)
    if not match:
        raise ValueError(f"expected nothing but a tenant after https://{environment}/")
    tenant = _checked_tenant(match[1])
    cache_name = _CLOUD_OF_HOST[environment].preferred_cache
    return Authority("entra", f"https://{environment}/{tenant}", environment, tenant, cache_name)


def _checked_tenant(tenant: str) -> str:
    if not _TENANT.fullmatch(tenant) or tenant.lower() == "v2.0":
        raise ValueError(f"expected a tenant id or a domain name, got {tenant!r}")
    return tenant.lower()
