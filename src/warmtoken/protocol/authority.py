"""Authorities: which URLs may issue tokens, under which name their tokens are cached."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

AuthorityKind = Literal["entra", "b2c", "ciam", "dsts", "adfs", "oidc"]

MAX_URL = 2048
TENANTLESS = frozenset({"common", "organizations"})
ENTRA_DIALECT = frozenset({"entra", "b2c", "ciam", "dsts"})
CIAM_SUFFIX = ".ciamlogin.com"
B2C_SUFFIXES = (".b2clogin.com", ".b2clogin.cn", ".b2clogin.us", ".b2clogin.de")


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
_HOST_NAME = re.compile(r"(?!-)(?:[a-z0-9_-]{1,63}\.)*(?!0x)[a-z0-9_-]*[a-z][a-z0-9_-]*")
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,252}")
_ENTRA_PATH = re.compile(r"/([^/]+)(?:/v2\.0)?/?")
# Compiled at their first use: most programs never meet such an authority.
_BRACKETED = r"\[[0-9A-Fa-f:.]+\](?::[0-9]*)?"
_B2C_HOST_PATH = r"((?i:/tfp))?/(?!(?i:tfp)/)([^/]+)/([A-Za-z0-9_-]{1,128})(?:/v2\.0)?/?"
_B2C_PATH = rf"(/tfp)/({_TENANT.pattern})/([A-Za-z0-9_-]{{1,128}})(?:/v2\.0)?/?"
_DSTS_PATH = rf"/dstsv2/({_TENANT.pattern})(?:/v2\.0)?/?"
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues the tokens; `kind` says by whose rules, as MSAL.NET tells them apart.

    "entra": a tenant of Microsoft Entra. "b2c": a user flow of an Azure AD B2C tenant. "ciam": Entra External ID.
    "dsts": Microsoft's own service of that name. "adfs": AD FS. "oidc": any other issuer, also on a host that looks
    like Entra's but is not in `CLOUDS`: no host is asked whether it is one (MSAL's instance discovery), its issuer
    must match instead. `url` has no trailing slash; `environment` is host[:port] in lower case; `tenant` is "" for
    "adfs" and "oidc". `cache_name` is what cache keys hold: one name for all aliases of an Entra cloud, the host for
    "ciam" and "dsts", where the tenant tells tokens apart, else the URL, which for "b2c" names the user flow.
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
    def speaks_entra(self) -> bool:
        """Whether the provider speaks Entra's dialect: client_info, scopes in each request, secrets in the body."""
        return self.kind in ENTRA_DIALECT

    @property
    def takes_tenants(self) -> bool:
        """Whether another tenant may be asked for; a B2C user flow belongs to one, AD FS and others know none."""
        return self.kind in {"entra", "ciam", "dsts"}

    @property
    def is_tenantless(self) -> bool:
        """True for `common` and `organizations`, which stand for the tenant of whoever signs in."""
        return self.tenant in TENANTLESS and self.takes_tenants

    @property
    def account_type(self) -> str:
        """How MSAL's cache calls accounts of this kind of authority."""
        return "MSSTS" if self.speaks_entra else self.kind.upper()

    @property
    def metadata_url(self) -> str:
        """Where the provider's metadata are (OpenID Connect Discovery 1.0, section 4)."""
        version = "/v2.0" if self.speaks_entra else ""
        return f"{self.url}{version}/.well-known/openid-configuration"

    @property
    def issuer_template(self) -> str:
        """The `iss` of id tokens, with a literal `{tenantid}` where the tenant's id stands; mostly the URL.

        Entra External ID names the tenant's id as the host too, whatever the host of the authority.
        """
        if self.kind == "entra":
            return f"https://{_CLOUD_OF_HOST[self.environment].issuer_host}/{{tenantid}}/v2.0"
        if self.kind == "ciam":
            return f"https://{{tenantid}}{CIAM_SUFFIX}/{{tenantid}}/v2.0"
        if self.kind == "b2c":
            return f"{_origin(self.url)}/{{tenantid}}/v2.0/"
        return self.url

    def names_issuer(self, issuer: object) -> bool:
        """Tell whether the metadata found at this authority may name this issuer (Discovery, section 4.3)."""
        if self.kind == "b2c":
            return isinstance(issuer, str) and re.fullmatch(_b2c_issuer(self), issuer) is not None
        # A terminating slash belongs to the issuer, but not to the place of its metadata (Discovery, section 4.1).
        return issuer in (self.issuer_template, self.issuer_template + "/")

    def with_tenant(self, tenant: str) -> Authority:
        """Return the authority of another tenant, an id or a domain name; raises ValueError where there are none."""
        if self.kind == "b2c":
            return self._with_own_tenant(tenant)
        if not self.takes_tenants:
            raise ValueError(f"expected no tenant, since {self.url} is no Microsoft Entra authority, got {tenant!r}")
        checked = _checked_tenant(tenant)
        path, _, _ = self.url.rpartition("/")
        return replace(self, url=f"{path}/{checked}", tenant=checked)

    def in_cloud(self, host: str) -> Authority:
        """Return the authority of the same tenant in the Entra cloud that a host belongs to, at the cloud's first host.

        Raises ValueError for a host of no known cloud.
        """
        cloud = _CLOUD_OF_HOST.get(host)
        if cloud is None:
            raise ValueError(f"expected a host of a known Microsoft Entra cloud, got {host!r}")
        return _entra(cloud.issuer_host, f"/{self.tenant}")

    def _with_own_tenant(self, tenant: str) -> Authority:
        # MSAL.NET ignores the other tenant; whoever asks for its tokens should not get this one's.
        if tenant.lower() == self.tenant:
            return self
        raise ValueError(f"expected no tenant but {self.tenant}, whose user flow {self.url} is, got {tenant!r}")


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _b2c_issuer(authority: Authority) -> str:
    # A user flow's setting says which of two it is (Azure AD B2C, "token compatibility"): the second is the one that
    # OpenID Connect Discovery asks for. Both name the tenant by its id, and the host by which they were asked.
    tenant = authority.tenant if re.fullmatch(_GUID, authority.tenant) else _GUID
    flow = re.escape(authority.url.rpartition("/")[2])
    return rf"{re.escape(_origin(authority.url))}/(?:{tenant}|tfp/{tenant}/(?i:{flow}))/v2\.0/?"


