"""
How fast a service may be asked: learned from what it accepts. Pure: no I/O, no clock, no randomness.

Microsoft's limits are token buckets whose size nobody tells. A request that finds the bucket empty is answered 429 and
costs a whole ``Retry-After``, so what counts is to be refused rarely, and to learn much from it: the rate is taken from
what was accepted (:mod:`~entra_async.rules.limits.evidence`), with a burst of one second until two runs tell more.
Requests then go a little slower than that, evenly, and no other refusal follows.

Faster is tried rarely, so that the pauses that failed trials cost stay below a percent or two of the time; a rate that
was held before a drop is tried more often. ``docs/decisions/0004-throttle-governor.md`` has the alternatives, and what
was measured.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling (Retry-After; refused requests count against the limit)
    https://learn.microsoft.com/en-us/graph/throttling-limits (token buckets)
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
    Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016 (a rate from what is delivered)
"""

from __future__ import annotations

from math import exp, inf
from typing import Final, final

from entra_async.rules.limits.evidence import Run, Stretch, rate_of_both

__all__ = ("RateEstimator", "Spacing")

_BURST_S: Final = 1.0  # of the smallest usual bucket: if it holds more, that is found out at little cost
_MOST_BURST_S: Final = 60.0
_MARGIN: Final = 0.005  # how much slower than estimated
_DOUBT: Final = 0.01  # and how much slower still, where the estimate rests on an assumed burst
_CREDIT: Final = 0.5  # share of the burst that may go at once
_SLACK_S: Final = 0.02  # timers are no better than that
_FEW: Final = 3.0  # units that tell nothing of a rate
_SHORT: Final = 5.0  # pauses; the estimate of a longer run hardly depends on the burst
_SUSTAINED: Final = 20.0  # pauses that a rate must hold to count as sustained
_NEAR: Final = 0.9  # what is no closer than that is another rate

_STEP: Final = 0.05  # the first trial is that much faster; each one that succeeds doubles it
_MOST_STEP: Final = 1.0
_STEP_S: Final = (10.0, 60.0)  # how long each takes, at least and at most
_HOLD: Final = 150.0  # seconds between trials, for each second that a failure costs
_HOLD_REDUCED: Final = 15.0  # the same below a rate that was sustained before: it may come back
_MOST_HOLD_S: Final = 1800.0
_PER_REFUSAL: Final = 200.0  # units accepted for each one refused
_LOST: Final = 0.015  # share of the time spent in pauses beyond which nothing is tried
_LOST_REDUCED: Final = 0.08
_LOST_OVER_S: Final = 1200.0
_FORGET_S: Final = 1800.0  # after which a rate of old, tried in vain, does not count any more
_FORGIVE_S: Final = 600.0  # between refusals that are taken for strays
_DEMAND_S: Final = 1.0  # after which nobody waits for the pace

_FALLBACK_S: Final = 1.0  # the pause for a 429 without Retry-After; doubles while nothing is accepted
_MOST_FALLBACK_S: Final = 64.0
_PATIENCE: Final = 2  # pauses in a row after which nothing was accepted


@final
class Spacing:
    """
    Puts requests at even distances: the generic cell rate algorithm.

    Attributes:
        due: When the next one would go, if all were on time.

    Sources:
        ITU-T I.371, Annex A
    """

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = -inf

    def wait_s(self, now: float, slack_s: float) -> float:
        """Return the seconds until the next one may go, where those that are late may catch up by *slack_s*."""
        wait = self.due - slack_s - now
        return wait if wait > 1e-9 else 0.0  # nobody is to wait for a rounding error

    def take(self, now: float, distance_s: float) -> None:
        """Let one go; the next is due *distance_s* later."""
        self.due = max(self.due, now) + distance_s


