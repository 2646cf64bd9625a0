"""
What the requests between two pauses tell of the token bucket behind them. Pure.

A bucket that holds ``burst`` seconds' worth and is refilled at ``rate`` accepts no more than ``rate * (w + burst)``
units in any ``w`` seconds, and just as many in those that lead from full to empty. A 429 says that it is empty now: so
the greatest ``units / (w + burst)`` over all intervals that end at a 429 is the rate.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final, NamedTuple, final

__all__ = ("Interval", "Observations", "rate_from_two")

_START_EVERY_S: Final = 5.0
_OUTLIERS: Final = 5
_STARTS: Final = 64  # more than five minutes: of older times a limit may be another


class Interval(NamedTuple):
    """
    A time at whose end the bucket was empty.

    Attributes:
        units: What was accepted in it.
        length_s: How long it was.
        credit_s: How many seconds' worth the bucket is assumed to have held at its beginning.
    """

    units: float
    length_s: float
    credit_s: float

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.units / (self.length_s + self.credit_s)

    @property
    def uncertainty(self) -> float:
        """The share of the rate that rests on the assumed credit."""
        return self.credit_s / (self.length_s + self.credit_s)


@final
class Observations:
    """
    Counts the units accepted and refused between two pauses.

    Args:
        since: When they begin; requests sent before belong to other observations.
        refill_s: For how long the bucket had been refilled before.
        overdraft: Units refused before, which may have been taken from the bucket as well.

    Attributes:
        units: Units accepted.
        refused: Units refused.
        last_refused: When units were refused, last.
    """

    def __init__(self, since: float, refill_s: float = inf, overdraft: float = 0.0) -> None:
        self.since: Final = since
        self.refill_s: Final = refill_s
        self.overdraft: Final = overdraft
        self.units = 0.0
        self.refused = 0.0
        self.last_refused = -inf
        self._refusals = 0
        self._first_refused = inf
        self._accepted_later = 0.0
        self._last = -inf
        self._next_start = -inf
        self._starts: deque[tuple[float, float]] = deque(maxlen=_STARTS)

    def accept(self, seen: float, cost: float) -> None:
        """Count a request that the service accepted when it saw it."""
        if self._next_start == -inf:
            self.start_interval(seen)
        self.units += cost
        if seen > self._last:
            self._last = seen
        if seen > self._first_refused:
            self._accepted_later += cost
        if seen >= self._next_start:
            self.start_interval(seen)

    def refuse(self, seen: float, cost: float) -> None:
        """Count a request that the service refused when it saw it."""
        self.refused += cost
        self._refusals += 1
        self.last_refused = max(self.last_refused, seen)
        self._first_refused = min(self._first_refused, seen)

    def start_interval(self, now: float) -> None:
        """Let an interval begin now."""
        self._starts.append((now, self.units))
        self._next_start = now + _START_EVERY_S

    @property
    def is_outlier(self) -> bool:
        """Whether the rate may not have been the cause: one 429, or a few with far more accepted after the first."""
        return self._refusals == 1 or (self._refusals <= _OUTLIERS and self._accepted_later > 2 * self.refused)

    def busiest(self, burst_s: float) -> Interval:
        """
        Return the interval of the highest rate, if the bucket holds *burst_s* seconds' worth.

        It ends with what was accepted last: at that moment the bucket became empty, whether or not what is refused is
        taken from it, too.
        """
        first = min(burst_s, self.refill_s)
        credits_s = (first, *[burst_s] * (len(self._starts) - 1))
        intervals = (
            Interval(self.units - units, max(0.0, self._last - at), credit_s)
            for (at, units), credit_s in zip(self._starts, credits_s, strict=True)
        )
        return max(intervals, key=lambda interval: interval.rate)

    def overdrawn_rate(self) -> float:
        """Return the rate, if units refused before were taken from the bucket, which then was refilled."""
        return (self.units + self.overdraft) / (self._last - self._starts[0][0] + self.refill_s)


def rate_from_two(earlier: Interval, later: Interval, *, least: float) -> float:
    """
    Return the rate of the bucket that two intervals emptied, whatever it holds: extra units per extra second.

    Args:
        earlier: The first interval.
        later: The second one.
        least: A lower bound that is known otherwise.
    """
    more, longer = later.units - earlier.units, later.length_s - earlier.length_s
    if more * longer > 0:
        return min(later.rate, max(least, more / longer))
    # They contradict each other: fewer units in more time, or more in less.
    return least if more <= 0 else later.rate
