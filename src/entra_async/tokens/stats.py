"""Statistics of a broker."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("TokenStats",)


@dataclass(slots=True)
class TokenStats:
    """
    Counters of the token cache since a Session was made.

    Attributes:
        hits: Callers that got a cached token.
        misses: Callers that had to wait for one.
        coalesced: Those of them that waited for a request already in flight.
        requested: Token requests, to token services or the store.
        renewed: Those of them that were sent while the cached token was still fresh.
        failures: Token requests that failed.
        rejected: Tokens that a service answered 401 to.
        evicted: Tokens dropped since too many were cached.
        cached: Tokens cached now.
    """

    hits: int = 0
    misses: int = 0
    coalesced: int = 0
    requested: int = 0
    renewed: int = 0
    failures: int = 0
    rejected: int = 0
    evicted: int = 0
    cached: int = 0
