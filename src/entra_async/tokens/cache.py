"""The tokens that are held: found by key, and never more than a limit."""

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

    Each time is kept by two clocks, and passes when either says so: the one for people may be set back, and the
    other one stands still while a machine sleeps.

    Attributes:
        token: The token.
        source: Who gave it.
        terms: What is known of its account.
        demanded: What services demanded of it that has to be asked for again, a JSON text, or ``None``.
        asked_at: When it was asked for, on the clock that is never set back.
        calm_until: Nothing is to be done before that; likewise the next two.
        good_until: It is handed out at once until then.
        alive_until: It is handed out until then if no other can be had.
        retry_at: No new question is put ahead of its end before that, on the clock that is never set back.
        failures: Questions in a row that did not renew it.
        used_at: When it was last handed out, on the clock that is never set back.
    """

    __slots__ = (
        "alive_until",
        "alive_until_monotonic",
        "asked_at",
        "calm_until",
        "calm_until_monotonic",
        "demanded",
        "failures",
        "good_until",
        "good_until_monotonic",
        "retry_at",
        "source",
        "terms",
        "token",
        "used_at",
    )

    def __init__(
        self,
        token: Token,
        source: TokenSource,
        terms: AccountPolicy,
        schedule: RefreshSchedule,
        *,
        now: float,
        monotonic: float,
        asked_at: float,
        demanded: str | None = None,
    ) -> None:
        self.token = token
        self.source = source
        self.terms = terms
        self.demanded = demanded
        self.asked_at = asked_at
        self.calm_until = now + schedule.refresh_s
        self.calm_until_monotonic = monotonic + schedule.refresh_s
        self.good_until = now + schedule.hand_out_s
        self.good_until_monotonic = monotonic + schedule.hand_out_s
        self.alive_until = now + schedule.life_s
        self.alive_until_monotonic = monotonic + schedule.life_s
        self.retry_at = monotonic
        self.failures = 0
        self.used_at = monotonic

    def is_good(self, now: float, monotonic: float) -> bool:
        """Return whether it is handed out at once."""
        return now < self.good_until and monotonic < self.good_until_monotonic

    def is_alive(self, now: float, monotonic: float) -> bool:
        """Return whether a service may still take it."""
        return now < self.alive_until and monotonic < self.alive_until_monotonic


@final
class TokenCache(Index[CacheEntry]):
    """
    Holds tokens by their keys.

    Args:
        limit: The most it holds.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def make_room(self, now: float, monotonic: float) -> int:
        """Give up what has expired, then what was not used for longest, if too many are held; return how many."""
        before = len(self)
        if before <= self._limit:
            return 0
        for key in [key for key, held in self.items() if not held.is_alive(now, monotonic)]:
            del self[key]
        if len(self) > self._limit:
            surplus = len(self) - self._limit + int(self._limit * _ROOM)
            for key in sorted(self, key=lambda key: self[key].used_at)[:surplus]:
                del self[key]
        return before - len(self)
