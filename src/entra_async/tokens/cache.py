"""The token cache: entries by key, and never more than a limit."""

from __future__ import annotations

from typing import Final, final

from entra_async.rules.tokens.expiry import RefreshSchedule
from entra_async.tokens.index import Index
from entra_async.tokens.key import AccountPolicy
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

__all__ = ("CacheEntry", "TokenCache")

_ROOM: Final = 0.1  # of the limit is made at once, so that making room costs next to nothing for each token


@final
class CacheEntry:
    """
    A token and its times.

    Each time is kept by two clocks, and passes when either says so: the wall clock may be set back, and the monotonic
    one stands still while a machine sleeps.

    Attributes:
        token: The token.
        source: Where it was requested.
        policy: What is known of its account.
        lasting_claims: What services demanded that each renewal has to request as well, a JSON text, or ``None``.
        requested_at: When it was requested, by the monotonic clock.
        refresh_at: From then on a renewal is due; likewise the next two.
        fresh_until: Until then it is returned at once.
        expires_at: Until then it is returned if no other can be had.
        retry_at: No renewal is started before that, by the monotonic clock.
        failures: Renewals in a row that failed.
        used_at: When it was last returned, by the monotonic clock.
    """

    __slots__ = (
        "expires_at",
        "expires_at_monotonic",
        "failures",
        "fresh_until",
        "fresh_until_monotonic",
        "lasting_claims",
        "policy",
        "refresh_at",
        "refresh_at_monotonic",
        "requested_at",
        "retry_at",
        "source",
        "token",
        "used_at",
    )

    def __init__(
        self,
        token: Token,
        source: TokenSource,
        policy: AccountPolicy,
        schedule: RefreshSchedule,
        *,
        now: float,
        monotonic: float,
        requested_at: float,
        lasting_claims: str | None = None,
    ) -> None:
        self.token = token
        self.source = source
        self.policy = policy
        self.lasting_claims = lasting_claims
        self.requested_at = requested_at
        self.refresh_at = now + schedule.refresh_s
        self.refresh_at_monotonic = monotonic + schedule.refresh_s
        self.fresh_until = now + schedule.hand_out_s
        self.fresh_until_monotonic = monotonic + schedule.hand_out_s
        self.expires_at = now + schedule.life_s
        self.expires_at_monotonic = monotonic + schedule.life_s
        self.retry_at = monotonic
        self.failures = 0
        self.used_at = monotonic

    def is_fresh(self, now: float, monotonic: float) -> bool:
        """Return whether it is returned at once."""
        return now < self.fresh_until and monotonic < self.fresh_until_monotonic

    def is_valid(self, now: float, monotonic: float) -> bool:
        """Return whether it has not expired."""
        return now < self.expires_at and monotonic < self.expires_at_monotonic


@final
class TokenCache(Index[CacheEntry]):
    """
    Cached tokens by key.

    Args:
        limit: The most it holds.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def make_room(self, now: float, monotonic: float) -> int:
        """Evict expired entries, then the least recently used, if there are too many; return how many."""
        before = len(self)
        if before <= self._limit:
            return 0
        for key in [key for key, entry in self.items() if not entry.is_valid(now, monotonic)]:
            del self[key]
        if len(self) > self._limit:
            surplus = len(self) - self._limit + int(self._limit * _ROOM)
            for key in sorted(self, key=lambda key: self[key].used_at)[:surplus]:
                del self[key]
        return before - len(self)
