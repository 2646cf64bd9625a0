"""
The rate limits of Azure Resource Manager: a token bucket per principal, subscription and kind of request.

Source:
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from entra_async.testing.limits.token_bucket import TokenBucket

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock

__all__ = ("ArmLimits", "RequestKind", "request_kind")

RequestKind = Literal["reads", "writes", "deletes"]
"""What a request counts as."""

_KIND_OF: Final[dict[str, RequestKind]] = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


def request_kind(method: str) -> RequestKind:
    """Return what a request of this method counts as; a POST is a write."""
    return _KIND_OF.get(method, "writes")


@dataclass(frozen=True, slots=True)
class _ArmLimit:
    burst: int
    per_s: float


class ArmLimits:
    """
    Counts requests. One that finds the bucket empty is throttled, and costs nothing.

    Args:
        clock: The emulator's clock: moving it refills the buckets.

    Attributes:
        reported_remaining: What the headers claim is left, true or not; ``None`` for the truth. Azure's have been seen
            to say 13,000 in the middle of 429s: https://github.com/Azure/azure-rest-api-specs/issues/3044
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._limits: dict[RequestKind, _ArmLimit] = {
            "reads": _ArmLimit(250, 25.0),
            "writes": _ArmLimit(200, 10.0),
            "deletes": _ArmLimit(200, 10.0),
        }
        self._buckets: dict[tuple[str, str | None, RequestKind], TokenBucket] = {}
        self.reported_remaining: int | None = None

    def set(self, kind: RequestKind, *, burst: int, per_s: float) -> None:
        """
        Set a limit from now on, with full buckets, for each principal at each subscription and at the tenant.

        Args:
            kind: Of which requests.
            burst: What a bucket holds.
            per_s: How many requests it gains per second.

        Raises:
            ValueError: If *kind* is unknown, or a number is not positive.
        """
        if kind not in self._limits:
            message = f"kind must be one of {', '.join(self._limits)}, not {kind!r}."
            raise ValueError(message)
        if burst < 1 or not 0 < per_s < math.inf:
            message = "burst must be at least 1 and per_s a positive number, or every request would be throttled."
            raise ValueError(message)
        self._limits[kind] = _ArmLimit(burst, per_s)
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[2] != kind}

    def take(self, object_id: str, subscription_id: str | None, kind: RequestKind) -> int | None:
        """
        Count one request.

        Args:
            object_id: The caller.
            subscription_id: Where; ``None`` for the tenant.
            kind: What it counts as.

        Returns:
            ``None`` when it is allowed, else the whole seconds to wait.
        """
        limit, bucket = self._bucket(object_id, subscription_id, kind)
        # A client that waits for its Retry-After exactly must get through, whatever floating point made of the sum.
        if bucket.level < 1 - 1e-9:
            return max(1, math.ceil((1 - bucket.level) / limit.per_s - 1e-9))
        bucket.level = max(0.0, bucket.level - 1)
        return None

    def headers(self, object_id: str, subscription_id: str | None, kind: RequestKind) -> dict[str, str]:
        """Return the header that says how many requests of this kind are left, or are said to be."""
        _, bucket = self._bucket(object_id, subscription_id, kind)
        remaining = int(bucket.level) if self.reported_remaining is None else self.reported_remaining
        scope = "subscription" if subscription_id else "tenant"
        return {f"x-ms-ratelimit-remaining-{scope}-{kind}": str(remaining)}

    def _bucket(self, object_id: str, subscription_id: str | None, kind: RequestKind) -> tuple[_ArmLimit, TokenBucket]:
        limit = self._limits[kind]
        now = self._clock.monotonic()
        bucket = self._buckets.setdefault((object_id, subscription_id, kind), TokenBucket(limit.burst, now))
        bucket.refill(now, rate_per_s=limit.per_s, burst=limit.burst)
        return limit, bucket
