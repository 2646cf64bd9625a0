"""Events that a Session emits, and listeners for logs and OpenTelemetry."""

from __future__ import annotations

from entra_async.telemetry.events import (
    Event,
    Listener,
    PagingRestarted,
    RequestFinished,
    ResyncStarted,
    StoreUsed,
    Throttled,
    TokenRejected,
    TokenRequested,
)

__all__ = (
    "Event",
    "Listener",
    "PagingRestarted",
    "RequestFinished",
    "ResyncStarted",
    "StoreUsed",
    "Throttled",
    "TokenRejected",
    "TokenRequested",
)
