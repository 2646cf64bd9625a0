"""Events that a Session emits, and listeners for logs and OpenTelemetry."""

from __future__ import annotations

from entra_async.telemetry.events import (
    Event,
    Exchange,
    Listener,
    PagingRestarted,
    ResyncBegun,
    StoreUsed,
    Throttled,
    TokenAsked,
    TokenRefused,
)

__all__ = (
    "Event",
    "Exchange",
    "Listener",
    "PagingRestarted",
    "ResyncBegun",
    "StoreUsed",
    "Throttled",
    "TokenAsked",
    "TokenRefused",
)
