"""A token service's time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, final

from entra_async.config import Clock
from entra_async.rules.http.skew import ClockRange, clock_range, offset_s, read_date

__all__ = ("ServiceTime",)

_REMEMBERED: Final = 8


@final
class ServiceTime:
    """
    The local clock, corrected by the ``Date`` of a service's responses; uncorrected until the first of them.

    Args:
        clock: The local clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spans: deque[ClockRange] = deque(maxlen=_REMEMBERED)

    @property
    def offset_s(self) -> float:
        """Seconds by which the service is ahead of us, as far as is known."""
        return offset_s(self._spans)

    def now(self) -> float:
        """Return seconds since the epoch by the service's clock."""
        return self._clock.now() + self.offset_s

    def observe(self, headers: Mapping[str, str], *, sent_at: float) -> None:
        """
        Take the ``Date`` of a response that has just arrived.

        Args:
            headers: Of the response; lookups ignore case.
            sent_at: When the request was sent, by our clock.
        """
        date = read_date(headers.get("Date"))
        if date is not None:
            self._spans.append(clock_range(date=date, sent_at=sent_at, received_at=self._clock.now()))
