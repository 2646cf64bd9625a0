"""What a Session tells about its work, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ("Exchange", "Listener")


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One attempt of one request has ended. It holds no secret: no query, header or body.

    Attributes:
        method: HTTP method.
        url: Where it went, without its query.
        status: HTTP status, or ``None`` when no complete answer arrived.
        duration_s: Seconds from sending to the last byte; the wait for a place in the pool is not in it.
    """

    method: str
    url: str
    status: int | None
    duration_s: float


Listener = Callable[[Exchange], None]
"""Called on the event loop after each attempt. It must return at once; what it raises ends the request."""
