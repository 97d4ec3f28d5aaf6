"""OAuth 2.0 / OpenID Connect tokens, silently, from a cache that all worker processes of a host share."""

from warmtoken.application import ConfidentialClientApplication, PublicClientApplication
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import (
    CacheError,
    ClientError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)
from warmtoken.models import (
    Account,
    AuthenticationResult,
    BackgroundRefresh,
    ClientAssertion,
    ClientCertificate,
    ClientSecret,
    DeviceCode,
    TenantProfile,
)

__version__ = "0.1.0"

__all__ = [
    "Account",
    "AuthenticationResult",
    "BackgroundRefresh",
    "CacheError",
    "ClientAssertion",
    "ClientCertificate",
    "ClientError",
    "ClientSecret",
    "ConfidentialClientApplication",
    "DeviceCode",
    "ProtocolError",
    "PublicClientApplication",
    "ServiceError",
    "TenantProfile",
    "ThrottledError",
    "TokenCache",
    "TransportError",
    "UiRequiredError",
    "WarmTokenError",
]