def _is_alias(first: str, second: str) -> bool:
    return first in _CLOUD_OF_HOST and _CLOUD_OF_HOST[first] is _CLOUD_OF_HOST.get(second)


def cloud_name(host: str) -> str | None:
    """Return what cache keys call the Entra cloud that a host belongs to, None for any other host."""
    cloud = _CLOUD_OF_HOST.get(host)
    return None if cloud is None else cloud.preferred_cache


def parse_authority(url: str) -> Authority:
    """Return the authority that a URL names.

    Raises TypeError for what is no string, and ValueError for a URL that is not https (http: loopback hosts only),
    that has user info, a query, a fragment, `..`, a backslash, blanks or no host, and for a host of Entra, Entra
    External ID or Azure AD B2C with another path than theirs. Costs no request.
    """
    parts = split_url(url, "an authority")
    if parts.query or "?" in url:
        raise ValueError("expected an authority without a query")
    host, environment = parts.hostname or "", _environment(parts)
    if host in _CLOUD_OF_HOST:
        return _entra(environment, parts.path)
    if host.endswith(CIAM_SUFFIX):
        return _ciam(environment, parts.path)
    if host.endswith(B2C_SUFFIXES):
        return _b2c_of_microsoft(environment, parts.path)
    return _by_path(f"{parts.scheme}://{environment}", environment, parts.path)


def request_authority(configured: Authority, home_account_id: str | None, tenant_id: str | None) -> Authority:
    """Return the authority for one request: the tenant asked for, else the account's home tenant for `common`.

    The home tenant is what follows the last dot of the id. `consumers` and tenants that are named are never replaced;
    an override with `common` or `organizations` is ignored. Raises ValueError for a tenant that is none, and for any
    other tenant at an authority that takes none.
    """
    if not configured.takes_tenants:
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
    if not _is_visible(url):  # before urlsplit, which drops tabs and line breaks
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


