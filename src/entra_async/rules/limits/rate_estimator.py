"""
The request rate that a service sustains, estimated from what it accepts. Pure: no I/O, no clock, no randomness.

Microsoft's limits are token buckets of undocumented size. A request that finds the bucket empty is answered 429 and
costs a whole ``Retry-After``, so a 429 has to be rare, and much has to be learned from it: the rate is taken from what
was accepted (:mod:`~entra_async.rules.limits.observations`), with a burst of one second until two intervals tell more.
Requests then go a little slower than that, evenly, and no other 429 follows.

A faster rate is probed rarely, so that the pauses after failed probes stay below a percent or two of the time; a rate
that was sustained before a drop is probed more often. ``docs/decisions/0004-throttle-governor.md`` has the
alternatives, and the measurements.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling (Retry-After; refused requests count against the limit)
    https://learn.microsoft.com/en-us/graph/throttling-limits (token buckets)
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
    Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016 (a rate from what is delivered)
"""

from __future__ import annotations

from math import exp, inf
from typing import Final, final

from entra_async.rules.limits.observations import Interval, Observations, rate_from_two

__all__ = ("RateEstimator", "Spacing")

_BURST_S: Final = 1.0  # of the smallest usual bucket: if it holds more, that is found out at little cost
_MOST_BURST_S: Final = 60.0
_MARGIN: Final = 0.005  # how much slower than estimated
_UNCERTAINTY: Final = 0.01  # and how much slower still, where the estimate rests on an assumed burst
_CREDIT: Final = 0.5  # share of the burst that may go at once
_SLACK_S: Final = 0.02  # timers are no better than that
_FEW: Final = 3.0  # units, too few to estimate a rate from
_SHORT: Final = 5.0  # pauses; the estimate of a longer interval hardly depends on the burst
_SUSTAINED: Final = 20.0  # pauses that a rate must hold to count as sustained
_NEAR: Final = 0.9  # what is no closer than that is another rate

_STEP: Final = 0.05  # the first probe is that much faster; each one that succeeds doubles it
_MOST_STEP: Final = 1.0
_STEP_S: Final = (10.0, 60.0)  # how long each takes, at least and at most
_HOLD: Final = 150.0  # seconds between probes, for each second that a failure costs
_HOLD_REDUCED: Final = 15.0  # the same below a rate that was sustained before: it may come back
_MOST_HOLD_S: Final = 1800.0
_PER_REFUSAL: Final = 200.0  # units accepted for each one refused
_PAUSED: Final = 0.015  # share of the time spent in pauses beyond which nothing is probed
_PAUSED_REDUCED: Final = 0.08
_PAUSED_OVER_S: Final = 1200.0
_FORGET_S: Final = 1800.0  # after which an earlier rate, probed in vain, does not count any more
_IGNORE_S: Final = 600.0  # between refusals that are taken for outliers
_DEMAND_S: Final = 1.0  # after which no request is waiting for the rate

_FALLBACK_S: Final = 1.0  # the pause for a 429 without Retry-After; doubles while nothing is accepted
_MOST_FALLBACK_S: Final = 64.0
_MOST_FUTILE: Final = 2  # pauses in a row after which nothing was accepted