@final
class RateEstimator:
    """
    When the next request may go, by what became of those before.

    Every moment is given, in seconds of one monotonic clock. Each request that :meth:`wait_s` lets go is told to
    :meth:`sent`, and its answer to :meth:`accepted` or :meth:`refused`; one without an answer is told no more.

    Args:
        rate: Units per second to begin with; infinite to begin unhindered.
        burst_s: Seconds' worth of them that may go at once.
        documented: Units per second that are documented: more is not assumed at the first refusal.

    Attributes:
        rate: Units per second believed to be sustainable; infinite until the first refusal.
        burst_s: Seconds' worth of units that the bucket is believed to hold.
        paused_until: When the gate opens again; in the past if it is open.
    """

    def __init__(self, *, rate: float = inf, burst_s: float = _BURST_S, documented: float = inf) -> None:
        self.rate = rate
        self.burst_s = burst_s
        self.paused_until = -inf
        self._documented = documented
        self._spacing = Spacing()
        self._slack_s = burst_s
        self._doubt = 0.0
        self._run = Run(-inf)
        self._before: Stretch | None = None  # a short run that the next one may contradict
        self._refusing = False  # from the first refusal until the gate opens
        self._testing = False  # from then until the first answer
        self._barren = 0  # pauses in a row after which nothing was accepted
        self._pause_s = _FALLBACK_S
        self._episode = 0.0  # units refused since something was accepted, last
        self._level = rate  # what is believed, while something faster is tried
        self._step = 0.0  # how much faster; 0 for no trial
        self._since = -inf  # when that began
        self._awaited_at = -inf  # when somebody waited for the pace, last
        self._sustained = 0.0  # the highest rate that was held for long
        self._dropped_at = -inf  # when it was held no longer
        self._surprises = 0  # refusals without a trial, since the last trial
        self._forgiven_at = -inf
        self._lost_s = 0.0
        self._lost_at = -inf

    @property
    def per_s(self) -> float:
        """Units per second let through now: a little less than the rate, and much less just after a pause."""
        if self.rate == inf:
            return 1.0 if self._testing else inf
        pace = self.rate * (1 - _MARGIN - _DOUBT * self._doubt)
        return min(pace, max(1.0, pace / 10)) if self._testing else pace

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next request may go; 0 for now."""
        if now < self.paused_until:
            return self.paused_until - now
        if self._refusing:
            self._resume(now)
        if self.rate == inf and not self._testing:
            return 0.0
        wait = self._spacing.wait_s(now, 0.0 if self._testing else self._slack_s)
        if wait > 0:
            self._awaited_at = now
        return wait

    def sent(self, now: float, cost: float = 1.0) -> None:
        """Take note that a request goes."""
        if self._since == -inf:
            self._since = now
        per_s = self.per_s
        if per_s < inf:
            self._spacing.take(now, cost / per_s)

    def correct(self, difference: float) -> None:
        """Take note that a request cost *difference* units more than was told to :meth:`sent`."""
        if self.rate < inf:
            self._spacing.due += difference / self.rate

    def accepted(self, sent_at: float, now: float, cost: float = 1.0, *, near_limit: bool = False) -> bool:
        """
        Take note of an answer other than 429. Return whether others need not wait as long as they were told.

        Args:
            sent_at: When the request went.
            now: When the answer was there.
            cost: What the request cost, in units.
            near_limit: Whether the service says that its limit is near: then nothing faster is tried.
        """
        run = self._run
        if sent_at < run.since:
            return False
        # The service saw it somewhere in between; on average in the middle.
        run.accept((sent_at + now) / 2, cost)
        if self._refusing:
            return False
        tested = self._testing and sent_at >= self.paused_until
        if tested:
            self._testing = False
            self._spacing.due = now
        if self.rate < inf:
            if near_limit:
                self.rate, self._step, self._since = self._level, 0.0, now
            else:
                self._try_faster(now)
        return tested

    def refused(self, sent_at: float, now: float, retry_after_s: float | None, cost: float = 1.0) -> bool:
        """
        Take note of a 429: the gate is closed for as long as it asks. Return whether it had been open.

        Args:
            sent_at: When the request went.
            now: When the answer was there.
            retry_after_s: How long it asks to wait, ``None`` if it does not say.
            cost: What the request would have cost, in units.
        """
        pause_s = 0.0 if retry_after_s is None else retry_after_s
        patience = 0 if retry_after_s is None else _PATIENCE
        if self._barren >= patience:
            # It does not say, or what it says is of no use.
            pause_s = max(pause_s, min(_MOST_FALLBACK_S, _FALLBACK_S * 2.0 ** min(self._barren - patience, 8)))
        was_open = self.pause(now, pause_s)
        run = self._run
        if sent_at >= run.since:  # else a straggler of the run before
            self._pause_s = max(self._pause_s, pause_s) if self._refusing else pause_s
            self._refusing = True
            run.refuse((sent_at + now) / 2, cost)
        return was_open

    def pause(self, now: float, seconds: float) -> bool:
        """Close the gate for that long, for another reason than the rate. Return whether it had been open."""
        was_open = now >= self.paused_until and not self._refusing
        if now + seconds > self.paused_until:
            self.paused_until = now + seconds
            self._spacing.due = max(self._spacing.due, self.paused_until)
            self._testing = True
        return was_open

    def _resume(self, now: float) -> None:
        run = self._run
        gap_s, drained = now - run.last_refused, run.refused
        self._lose(now)
        if not run.units:
            self._barren += 1
            if self._barren > _PATIENCE and self.rate < inf:
                self._set(self.rate / 2)
            if run.gap_s < inf:  # the bucket was below empty: what it lost and gained before counts still
                gap_s, drained = gap_s + run.gap_s, drained + run.drained
        else:
            self._barren = 0
            stray = self.rate == inf and run.is_stray and now - self._forgiven_at > _FORGIVE_S
            if stray:
                self._forgiven_at = now
            elif run.units >= _FEW or run.refused >= _FEW:
                self._learn(now)
        self._episode = drained
        self._run = Run(now, gap_s, drained)
        owed_s = drained / self.rate
        self._slack_s = max(_SLACK_S, min(_CREDIT * self.burst_s, gap_s - owed_s))
        self._refusing, self._testing = False, True
        self._spacing.due = self._since = now

    def _learn(self, now: float) -> None:
        run, level = self._run, self._level
        self._note_sustained(now)
        stretch = run.tightest(self.burst_s)
        short = stretch.width_s < _SHORT * max(1.0, self._pause_s)
        rate = stretch.rate
        if self._before is not None and short and not self._step:
            rate = self._agree(self._before, stretch)
        rate = max(rate, min(level, run.drained_rate()))
        if level == inf:
            rate = min(rate, self._documented)
        elif self._step:
            rate = max(rate, level)
            if level < _NEAR * self._sustained and now - self._dropped_at > _FORGET_S:
                self._sustained = 0.0
        elif not short:
            # Believed for long, and yet too fast: others may share the bucket.
            rate = min(rate, level) * (1 - min(0.1, 0.01 * self._surprises))
            self._surprises = max(1, self._surprises * 2)
        if rate < _NEAR * self._sustained <= level:
            self._dropped_at = now
        self._doubt = stretch.doubt if rate != level else 0.0
        self._before = stretch if short else None
        self._set(rate)

    def _set(self, rate: float) -> None:
        # After each pause that was asked for, one request may be tried.
        self._level = self.rate = max(rate, 1 / max(1.0, self._pause_s))
        self._step = 0.0

    def _agree(self, before: Stretch, stretch: Stretch) -> float:
        run = self._run
        longest_s = max(stretch.credit_s, min(run.gap_s, _MOST_BURST_S))
        least = (stretch.units + run.drained) / (stretch.width_s + longest_s)
        rate = rate_of_both(before, stretch, least=least)
        if rate > _NEAR * stretch.rate:
            return stretch.rate
        # The same bucket was emptied twice in a row: it holds more than was assumed.
        self.burst_s = max(self.burst_s, min(_MOST_BURST_S, stretch.units / rate - stretch.width_s))
        return rate

    def _note_sustained(self, now: float) -> None:
        if not self._step and now - self._since > _SUSTAINED * self._pause_s and self._level < inf:
            self._sustained = max(self._sustained, self._level)

    def _lose(self, now: float) -> None:
        self._lost_s = self._lost_share(now) * _LOST_OVER_S + max(0.0, self._pause_s - self.burst_s)
        self._lost_at = now

    def _lost_share(self, now: float) -> float:
        return self._lost_s * exp((self._lost_at - now) / _LOST_OVER_S) / _LOST_OVER_S if self._lost_s else 0.0

    def _try_faster(self, now: float) -> None:
        reduced = self.rate < _NEAR * self._sustained
        if self._step:
            least_s, most_s = _STEP_S
            hold_s = min(most_s, max(least_s, 1.2 * self.burst_s / self._step))
        else:
            cost_s = max(1.0, self._pause_s - self.burst_s)  # what the bucket gains meanwhile is not lost
            hold_s = (_HOLD_REDUCED if reduced else _HOLD * (1 - 0.8 * self._doubt)) * cost_s
            hold_s = min(_MOST_HOLD_S, max(hold_s, _PER_REFUSAL * self._episode / self.rate))
        if now - self._since < hold_s or now - self._awaited_at > _DEMAND_S + 1 / self.rate:
            return
        if not self._step and self._lost_share(now) > (_LOST_REDUCED if reduced else _LOST):
            return
        self._note_sustained(now)
        self._run.mark(now)
        self._since = now
        if self._step and self.rate == self._sustained:  # as before the drop
            self._level, self._step = self.rate, 0.0
        elif reduced and not self._step:
            self._step = self._sustained / self.rate - 1
            self.rate = self._sustained
        else:
            self._surprises = 0
            self._step = min(_MOST_STEP, self._step * 2) if self._step else _STEP
            self.rate *= 1 + self._step