def _is_visible(text: str) -> bool:
    # ASCII without blanks, control characters and backslashes.
    return text.isascii() and text.isprintable() and not {" ", "\\"} & set(text) and text != ""


def _check_host(parts: SplitResult, what: str) -> None:
    host = parts.hostname or ""
    # urlsplit takes what stands between brackets, whatever is before and behind them.
    if "[" in parts.netloc and not (":" in host and re.fullmatch(_BRACKETED, parts.netloc.rpartition("@")[2])):
        raise ValueError(f"expected {what} with an IPv6 address alone in brackets")
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
    if not _is_visible(decoded or "/") or decoded.count("/") != path.count("/"):
        raise ValueError(f"expected {what} without encoded slashes, backslashes, blanks and control characters")
    if {".", ".."} & set(unquote(decoded).split("/")) or "//" in path:
        raise ValueError(f"expected {what} without empty, `.` and `..` parts in its path")


def _environment(parts: SplitResult) -> str:
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return named if parts.port in {None, default} else f"{named}:{parts.port}"


def _entra(environment: str, path: str) -> Authority:
    _check_port(environment)
    if not path.strip("/"):
        raise ValueError(
            f"expected a tenant after https://{environment}/: a tenant id, a domain name, "
            "common, organizations or consumers"
        )
    tenant = _tenant_alone(environment, path)
    cache_name = _CLOUD_OF_HOST[environment].preferred_cache
    return Authority("entra", f"https://{environment}/{tenant}", environment, tenant, cache_name)


def _ciam(environment: str, path: str) -> Authority:
    _check_port(environment)
    name = environment.removesuffix(CIAM_SUFFIX)
    # MSAL: the host alone stands for the tenant that is named like it.
    default = name if re.fullmatch(_GUID, name) else f"{name}.onmicrosoft.com"
    tenant = _tenant_alone(environment, path) if path.strip("/") else default
    return Authority("ciam", f"https://{environment}/{tenant}", environment, tenant, environment)


def _b2c_of_microsoft(environment: str, path: str) -> Authority:
    _check_port(environment)
    match = re.fullmatch(_B2C_HOST_PATH, path)
    if match is None:
        raise ValueError(f"expected a tenant and a user flow after https://{environment}/, such as /tenant/B2C_1_flow")
    return _b2c(f"https://{environment}", environment, match)


def _b2c(origin: str, environment: str, match: re.Match[str]) -> Authority:
    tenant, flow = _checked_tenant(match[2]), match[3].lower()
    url = f"{origin}{'/tfp' if match[1] else ''}/{tenant}/{flow}"
    return Authority("b2c", url, environment, tenant, f"{origin}/tfp/{tenant}/{flow}")


def _by_path(origin: str, environment: str, path: str) -> Authority:
    if path.startswith("/tfp/") and (match := re.fullmatch(_B2C_PATH, path)):
        return _b2c(origin, environment, match)
    if path.startswith("/dstsv2/") and (match := re.fullmatch(_DSTS_PATH, path)):
        tenant = _checked_tenant(match[1])
        return Authority("dsts", f"{origin}/dstsv2/{tenant}", environment, tenant, environment)
    canonical = f"{origin}{path.rstrip('/')}"
    kind: AuthorityKind = "adfs" if canonical == f"{origin}/adfs" else "oidc"
    return Authority(kind, canonical, environment, "", canonical)


def _check_port(environment: str) -> None:
    if ":" in environment:
        raise ValueError(f"expected Microsoft's identity service at its own port 443, got {environment}")


def _tenant_alone(environment: str, path: str) -> str:
    match = _ENTRA_PATH.fullmatch(path)
    if not match:
        raise ValueError(f"expected nothing but a tenant after https://{environment}/")
    return _checked_tenant(match[1])


def _checked_tenant(tenant: str) -> str:
    if not _TENANT.fullmatch(tenant) or tenant.lower() == "v2.0":
        raise ValueError(f"expected a tenant id or a domain name, got {tenant!r}")
    return tenant.lower()
