"""The clock skew between a service and this machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

__all__ = ("ClockRange", "clock_range", "offset_s", "read_date")

_RESOLUTION_S: Final = 1.0  # of a Date header: RFC 9110, section 6.6.1


class ClockRange(NamedTuple):
    """The clock skew by one response: the service is so many seconds ahead of us, at least and at most."""

    least_s: float
    most_s: float


def read_date(value: str | None) -> float | None:
    """Return the seconds since the epoch of a ``Date`` header, or ``None`` if it cannot be read."""
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


def clock_range(*, date: float, sent_at: float, received_at: float) -> ClockRange:
    """
    Return how far the service may be ahead.

    Its ``Date``, cut to the second, is of some moment between our sending and our receiving.

    Args:
        date: The ``Date``, in seconds since the epoch.
        sent_at: By our clock.
        received_at: By our clock.
    """
    return ClockRange(date - max(sent_at, received_at), date + _RESOLUTION_S - sent_at)


def offset_s(spans: Iterable[ClockRange]) -> float:
    """
    Return how far the service is ahead, as little as the responses allow: 0 as long as the clocks may agree.

    Args:
        spans: Oldest first. One that contradicts those before it means that a clock was set: they count no more.
    """
    least_s, most_s = float("-inf"), float("inf")
    for span in spans:
        least_s, most_s = max(least_s, span.least_s), min(most_s, span.most_s)
        if least_s > most_s:
            least_s, most_s = span
    if least_s > 0:
        return least_s
    return min(most_s, 0.0)
