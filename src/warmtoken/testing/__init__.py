"""For tests of programs that use warmtoken: an identity provider, a scripted browser, a movable clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmtoken.testing.clock import Clock
    from warmtoken.testing.control import IdentityProviderControl
    from warmtoken.testing.counters import Counters, TokenRequest
    from warmtoken.testing.provider import IdentityProvider
    from warmtoken.testing.user_agent import UserAgent

__all__ = ["Clock", "Counters", "IdentityProvider", "IdentityProviderControl", "TokenRequest", "UserAgent"]

_HOMES = {
    "Clock": "clock",
    "Counters": "counters",
    "IdentityProvider": "provider",
    "IdentityProviderControl": "control",
    "TokenRequest": "counters",
    "UserAgent": "user_agent",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a worker process that only moves a clock need not load an HTTP server."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
