"""
How fast a service may be asked: learned from what it accepts. Pure: no I/O, no clock, no randomness.

Microsoft's limits are token buckets whose size nobody tells: a bucket that holds ``burst`` seconds' worth of requests
and is refilled at a rate. A request that finds it empty is answered 429 and costs a whole ``Retry-After``, so what
counts is to be refused rarely and to learn much from it. Between a full and an empty bucket the service accepts, in
``w`` seconds, ``N = rate * (w + burst)`` units, and never more than that in any stretch of time: so at a refusal
the greatest ``N / (w + burst)`` over all stretches that end there is the rate itself. Requests then go a
little slower than that, evenly, and no other refusal follows. Where one does follow soon, the burst was assumed too
small, and two runs together tell both.

Faster is tried rarely: so that the pauses which failed trials cost stay below some percent of the time.
``docs/decisions/0004-throttle-governor.md`` has the alternatives and what was measured.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling (Retry-After; refused requests count against the limit)
    https://learn.microsoft.com/en-us/graph/throttling-limits (token buckets)
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
    Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016 (rate from what is delivered)
"""

from __future__ import annotations

from collections import deque
from math import exp, inf
from typing import Final, NamedTuple, final

__all__ = ("Pace", "Spacing")

_BURST_S: Final = 1.0  # the smallest usual bucket: assuming less would waste, and more is found out
_MOST_BURST_S: Final = 60.0
_MARGIN: Final = 0.005  # how much slower than estimated
_DOUBT: Final = 0.01  # and how much slower still, by the share of the estimate that rests on an assumed burst
_CREDIT: Final = 0.5  # share of the burst that may be used at once
_LEAST_SLACK_S: Final = 0.02  # timers are no better than that
_FEW: Final = 3.0  # units that tell nothing of a rate
_LONG: Final = 5.0  # pauses; a run longer than that does not depend on the burst any more
_PROOF: Final = 20.0  # pauses that a rate must hold to count as sustained

_STEP: Final = 0.05  # the first trial is that much faster; each one that succeeds doubles it
_MOST_STEP: Final = 1.0
_HOLD: Final = 150.0  # seconds between trials for each second that a failure costs: below 1 %
_HOLD_REDUCED: Final = 15.0  # the same while slower than before: what was there once may come back
_MOST_HOLD_S: Final = 1800.0
_REFUSALS: Final = 200.0  # accepted units for each refused one
_LOST: Final = 0.015  # share of the time that may be lost in pauses before no more trials are made
_LOST_REDUCED: Final = 0.08
_LOST_OVER_S: Final = 1200.0
_FORGET_S: Final = 1800.0  # after that a rate of old does not count any more
_FADE: Final = 1.0  # what is left of it at each vain trial

_FALLBACK_S: Final = 1.0  # a 429 without Retry-After; doubles while nothing is accepted
_MOST_FALLBACK_S: Final = 64.0


class Spacing:
    """
    Puts requests at even distances (the generic cell rate algorithm, ITU-T I.371).

    Attributes:
        due: When the next one would go, if all were on time.
    """

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = -inf

    def wait_s(self, now: float, slack_s: float) -> float:
        """Return the seconds until the next one may go, when those that are late may catch up by *slack_s*."""
        wait = self.due - slack_s - now
        return wait if wait > 1e-9 else 0.0  # floating point must not make anyone wait for nothing

    def take(self, now: float, distance_s: float) -> None:
        """Let one go; the next is due *distance_s* later."""
        self.due = max(self.due, now) + distance_s


class _Stretch(NamedTuple):
    units: float
    width_s: float
    credit_s: float

    @property
    def rate(self) -> float:
        return self.units / (self.width_s + self.credit_s)


class _Run:
    """
    What was accepted from one pause to the next refusal.

    Args:
        since: Requests sent before that belong to another run.
        gap_s: How long the bucket had been filled before.
        drained: Units refused before: they may have been taken from the bucket as well.
    """

    def __init__(self, since: float, gap_s: float = inf, drained: float = 0.0) -> None:
        self.since = since
        self.gap_s = gap_s
        self.drained = drained
        self.units = 0.0
        self.refused = 0.0
        self.last_refused = -inf
        self._last = -inf
        self._marks: deque[tuple[float, float]] = deque(maxlen=64)

    def count(self, seen: float, cost: float, *, mark: bool = False) -> None:
        """Add what the service accepted at that moment; remember the moment if *mark*, and every few seconds."""
        if not self._marks:
            self._marks.append((seen, 0.0))
        self.units += cost
        self._last = max(self._last, seen)
        if mark or seen - self._marks[-1][0] >= 5.0:  # noqa: PLR2004 - 64 marks are five minutes
            self._marks.append((seen, self.units))

    def tightest(self, burst_s: float) -> _Stretch:
        """Return the stretch up to now in which most was accepted, by the burst assumed."""
        # What was accepted last was so at the moment the bucket became empty, whatever was refused before and after.
        first = self._marks[0]
        return max(
            (
                _Stretch(
                    self.units - units,
                    max(0.0, self._last - at),
                    min(burst_s, self.gap_s) if (at, units) == first else burst_s,
                )
                for at, units in self._marks
            ),
            key=lambda stretch: stretch.rate,
        )


