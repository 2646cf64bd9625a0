"""A token bucket, which a request takes from and time refills."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("TokenBucket",)


@dataclass(slots=True)
class TokenBucket:
    """
    A token bucket.

    Attributes:
        level: What is in it; less than nothing where throttled requests count, too.
        at: When that was, seconds on a clock that only moves forward.
    """

    level: float
    at: float

    def refill(self, now: float, *, rate_per_s: float, burst: float) -> None:
        """Add what it gains at *rate_per_s* until *now*; it holds no more than *burst*."""
        self.level = min(burst, self.level + (now - self.at) * rate_per_s)
        self.at = now
