"""The default transports for endpoints on this host and its link: no proxy in between, one certificate if need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warmtoken.default_transport import AsyncDefaultTransport, DefaultTransport

if TYPE_CHECKING:
    import ssl


class AsyncDirectTransport(AsyncDefaultTransport):
    """Sends as AsyncDefaultTransport does, but never by a proxy, which could read the tokens.

    `thumbprint` is that of the only certificate with which a server is believed, 40 hexadecimal digits; "": servers
    are believed as AsyncDefaultTransport does it.
    """

    _uses_proxies = False

    def __init__(self, thumbprint: str = "") -> None:
        super().__init__()
        self._thumbprint = thumbprint

    def _new_ssl_context(self) -> ssl.SSLContext:
        if not self._thumbprint:
            return super()._new_ssl_context()
        from warmtoken.pinned_tls import PinnedContext

        return PinnedContext.of(self._thumbprint)


class DirectTransport(DefaultTransport):
    """The same for threads."""

    def __init__(self, thumbprint: str = "") -> None:
        super().__init__()
        self._thumbprint = thumbprint

    def _new_transport(self) -> AsyncDefaultTransport:
        return AsyncDirectTransport(self._thumbprint)
