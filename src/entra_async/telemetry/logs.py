"""A Session's events as log records."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import final

from entra_async.telemetry.events import Event

__all__ = ("LoggingListener",)


@final
class LoggingListener:
    """
    Writes each event to a logger: ``Session(listener=LoggingListener())``.

    Warnings are written at WARNING, other events at DEBUG. A warning is an attempt without a response, a token request
    that failed, a rejected token, a failed store, a restarted query or a paused limiter. The event itself is the
    record's ``event``, for handlers that want its fields.

    Args:
        logger: By default the logger ``entra_async``.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("entra_async")

    def __call__(self, event: Event) -> None:
        """Write an event."""
        level = logging.WARNING if event.is_warning else logging.DEBUG
        if self._logger.isEnabledFor(level):
            values = ", ".join(
                f"{field.name}={_brief(value)}"
                for field in fields(event)
                if (value := getattr(event, field.name)) is not None
            )
            self._logger.log(level, "%s: %s", type(event).__name__, values, extra={"event": event})


def _brief(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
