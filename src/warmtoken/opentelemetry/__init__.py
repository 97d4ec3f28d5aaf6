"""Figures of caches, and of requests to providers, for OpenTelemetry (extra `opentelemetry`; docs/operation.md)."""

from warmtoken.opentelemetry.caches import observe
from warmtoken.opentelemetry.requests import AsyncMeasuredTransport, MeasuredTransport

__all__ = ["AsyncMeasuredTransport", "MeasuredTransport", "observe"]
