"""Publishes how long requests to providers take, as OpenTelemetry's conventions for HTTP clients say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TypeAlias
from urllib.parse import urlsplit

from opentelemetry import metrics
from opentelemetry.metrics import MeterProvider

from warmtoken import __version__
from warmtoken.errors import WarmTokenError
from warmtoken.transport import AsyncTransport, HttpRequest, HttpResponse, Transport

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)  # seconds, as recommended there
_METHODS = frozenset({"GET", "POST"})
_PORTS = {"http": 80, "https": 443}

_Attributes: TypeAlias = "dict[str, str | int]"


class _Durations:
    def __init__(self, meter_provider: MeterProvider | None) -> None:
        provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
        self._histogram = provider.get_meter("warmtoken", __version__).create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )

    @contextlib.contextmanager
    def of(self, request: HttpRequest) -> Generator[_Attributes, None, None]:
        attributes, since = _attributes_of(request), time.perf_counter()
        try:
            yield attributes
        except BaseException as error:
            attributes["error.type"] = error.code if isinstance(error, WarmTokenError) else type(error).__qualname__
            raise
        finally:
            self._histogram.record(time.perf_counter() - since, attributes)


def _attributes_of(request: HttpRequest) -> _Attributes:
    # Neither the path, which may name a tenant, nor what follows it.
    url = urlsplit(request.url)
    return {
        "http.request.method": request.method if request.method in _METHODS else "_OTHER",
        "server.address": url.hostname or "",
        "server.port": url.port or _PORTS.get(url.scheme, 0),
    }


def _note_status(attributes: _Attributes, response: HttpResponse) -> HttpResponse:
    attributes["http.response.status_code"] = response.status
    if response.status >= 400:
        attributes["error.type"] = str(response.status)
    return response


class MeasuredTransport:
    """Sends by another transport, such as a DefaultTransport, and publishes how long each request took.

    Each is recorded in the histogram `http.client.request.duration`, with the provider's host and port, the method, and
    the status of the reply or the kind of error. Closing the other transport stays your task.
    """

    def __init__(self, transport: Transport, meter_provider: MeterProvider | None = None) -> None:
        self._transport = transport
        self._durations = _Durations(meter_provider)

    def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """Send as the other transport does, and raise what it raises."""
        with self._durations.of(request) as attributes:
            return _note_status(attributes, self._transport.send(request, timeout=timeout))


class AsyncMeasuredTransport:
    """The same for warmtoken.aio."""

    def __init__(self, transport: AsyncTransport, meter_provider: MeterProvider | None = None) -> None:
        self._transport = transport
        self._durations = _Durations(meter_provider)

    async def send(self, request: HttpRequest, *, timeout: float) -> HttpResponse:
        """Send as the other transport does, and raise what it raises."""
        with self._durations.of(request) as attributes:
            return _note_status(attributes, await self._transport.send(request, timeout=timeout))
