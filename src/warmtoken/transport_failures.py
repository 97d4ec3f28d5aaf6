"""Says in a few words why a request of the default transports got no reply."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import httpx2


def what_happened(error: httpx2.HTTPError) -> str:
    """Return why there is no reply, without what the server sent."""
    import httpx2

    cause = _os_error(error)
    if cause is not None and isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout)):
        return f"no connection: {reason_of(cause)}"
    if isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)):
        return f"no connection: {error}"
    if isinstance(error, httpx2.NetworkError):
        return "the connection was cut before the reply was complete"
    if isinstance(error, httpx2.RemoteProtocolError):
        return "the server closed the connection early, or its reply is not HTTP"
    if isinstance(error, httpx2.DecodingError):
        return "the body of the reply is not compressed as its Content-Encoding says"
    return f"the request could not be sent ({type(error).__name__})"


def reason_of(cause: OSError) -> str:
    """Return the system's, or TLS's, words for an error."""
    import ssl

    # TLS and name errors have numbers of their own and good words; asyncio's words for the rest are poor.
    if isinstance(cause, ssl.SSLError) or cause.errno is None or cause.errno <= 0:
        return str(cause)
    return os.strerror(cause.errno)


def _os_error(error: BaseException) -> OSError | None:
    """Return the innermost OSError (which TLS and name errors are) that led to this error."""
    found: OSError | None = None
    step: BaseException | None = error
    while step is not None:
        if isinstance(step, OSError):
            found = step
        step = _inner_error(step)
    return found


def _inner_error(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error.__cause__ or error.__context__