@final
class Spacing:
    """
    Spaces requests evenly: the generic cell rate algorithm.

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
    Estimates when the next request may be sent, from the responses so far.

    Every moment is given, in seconds of one monotonic clock. Call :meth:`sent` for each request that :meth:`wait_s`
    allows, and :meth:`accepted` or :meth:`refused` for its response; for a request without a response, nothing more.

    Args:
        rate: Units per second to begin with; infinite to begin without a limit.
        burst_s: Seconds' worth of them that may go at once.
        documented: The documented units per second: no more is assumed at the first 429.

    Attributes:
        rate: Units per second estimated to be sustainable; infinite until the first 429.
        burst_s: Seconds' worth of units that the bucket is estimated to hold.
        paused_until: When the pause ends; in the past if there is none.
        limiting: Whether a request may have to wait. While it is ``False``, a request need not be told to :meth:`sent`,
            and a success to ``observed`` only.
        observed: What became of the requests since the last pause.
    """

    def __init__(self, *, rate: float = inf, burst_s: float = _BURST_S, documented: float = inf) -> None:
        self.rate = rate
        self.burst_s = burst_s
        self.paused_until = -inf
        self.limiting = rate < inf
        self._documented = documented
        self._spacing = Spacing()
        self._slack_s = burst_s
        self._uncertainty = 0.0
        self.observed = Observations(-inf)
        self._previous: Interval | None = None  # a short interval that the next one may contradict
        self._throttled = False  # from the first 429 until the pause ends
        self._resuming = False  # from then until the first response
        self._futile_pauses = 0  # pauses in a row after which nothing was accepted
        self._pause_s = _FALLBACK_S
        self._refused_units = 0.0  # units refused since something was accepted, last
        self._base_rate = rate  # the estimate, while a faster rate is probed
        self._step = 0.0  # how much faster; 0 for no probe
        self._step_began_at = -inf  # when that began
        self._demanded_at = -inf  # when a request waited for the rate, last
        self._sustained = 0.0  # the highest rate that was sustained for long
        self._dropped_at = -inf  # when it was sustained no longer
        self._unexpected = 0  # refusals without a probe, since the last probe
        self._ignored_at = -inf
        self._paused_s = 0.0
        self._paused_at = -inf

    @property
    def per_s(self) -> float:
        """Units per second let through now: a little less than the rate, and much less just after a pause."""
        if self.rate == inf:
            return 1.0 if self._resuming else inf
        rate = self.rate * (1 - _MARGIN - _UNCERTAINTY * self._uncertainty)
        return min(rate, max(1.0, rate / 10)) if self._resuming else rate

    def wait_s(self, now: float) -> float:
        """Return the seconds until the next request may be sent; 0 for now."""
        if now < self.paused_until:
            return self.paused_until - now
        if self._throttled:
            self._resume(now)
        if self.rate == inf and not self._resuming:
            return 0.0
        wait = self._spacing.wait_s(now, 0.0 if self._resuming else self._slack_s)
        if wait > 0:
            self._demanded_at = now
        return wait

    def sent(self, now: float, cost: float = 1.0) -> None:
        """Take note that a request is sent."""
        if self._step_began_at == -inf:
            self._step_began_at = now
        per_s = self.per_s
        if per_s < inf:
            self._spacing.take(now, cost / per_s)

    def correct(self, difference: float) -> None:
        """Take note that a request cost *difference* units more than :meth:`sent` was given."""
        if self.rate < inf:
            self._spacing.due += difference / self.rate

    def accepted(self, sent_at: float, now: float, cost: float = 1.0, *, near_limit: bool = False) -> bool:
        """
        Take note of a response other than 429. Return whether :meth:`wait_s` is now shorter than it was.

        Args:
            sent_at: When the request was sent.
            now: When the response arrived.
            cost: The request's cost in units.
            near_limit: Whether the service says that its limit is near: then no faster rate is probed.
        """
        observed = self.observed
        if sent_at < observed.since:
            return False
        # The service saw it somewhere in between; on average in the middle.
        observed.accept((sent_at + now) / 2, cost)
        if self._throttled:
            return False
        resumed = self._resuming and sent_at >= self.paused_until
        if resumed:
            self._resuming = False
            self.limiting = self.rate < inf
            self._spacing.due = now
        if self.rate < inf:
            if near_limit:
                self.rate, self._step, self._step_began_at = self._base_rate, 0.0, now
            else:
                self._probe(now)
        return resumed

    def refused(self, sent_at: float, now: float, retry_after_s: float | None, cost: float = 1.0) -> bool:
        """
        Take note of a 429, and pause for its ``Retry-After``. Return whether there was no pause before.

        Args:
            sent_at: When the request was sent.
            now: When the response arrived.
            retry_after_s: Its ``Retry-After``, ``None`` if it has none.
            cost: The request's cost in units.
        """
        pause_s = 0.0 if retry_after_s is None else retry_after_s
        most_futile = 0 if retry_after_s is None else _MOST_FUTILE
        if self._futile_pauses >= most_futile:
            # There is no Retry-After, or it is of no use.
            pause_s = max(
                pause_s, min(_MOST_FALLBACK_S, _FALLBACK_S * 2.0 ** min(self._futile_pauses - most_futile, 8))
            )
        began = self.pause(now, pause_s)
        observed = self.observed
        if sent_at >= observed.since:  # else it was sent before the last pause
            self._pause_s = max(self._pause_s, pause_s) if self._throttled else pause_s
            self._throttled = True
            observed.refuse((sent_at + now) / 2, cost)
        return began

    def pause(self, now: float, seconds: float) -> bool:
        """Pause for that long, for another reason than the rate. Return whether there was no pause before."""
        began = now >= self.paused_until and not self._throttled
        if now + seconds > self.paused_until:
            self.paused_until = now + seconds
            self._spacing.due = max(self._spacing.due, self.paused_until)
            self._resuming = self.limiting = True
        return began

    def _resume(self, now: float) -> None:
        observed = self.observed
        refill_s, overdraft = now - observed.last_refused, observed.refused
        self._count_paused(now)
        if not observed.units:
            self._futile_pauses += 1
            if self._futile_pauses > _MOST_FUTILE and self.rate < inf:
                self._set_rate(self.rate / 2)
            if observed.refill_s < inf:  # the bucket was below empty: what it lost and gained before counts still
                refill_s, overdraft = refill_s + observed.refill_s, overdraft + observed.overdraft
        else:
            self._futile_pauses = 0
            outlier = self.rate == inf and observed.is_outlier and now - self._ignored_at > _IGNORE_S
            if outlier:
                self._ignored_at = now
            elif observed.units >= _FEW or observed.refused >= _FEW:
                self._learn(now)
        self._refused_units = overdraft
        self.observed = Observations(now, refill_s, overdraft)
        owed_s = overdraft / self.rate
        self._slack_s = max(_SLACK_S, min(_CREDIT * self.burst_s, refill_s - owed_s))
        self._throttled, self._resuming, self.limiting = False, True, True
        self._spacing.due = self._step_began_at = now

    def _learn(self, now: float) -> None:
        observed, base_rate = self.observed, self._base_rate
        self._note_sustained(now)
        interval = observed.busiest(self.burst_s)
        short = interval.length_s < _SHORT * max(1.0, self._pause_s)
        rate = interval.rate
        if self._previous is not None and short and not self._step:
            rate = self._reconcile(self._previous, interval)
        rate = max(rate, min(base_rate, observed.overdrawn_rate()))
        if base_rate == inf:
            rate = min(rate, self._documented)
        elif self._step:
            rate = max(rate, base_rate)
            if base_rate < _NEAR * self._sustained and now - self._dropped_at > _FORGET_S:
                self._sustained = 0.0
        elif not short:
            # Sustained for long, and yet too fast: other clients may share the bucket.
            rate = min(rate, base_rate) * (1 - min(0.1, 0.01 * self._unexpected))
            self._unexpected = max(1, self._unexpected * 2)
        if rate < _NEAR * self._sustained <= base_rate:
            self._dropped_at = now
        self._uncertainty = interval.uncertainty if rate != base_rate else 0.0
        self._previous = interval if short else None
        self._set_rate(rate)

    def _set_rate(self, rate: float) -> None:
        # After each pause that was requested, one request may be sent.
        self._base_rate = self.rate = max(rate, 1 / max(1.0, self._pause_s))
        self._step = 0.0

    def _reconcile(self, previous: Interval, interval: Interval) -> float:
        observed = self.observed
        longest_s = max(interval.credit_s, min(observed.refill_s, _MOST_BURST_S))
        least = (interval.units + observed.overdraft) / (interval.length_s + longest_s)
        rate = rate_from_two(previous, interval, least=least)
        if rate > _NEAR * interval.rate:
            return interval.rate
        # The same bucket was emptied twice in a row: it holds more than was assumed.
        self.burst_s = max(self.burst_s, min(_MOST_BURST_S, interval.units / rate - interval.length_s))
        return rate

    def _note_sustained(self, now: float) -> None:
        if not self._step and now - self._step_began_at > _SUSTAINED * self._pause_s and self._base_rate < inf:
            self._sustained = max(self._sustained, self._base_rate)

    def _count_paused(self, now: float) -> None:
        self._paused_s = self._paused_share(now) * _PAUSED_OVER_S + max(0.0, self._pause_s - self.burst_s)
        self._paused_at = now

    def _paused_share(self, now: float) -> float:
        return (
            self._paused_s * exp((self._paused_at - now) / _PAUSED_OVER_S) / _PAUSED_OVER_S if self._paused_s else 0.0
        )

    def _probe(self, now: float) -> None:
        reduced = self.rate < _NEAR * self._sustained
        if self._step:
            least_s, most_s = _STEP_S
            hold_s = min(most_s, max(least_s, 1.2 * self.burst_s / self._step))
        else:
            cost_s = max(1.0, self._pause_s - self.burst_s)  # what the bucket gains meanwhile is not lost
            hold_s = (_HOLD_REDUCED if reduced else _HOLD * (1 - 0.8 * self._uncertainty)) * cost_s
            hold_s = min(_MOST_HOLD_S, max(hold_s, _PER_REFUSAL * self._refused_units / self.rate))
        if now - self._step_began_at < hold_s or now - self._demanded_at > _DEMAND_S + 1 / self.rate:
            return
        if not self._step and self._paused_share(now) > (_PAUSED_REDUCED if reduced else _PAUSED):
            return
        self._note_sustained(now)
        self.observed.start_interval(now)
        self._step_began_at = now
        if self._step and self.rate == self._sustained:  # as before the drop
            self._base_rate, self._step = self.rate, 0.0
        elif reduced and not self._step:
            self._step = self._sustained / self.rate - 1
            self.rate = self._sustained
        else:
            self._unexpected = 0
            self._step = min(_MOST_STEP, self._step * 2) if self._step else _STEP
            self.rate *= 1 + self._step
