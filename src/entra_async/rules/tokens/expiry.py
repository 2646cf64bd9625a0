"""When a token is refreshed, and how long it is used. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

__all__ = ("RefreshSchedule", "plan", "retry_delay_s", "service_time")

# What a request may need from here to the service, and a little difference between two clocks.
_MARGIN_S: Final = 30.0
_MARGIN_SHARE: Final = 0.1
# Late enough to get some use out of a token, early enough for a token service to be away for a while.
_EARLIEST_SHARE: Final = 0.65
_LATEST_SHARE: Final = 0.80
_BASE_DELAY_S: Final = 30.0
_MAX_DELAY_S: Final = 300.0
_MAX_DOUBLINGS: Final = 4


class RefreshSchedule(NamedTuple):
    """
    When a token is refreshed and expires, in seconds from the moment it was received.

    Attributes:
        refresh_s: From then on it is refreshed in the background.
        hand_out_s: Until then it is returned at once.
        life_s: Until then it is returned if no other can be had: its lifetime.
    """

    refresh_s: float
    hand_out_s: float
    life_s: float


def plan(*, expires_on: float, refresh_on: float | None, now: float, chance: float) -> RefreshSchedule:
    """
    Return the schedule of a token received *now*.

    It is refreshed at *refresh_on*, as its service wishes; without that, or when that is past already, at a point
    between 65 and 80 % of the lifetime that is left, so that many processes do not do so at once. Half a minute before
    it expires, or a tenth of its lifetime if that is less, it is no longer returned while another may be had.

    Args:
        expires_on: Seconds since the epoch.
        refresh_on: Seconds since the epoch, or ``None``.
        now: Seconds since the epoch.
        chance: A random number from 0 up to 1.
    """
    life_s = max(0.0, expires_on - now)
    hand_out_s = life_s - min(_MARGIN_S, life_s * _MARGIN_SHARE)
    if refresh_on is not None and refresh_on > now:
        refresh_s = refresh_on - now
    else:
        refresh_s = life_s * (_EARLIEST_SHARE + (_LATEST_SHARE - _EARLIEST_SHARE) * chance)
    return RefreshSchedule(min(refresh_s, hand_out_s), hand_out_s, life_s)


def retry_delay_s(failures: int, *, retry_after_s: float | None, chance: float) -> float:
    """
    Return how many seconds to wait before the next attempt to refresh a token, after so many failures in a row.

    Half a minute, doubled each time up to five minutes, give or take a quarter; or ``Retry-After``, if that is more.
    """
    delay_s = min(_MAX_DELAY_S, _BASE_DELAY_S * 2.0 ** min(max(0, failures - 1), _MAX_DOUBLINGS))
    return max(delay_s * (0.75 + chance / 2), retry_after_s or 0.0)


# Entra ID says that a token was issued five minutes before it was, so that slow clocks take it.
_DATED_BACK_S: Final = 300.0


def service_time(claims: Mapping[str, Any], *, expires_on: float, now: float) -> float:
    """
    Return the time to count a token's end from: *now*, or when it was issued, if that is still to come by our clock.

    Then our clock is slow. It matters if the end is by the service's clock, as credentials hand it on that other
    libraries made; an end that was counted from a number of seconds is by ours.

    Args:
        claims: Of the token, unverified; empty if it is opaque.
        expires_on: Its end, in seconds since the epoch.
        now: By our clock.
    """
    issued, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(ends, int | float):
        return now
    if abs(ends - expires_on) > 1 or not now < issued < ends:
        return now
    return min(issued + _DATED_BACK_S, ends)
