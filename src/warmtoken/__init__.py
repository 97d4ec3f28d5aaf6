"""OAuth 2.0 / OpenID Connect tokens, silently, from a cache that all worker processes of a host share."""

from typing import TYPE_CHECKING, Any

from warmtoken.application import PublicClientApplication
from warmtoken.cache.token_cache import TokenCache
from warmtoken.errors import (
    CacheCorruptError,
    CacheError,
    CacheFullError,
    CacheLockedError,
    CacheRefusedError,
    ClientError,
    ProtocolError,
    ServiceError,
    ThrottledError,
    TransportError,
    UiRequiredError,
    WarmTokenError,
)
from warmtoken.models import Account, AuthenticationResult, ResultMetadata

if TYPE_CHECKING:
    from warmtoken.confidential_application import ConfidentialClientApplication
    from warmtoken.credentials import (
        AppTokenProvider,
        AppTokenProviderParameters,
        AppTokenProviderResult,
        ClientAssertion,
        ClientCertificate,
        ClientSecret,
    )
    from warmtoken.identities import SystemAssignedManagedIdentity, UserAssignedManagedIdentity
    from warmtoken.managed_identity import ManagedIdentityApplication
    from warmtoken.notices import AuthCodeFlow, BackgroundRefresh, DeviceCode, LongRunningSession, TenantProfile

# Names that many programs never use: their modules are loaded when they are first asked for.
_LATE = {
    "AppTokenProvider": "credentials",
    "AppTokenProviderParameters": "credentials",
    "AppTokenProviderResult": "credentials",
    "AuthCodeFlow": "notices",
    "BackgroundRefresh": "notices",
    "ClientAssertion": "credentials",
    "ClientCertificate": "credentials",
    "ClientSecret": "credentials",
    "ConfidentialClientApplication": "confidential_application",
    "DeviceCode": "notices",
    "LongRunningSession": "notices",
    "ManagedIdentityApplication": "managed_identity",
    "SystemAssignedManagedIdentity": "identities",
    "TenantProfile": "notices",
    "UserAssignedManagedIdentity": "identities",
}

__version__ = "0.1.0"

__all__ = [
    "Account",
    "AppTokenProvider",
    "AppTokenProviderParameters",
    "AppTokenProviderResult",
    "AuthCodeFlow",
    "AuthenticationResult",
    "BackgroundRefresh",
    "CacheCorruptError",
    "CacheError",
    "CacheFullError",
    "CacheLockedError",
    "CacheRefusedError",
    "ClientAssertion",
    "ClientCertificate",
    "ClientError",
    "ClientSecret",
    "ConfidentialClientApplication",
    "DeviceCode",
    "LongRunningSession",
    "ManagedIdentityApplication",
    "ProtocolError",
    "PublicClientApplication",
    "ResultMetadata",
    "ServiceError",
    "SystemAssignedManagedIdentity",
    "TenantProfile",
    "ThrottledError",
    "TokenCache",
    "TransportError",
    "UiRequiredError",
    "UserAssignedManagedIdentity",
    "WarmTokenError",
]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
