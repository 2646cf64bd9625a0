"""
One limit of a service: a token bucket for every app or tenant that it counts separately.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling-limits (token buckets, priority)
    https://learn.microsoft.com/en-us/graph/throttling (Retry-After)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

from entra_async.testing.limits.token_bucket import TokenBucket

__all__ = ("Measure", "Priority", "RequestCost", "RetryAfterForm", "ServiceLimit", "ThrottleDecision")

Measure = Literal["request", "unit", "write", "running_s"]
"""What a bucket holds: requests, Graph's resource units, writes, or seconds that queries run."""

Priority = Literal["low", "normal", "high"]
"""``x-ms-throttle-priority``."""

RetryAfterForm = Literal["integer", "fraction", "absent"]
"""How ``Retry-After`` is written: ``2``, ``2.128`` (Graph does that at times), or not at all (some Graph services)."""

_REPORT_LOAD_FROM: Final = 0.8  # Graph mentions the load in x-ms-throttle-limit-percentage only from here on ...
_REPORT_LOAD_TO: Final = 1.8  # ... and never says more than this.
# Low priority is throttled first, high last, which changes no limit: what a bucket gains is the same for all. How much
# of it is set apart isn't documented.
_SET_APART: Final = {"low": 0.2, "normal": 0.0, "high": -0.2}
# A client that waits for its Retry-After exactly gets through, whatever floating point made of the sum.
_EPSILON: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCost:
    """
    What one request costs, and where.

    Attributes:
        workload: The part of the service that counts by itself; empty for a service that has only one.
        units: Resource units.
        writes: Writes.
        running_s: Seconds its query runs.
        priority: Which requests are throttled first when it gets tight.
    """

    workload: str = ""
    units: float = 1
    writes: float = 0
    running_s: float = 0.0
    priority: Priority = "normal"

    def of(self, measure: Measure) -> float:
        """Return the cost in that measure."""
        match measure:
            case "request":
                return 1
            case "unit":
                return self.units
            case "write":
                return self.writes
            case "running_s":
                return self.running_s


@dataclass(frozen=True, slots=True)
class ThrottleDecision:
    """
    The limits' decision on one request.

    Attributes:
        allowed: False means 429.
        retry_after: Value of the ``Retry-After`` header of the 429, ``None`` for no header.
        load: Share of the bucket in use after this request, where it is worth a header (from 0.8), else ``None``.
        throttled_by: The limit that was exceeded.
    """

    allowed: bool
    retry_after: str | None = None
    load: float | None = None
    throttled_by: ServiceLimit | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class ServiceLimit:
    """
    A limit, with a bucket for each app, or one for the whole tenant.

    Attributes:
        amount: How much a bucket gains in *per_s* seconds.
        per_s: That many seconds.
        burst: What a bucket holds.
        by: What is counted.
        per: Whether each app has a bucket of its own, or all share one.
        retry_after_s: Always send this many seconds as ``Retry-After``; ``None`` for the time until there is enough.
        retry_after_form: How the header is written. An integer is rounded up and at least 1.
    """

    amount: float
    per_s: float
    burst: float
    by: Measure = "request"
    per: Literal["app", "tenant"] = "app"
    retry_after_s: float | None = None
    retry_after_form: RetryAfterForm = "integer"
    _buckets: dict[str, TokenBucket] = field(default_factory=dict, init=False, repr=False)

    def take(self, key: str, cost: RequestCost, now: float) -> ThrottleDecision:
        """
        Count a request, whether or not it is then allowed.

        A throttled request counts, too, as it does at Microsoft: the bucket goes below empty, down to as much as it can
        hold, and ``Retry-After`` grows. Only one throttled for its low priority alone takes nothing from the others.

        Args:
            key: Whose bucket.
            cost: What the request costs. More than the bucket holds is as much as it holds.
            now: Seconds on a clock that only moves forward.
        """
        taken = min(cost.of(self.by), self.burst)
        if taken <= 0:
            return ThrottleDecision(allowed=True)
        bucket = self._bucket(key, now)
        needed = min(taken + self.burst * _SET_APART[cost.priority], self.burst)
        allowed = bucket.level >= needed - _EPSILON
        if allowed or bucket.level < taken - _EPSILON:
            bucket.level = max(-self.burst, bucket.level - taken)
        bucket.level = 0.0 if -_EPSILON < bucket.level < 0 else bucket.level
        if allowed:
            load = min(1 - bucket.level / self.burst, _REPORT_LOAD_TO)
            return ThrottleDecision(allowed=True, load=load if load >= _REPORT_LOAD_FROM else None)
        wait_s = (needed - bucket.level) * self.per_s / self.amount
        return ThrottleDecision(allowed=False, retry_after=self._retry_after(wait_s), throttled_by=self)

    def take_over(self, other: ServiceLimit, now: float) -> None:
        """Go on with the buckets of another limit, as full as they are now; what overflows is lost."""
        for key in other._buckets:
            self._buckets[key] = TokenBucket(min(self.burst, other._bucket(key, now).level), now)

    def _bucket(self, key: str, now: float) -> TokenBucket:
        bucket = self._buckets.setdefault(key, TokenBucket(self.burst, now))
        bucket.refill(now, rate_per_s=self.amount / self.per_s, burst=self.burst)
        return bucket

    def _retry_after(self, wait_s: float) -> str | None:
        delay_s = wait_s if self.retry_after_s is None else self.retry_after_s
        match self.retry_after_form:
            case "absent":
                return None
            case "fraction":
                return f"{math.ceil(delay_s * 1000) / 1000:.3f}"
            case "integer":
                return str(max(1, math.ceil(delay_s - _EPSILON)))