@final
class Pace:
    """
    When the next request may go, by what became of those before.

    Every moment is given, in seconds of one monotonic clock. Each request that :meth:`wait_s` lets go is told to
    :meth:`sent`, and its answer to :meth:`accepted` or :meth:`refused`; one without an answer is told no more.

    Args:
        rate: Units per second to begin with; infinite when nothing is known.
        burst_s: Seconds' worth of them that may go at once.

    Attributes:
        rate: Units per second believed to be sustainable; infinite until the first refusal.
        burst_s: Seconds' worth of units that the bucket is believed to hold.
        paused_until: When the gate opens again; in the past if it is open.
    """

    def __init__(self, *, rate: float = inf, burst_s: float = _BURST_S) -> None:
        self.rate = rate
        self.burst_s = burst_s
        self.paused_until = -inf
        self._spacing = Spacing()
        self._slack_s = burst_s
        self._margin = 0.0
        self._doubt = 0.0
        self._run = _Run(-inf)
        self._before: _Stretch | None = None  # a short run whose estimate is still to be confirmed
        self._refusing = False
        self._testing = False
        self._barren = 0
        self.log=None
        self._pause_s = _FALLBACK_S
        self._episode = 0.0  # units refused at the last refusal
        self._level = rate  # what is believed, while something else is tried
        self._step = 0.0
        self._since = -inf  # when the rate was changed
        self._bound_at = -inf  # when somebody had to wait for it
        self._sustained = 0.0
        self._dropped_at = -inf
        self._surprises = 0
        self._lost_s = 0.0
        self._lost_at = -inf

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next request may go; 0 for now."""
        if self._refusing:
            if now < self.paused_until:
                return self.paused_until - now
            self._resume(now)
        elif now < self.paused_until:
            return self.paused_until - now
        if self.rate == inf and not self._testing:
            return 0.0
        wait = self._spacing.wait_s(now, 0.0 if self._testing else self._slack_s)
        if wait > 0:
            self._bound_at = now
        return wait

    @property
    def per_s(self) -> float:
        """Units per second let through now: a little less than :attr:`rate`, much less just after a pause."""
        pace = self.rate * (1 - self._margin)
        return min(pace, max(1.0, pace / 10)) if self._testing else pace

    def sent(self, now: float, cost: float = 1.0) -> None:
        """Take note that a request goes."""
        if self.rate == inf and not self._testing:
            return
        self._spacing.take(now, cost / (1.0 if self.rate == inf else self.per_s))

    def accepted(self, sent_at: float, now: float, cost: float = 1.0) -> None:
        """
        Take note of an answer other than 429.

        Args:
            sent_at: When the request went.
            now: When the answer was there.
            cost: What the request cost, in units.
        """
        run = self._run
        if sent_at < run.since:
            return
        if self._testing and not self._refusing:
            self._testing = False
            self._spacing.due = now
        run.count((sent_at + now) / 2, cost)
        if self.rate < inf and not self._refusing:
            self._try_faster(now)

    def refused(self, sent_at: float, now: float, retry_after_s: float | None, cost: float = 1.0) -> bool:
        """
        Take note of a 429; the gate is closed for as long as it asks. Return whether it had been open.

        Args:
            sent_at: When the request went.
            now: When the answer was there.
            retry_after_s: How long it asks to wait, ``None`` if it does not say.
            cost: What the request would have cost, in units.
        """
        if retry_after_s is None:
            retry_after_s = min(_MOST_FALLBACK_S, _FALLBACK_S * 2.0 ** min(self._barren, 8))
        was_open = now >= self.paused_until and not self._refusing
        self.paused_until = max(self.paused_until, now + retry_after_s)
        run = self._run
        if sent_at < run.since:
            return was_open  # a straggler of the pause before
        self._pause_s = max(self._pause_s, retry_after_s) if self._refusing else max(retry_after_s, _LEAST_SLACK_S)
        self._refusing = True
        run.refused += cost
        run.last_refused = max(run.last_refused, (sent_at + now) / 2)
        return was_open

    def _resume(self, now: float) -> None:
        run = self._run
        gap_s, drained = now - run.last_refused, run.refused
        self._count_loss(now)
        if run.units >= _FEW:
            self._barren = 0
            self._learn(now)
        else:
            self._barren += 1
            if self._barren > 2 and self.rate < inf:  # noqa: PLR2004 - the second may be bad luck
                self._level = self.rate = self.rate / 2
                self._step = 0.0
            if self._run.gap_s < inf:
                # The bucket was below empty: what it lost and gained before counts still.
                gap_s, drained = gap_s + run.gap_s, drained + run.drained
        self._episode = run.refused
        self._run = _Run(now, gap_s, drained)
        self._slack_s = max(_LEAST_SLACK_S, min(_CREDIT * self.burst_s, gap_s - drained / self.rate))
        self._refusing = False
        self._testing = True
        self._spacing.due = now
        self._since = now

    def _learn(self, now: float) -> None:
        run, level = self._run, self._level
        self._check_sustained(now)
        stretch = run.tightest(self.burst_s)
        rate = stretch.rate
        short = stretch.width_s < _LONG * max(1.0, self._pause_s)
        if self._before is not None and short and not self._step:
            rate = self._agree(self._before, stretch)
        # What was refused before may have been taken from the bucket, too.
        rate = max(rate, min(level, (run.units + run.drained) / (max(0.0, run._last - run._marks[0][0]) + run.gap_s)))
        if self._step:
            rate = max(rate, level)
            if level < 0.9 * self._sustained:
                self._sustained = 0.0 if now - self._dropped_at > _FORGET_S else self._sustained * _FADE
        elif not short:
            # Estimated well and yet too fast: others may share the bucket.
            self._surprises += 1
            rate = min(rate, level) * (1 - min(0.1, 0.01 * 2.0 ** (self._surprises - 1) if self._surprises > 1 else 0))
        if rate < 0.9 * self._sustained <= level:
            self._dropped_at = now
        doubt = stretch.credit_s / (stretch.width_s + stretch.credit_s) if rate != level else 0.0
        self._margin = _MARGIN + _DOUBT * doubt
        self._doubt = doubt
        if self.log is not None:
            self.log.append((round(now, 2), round(rate, 2), round(self.burst_s, 2), round(stretch.units, 1), round(stretch.width_s, 2), round(self._step,2), round(self._sustained,1)))
        self._before = stretch if short else None
        self._step = 0.0
        self._level = self.rate = rate

    def _agree(self, one: _Stretch, two: _Stretch) -> float:
        """Return the rate at which two runs in a row have emptied the same bucket; the burst that follows is kept."""
        run = self._run
        high = two.rate
        low = (two.units + run.drained) / (two.width_s + max(two.credit_s, min(run.gap_s, _MOST_BURST_S)))
        if (two.units - one.units) * (two.width_s - one.width_s) > 0:
            both = (two.units - one.units) / (two.width_s - one.width_s)
        else:
            both = low if two.units <= one.units else high
        rate = min(high, max(low, both))
        if rate > 0.9 * high:
            return high  # they agree
        self.burst_s = max(self.burst_s, min(_MOST_BURST_S, two.units / rate - two.width_s))
        return rate

    def _check_sustained(self, now: float) -> None:
        if not self._step and now - self._since > _PROOF * self._pause_s and self._level < inf:
            self._sustained = max(self._sustained, self._level)

    def _count_loss(self, now: float) -> None:
        if self._lost_at > -inf:
            self._lost_s *= exp(-(now - self._lost_at) / _LOST_OVER_S)
        self._lost_at = now
        self._lost_s += max(0.0, self._pause_s - self.burst_s)

    def _try_faster(self, now: float) -> None:
        reduced = self.rate < 0.9 * self._sustained
        if self._step:
            hold_s = min(60.0, max(10.0, 1.2 * self.burst_s / self._step))
        else:
            cost_s = max(1.0, self._pause_s - self.burst_s)
            hold_s = max((_HOLD_REDUCED if reduced else _HOLD * (1 - 0.8 * self._doubt)) * cost_s, _REFUSALS * self._episode / self.rate)
        hold_s = min(hold_s, _MOST_HOLD_S)
        if now - self._since < hold_s or now - self._bound_at > 1.0:
            return
        if not self._step:
            lost = self._lost_s * exp(-(now - self._lost_at) / _LOST_OVER_S) / _LOST_OVER_S
            if lost > (_LOST_REDUCED if reduced else _LOST):
                return
            self._surprises = 0
        self._check_sustained(now)
        self._since = now
        self._run.count(now, 0.0, mark=True)
        if self._step and self.rate == self._sustained:
            self._level, self._step = self.rate, 0.0
            return
        if reduced and not self._step:
            self._step = self._sustained / self.rate - 1
            self.rate = self._sustained
            return
        self._step = min(_MOST_STEP, self._step * 2) if self._step else _STEP
        self.rate *= 1 + self._step
