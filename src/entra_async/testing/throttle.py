"""
The hard limit of a service: a token bucket per service and app, on the emulator's clock. Off until a test sets one.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling-limits (the identity and access service limits are token buckets)
    https://learn.microsoft.com/en-us/graph/throttling (Retry-After)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock

__all__ = ("RetryAfterForm", "Throttle", "Verdict")

RetryAfterForm = Literal["integer", "fraction", "absent"]
"""How ``Retry-After`` is written: ``2``, ``2.128`` (Graph does that at times), or not at all (some Graph services)."""

_REPORT_LOAD_FROM: Final = 0.8  # Graph mentions the load in x-ms-throttle-limit-percentage only from here on.


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the limit says to one request.

    Attributes:
        allowed: False means 429.
        retry_after: Value of the ``Retry-After`` header of the 429, ``None`` for no header.
        load: Share of the bucket in use after this request, where it is worth a header (from 0.8), else ``None``.
    """

    allowed: bool
    retry_after: str | None = None
    load: float | None = None


@dataclass(frozen=True, slots=True)
class _Limit:
    requests: float
    per_s: float
    burst: float
    retry_after_s: float | None
    retry_after_form: RetryAfterForm


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class Throttle:
    """
    Limits requests per (service, app). A request finds a token in the bucket or is answered 429; it never waits.

    A refused request counts, too, as it does at Microsoft: the bucket goes below empty, down to as much as it can hold,
    and ``Retry-After`` grows. A client that keeps asking stays locked out; one that waits as told gets through.

    Args:
        clock: The emulator's clock: moving it refills the buckets.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._limits: dict[str | None, _Limit] = {}
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def limit(
        self,
        requests: int,
        per_s: float,
        *,
        service: str | None = None,
        burst: int | None = None,
        retry_after_s: float | None = None,
        retry_after_form: RetryAfterForm = "integer",
    ) -> None:
        """
        Set the limit from now on, with full buckets.

        Args:
            requests: How many requests the bucket gains in *per_s* seconds.
            per_s: That many seconds.
            service: ``"graph"`` or ``"endpoint"``; ``None`` for every service that has no limit of its own.
            burst: What the bucket holds; *requests* unless given.
            retry_after_s: Always ask for this many seconds, enough or not; ``None`` asks for the time until a token is
                there.
            retry_after_form: How the header is written. An integer is rounded up and at least 1.

        Raises:
            ValueError: If one of *requests*, *per_s* and *burst* is not a positive number, *retry_after_s* is negative
                or no number, or *retry_after_form* is unknown.
        """
        capacity = requests if burst is None else burst
        if not all(0 < number < math.inf for number in (requests, per_s, capacity)):
            message = "requests, per_s and burst must be positive."
            raise ValueError(message)
        if capacity < 1:
            message = "burst must be at least 1, or no request is ever answered."
            raise ValueError(message)
        if retry_after_s is not None and not 0 <= retry_after_s < math.inf:
            message = f"retry_after_s must be a number of seconds, not {retry_after_s}."
            raise ValueError(message)
        forms = get_args(RetryAfterForm)
        if retry_after_form not in forms:
            message = f"retry_after_form must be one of {', '.join(forms)}, not {retry_after_form!r}."
            raise ValueError(message)
        self._limits[service] = _Limit(requests, per_s, capacity, retry_after_s, retry_after_form)
        self._buckets.clear()

    def off(self) -> None:
        """Lift every limit."""
        self._limits.clear()
        self._buckets.clear()

    def take(self, service: str, app_id: str) -> Verdict:
        """
        Charge one request, whether or not it is then allowed.

        Args:
            service: The service asked.
            app_id: Client id of the app that asks.
        """
        limit = self._limits.get(service) or self._limits.get(None)
        if limit is None:
            return Verdict(allowed=True)
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault((service, app_id), _Bucket(limit.burst, now))
        rate = limit.requests / limit.per_s
        bucket.level = min(limit.burst, bucket.level + (now - bucket.at) * rate)
        bucket.at = now
        # A client that waits exactly as long as asked must get through, whatever floating point made of the sum.
        if bucket.level < 1 - 1e-9:
            bucket.level = max(-limit.burst, bucket.level - 1)
            return Verdict(allowed=False, retry_after=_retry_after(limit, (1 - bucket.level) / rate))
        bucket.level = max(0.0, bucket.level - 1)
        load = 1 - bucket.level / limit.burst
        return Verdict(allowed=True, load=load if load >= _REPORT_LOAD_FROM else None)


def _retry_after(limit: _Limit, wait_s: float) -> str | None:
    asked_s = wait_s if limit.retry_after_s is None else limit.retry_after_s
    match limit.retry_after_form:
        case "absent":
            return None
        case "fraction":
            return f"{math.ceil(asked_s * 1000) / 1000:.3f}"
        case "integer":
            return str(max(1, math.ceil(asked_s - 1e-9)))
