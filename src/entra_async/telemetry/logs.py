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

    What went well is written at DEBUG, what did not at WARNING: an attempt without an answer, a question that brought
    no token, a token that was refused, a store that failed, a gate that was closed. The event itself is the record's
    ``event``, for handlers that want its fields.

    Args:
        logger: Where to; by default the logger ``entra_async``.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("entra_async")

    def __call__(self, event: Event) -> None:
        """Write an event."""
        level = logging.WARNING if event.is_trouble else logging.DEBUG
        if self._logger.isEnabledFor(level):
            told = ", ".join(
                f"{field.name}={_brief(value)}"
                for field in fields(event)
                if (value := getattr(event, field.name)) is not None
            )
            self._logger.log(level, "%s: %s", type(event).__name__, told, extra={"event": event})


def _brief(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
