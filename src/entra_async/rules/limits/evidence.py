"""
What one run of requests, from a pause to the next refusal, tells of the token bucket behind. Pure.

A bucket that holds ``burst`` seconds' worth and is refilled at ``rate`` lets no more than ``rate * (w + burst)`` units
through in any ``w`` seconds, and just as many in those that lead from full to empty. A refusal says that it is empty
now: so the greatest ``units / (w + burst)`` over all stretches that end at a refusal is the rate.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final, NamedTuple, final

__all__ = ("Run", "Stretch", "rate_of_both")

_MARK_EVERY_S: Final = 5.0
_STRAYS: Final = 5
_MARKS: Final = 64  # more than five minutes: of older times a limit may be another


class Stretch(NamedTuple):
    """
    A time at whose end the bucket was empty.

    Attributes:
        units: What was accepted in it.
        width_s: How long it was.
        credit_s: How many seconds' worth the bucket held at its beginning, it is assumed.
    """

    units: float
    width_s: float
    credit_s: float

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.units / (self.width_s + self.credit_s)

    @property
    def doubt(self) -> float:
        """What share of the estimate rests on the assumption."""
        return self.credit_s / (self.width_s + self.credit_s)


@final
class Run:
    """
    What became of the requests between two pauses.

    Args:
        since: When it began; requests sent before belong to another run.
        gap_s: For how long the bucket had been filled before.
        drained: Units refused before, which may have been taken from the bucket as well.

    Attributes:
        units: What was accepted.
        refused: What was not.
        last_refused: When that was, last.
    """

    def __init__(self, since: float, gap_s: float = inf, drained: float = 0.0) -> None:
        self.since: Final = since
        self.gap_s: Final = gap_s
        self.drained: Final = drained
        self.units = 0.0
        self.refused = 0.0
        self.last_refused = -inf
        self._refusals = 0
        self._first_refused = inf
        self._accepted_later = 0.0
        self._last = -inf
        self._marks: deque[tuple[float, float]] = deque(maxlen=_MARKS)

    def accept(self, seen: float, cost: float) -> None:
        """Count what the service accepted when it saw it."""
        if not self._marks:
            self._marks.append((seen, 0.0))
        self.units += cost
        self._last = max(self._last, seen)
        if seen > self._first_refused:
            self._accepted_later += cost
        if seen - self._marks[-1][0] >= _MARK_EVERY_S:
            self.mark(seen)

    def refuse(self, seen: float, cost: float) -> None:
        """Count what the service refused when it saw it."""
        self.refused += cost
        self._refusals += 1
        self.last_refused = max(self.last_refused, seen)
        self._first_refused = min(self._first_refused, seen)

    def mark(self, now: float) -> None:
        """Let a stretch begin now."""
        self._marks.append((now, self.units))

    @property
    def is_stray(self) -> bool:
        """Whether it may not have been about the rate: one refusal, or a few with far more accepted after the first."""
        return self._refusals == 1 or (self._refusals <= _STRAYS and self._accepted_later > 2 * self.refused)

    def tightest(self, burst_s: float) -> Stretch:
        """
        Return the stretch that lets the rate be no lower, if the bucket holds *burst_s* seconds' worth.

        It ends with what was accepted last: at that moment the bucket became empty, whether or not what is refused is
        taken from it, too.
        """
        first = min(burst_s, self.gap_s)
        credits_s = (first, *[burst_s] * (len(self._marks) - 1))
        stretches = (
            Stretch(self.units - units, max(0.0, self._last - at), credit_s)
            for (at, units), credit_s in zip(self._marks, credits_s, strict=True)
        )
        return max(stretches, key=lambda stretch: stretch.rate)

    def drained_rate(self) -> float:
        """Return the rate, if what was refused before was taken from the bucket and it then was filled for the gap."""
        return (self.units + self.drained) / (self._last - self._marks[0][0] + self.gap_s)


def rate_of_both(one: Stretch, two: Stretch, *, least: float) -> float:
    """
    Return the rate at which two stretches emptied the same bucket, whatever it holds: what the second one had more.

    Args:
        one: The earlier one.
        two: The later one.
        least: What is known of the rate otherwise.
    """
    more, longer = two.units - one.units, two.width_s - one.width_s
    if more * longer > 0:
        return min(two.rate, max(least, more / longer))
    # They contradict each other: less came in more time, or more in less.
    return least if more <= 0 else two.rate
