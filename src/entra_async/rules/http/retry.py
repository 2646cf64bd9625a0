"""
Which request may be sent again, and when. Pure: no I/O, no clock, no randomness of its own.

A request is sent again only if that cannot act twice. What each outcome allows:

============================  ===========================  =====================================
Outcome                       GET HEAD OPTIONS PUT DELETE  POST PATCH (unless marked idempotent)
============================  ===========================  =====================================
not sent                      again                        again
sent, no complete response    again                        never
408, 429                      again                        again: the service did not act
503, 504 with Retry-After     again                        again: the service asks for it
500, 502, 503, 504            again                        never
anything else                 never                        never
============================  ===========================  =====================================

What cannot get better by waiting, such as a certificate that is not trusted, is not sent again; a host name that is not
known is looked up once more.

Source:
    RFC 9110, sections 9.2.2 (idempotent methods), 10.2.3 (Retry-After), 15.5.9 (408)
    https://learn.microsoft.com/en-us/graph/throttling
    https://learn.microsoft.com/en-us/graph/best-practices-concept
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from entra_async.rules.http.skew import read_date

__all__ = (
    "Outcome",
    "Policy",
    "decide_delay_s",
    "is_idempotent",
    "is_service_wide",
    "may_repeat",
    "parse_retry_after_s",
    "read_retry_after_s",
)

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_THROTTLED: Final = 429
_OVERLOADED: Final = 503
_REFUSED: Final = frozenset({408, _THROTTLED})
_FAILED: Final = frozenset({500, 502, 503, 504})
_UNAVAILABLE: Final = frozenset({503, 504})


class Policy(Protocol):
    """The limits of sending again; :class:`entra_async.config.RetryPolicy` says what each means."""

    @property
    def max_attempts(self) -> int: ...
    @property
    def base_delay_s(self) -> float: ...
    @property
    def max_delay_s(self) -> float: ...
    @property
    def max_retry_after_s(self) -> float: ...
    @property
    def deadline_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How one attempt ended.

    Attributes:
        status: HTTP status, or ``None`` when no complete response arrived.
        sent: Whether the service may have seen the request.
        retry_after_s: What the service asked to wait, in seconds, or ``None``.
        max_attempts: How many attempts are of use, or ``None`` if that is not known.
    """

    status: int | None
    sent: bool = True
    retry_after_s: float | None = None
    max_attempts: int | None = None


def is_idempotent(method: str) -> bool:
    """Return whether sending *method* twice is the same as sending it once (RFC 9110, section 9.2.2)."""
    return method in _IDEMPOTENT


def may_repeat(outcome: Outcome, *, idempotent: bool) -> bool:
    """
    Return whether the request may be sent again after this outcome, by the table of this module.

    Args:
        outcome: How the attempt ended.
        idempotent: Whether acting twice is the same as acting once: by method, or because the caller says so.
    """
    if outcome.status is None:
        return idempotent or not outcome.sent
    if outcome.status in _REFUSED:
        return True
    if outcome.status in _UNAVAILABLE and outcome.retry_after_s is not None:
        return True
    return idempotent and outcome.status in _FAILED


def is_service_wide(outcome: Outcome) -> bool:
    """Return whether every request of that limit has to wait after this outcome, rather than this one alone."""
    return outcome.status == _THROTTLED or (outcome.status == _OVERLOADED and outcome.retry_after_s is not None)


def decide_delay_s(
    outcome: Outcome, *, idempotent: bool, attempt: int, elapsed_s: float, chance: float, policy: Policy
) -> float | None:
    """
    Return how many seconds to wait before sending again, or ``None`` when it must not be sent again.

    A time that the service named is obeyed to the full, or not at all: when it is longer than the policy
    or the deadline allows, waiting less would only prolong the throttling. Else the wait doubles with each
    attempt, and *chance* spreads it over its upper half, so that many callers do not return together.

    Args:
        outcome: How the last attempt ended.
        idempotent: See :func:`may_repeat`.
        attempt: The number of that attempt; the first is 1.
        elapsed_s: Seconds since the first attempt began.
        chance: A random number from 0 up to 1.
        policy: The limits.
    """
    if outcome.max_attempts is not None and attempt >= outcome.max_attempts:
        return None
    if attempt >= policy.max_attempts or not may_repeat(outcome, idempotent=idempotent):
        return None
    if outcome.retry_after_s is not None:
        delay = outcome.retry_after_s
        if delay > policy.max_retry_after_s:
            return None
    else:
        # Past 2**64 every delay is capped anyway, and a float would overflow.
        delay = min(policy.max_delay_s, policy.base_delay_s * 2.0 ** min(attempt - 1, 64)) * (0.5 + chance / 2)
    return delay if elapsed_s + delay < policy.deadline_s else None


def parse_retry_after_s(value: str, *, now: float) -> float | None:
    """
    Return how long a service asks to wait, in seconds, never negative; ``None`` if it cannot be read.

    Whole seconds and HTTP dates are what RFC 9110 allows; decimals are what Graph sends in ``$batch``.

    Args:
        value: The raw header.
        now: Seconds since the epoch; an HTTP date is counted from it.

    Example:
        >>> parse_retry_after_s("2.128", now=0.0)
        2.128
        >>> parse_retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", now=20.0)
        100.0

    Source:
        RFC 9110, section 10.2.3
    """
    text = value.strip()
    if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:  # an HTTP date is always GMT, also when it does not say so
            when = when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None


_MILLISECONDS: Final = ("retry-after-ms", "x-ms-retry-after-ms")


def read_retry_after_s(headers: Mapping[str, str], *, now: float) -> float | None:
    """
    Return the ``Retry-After`` of a response, in seconds, or ``None``.

    Args:
        headers: Header names in lower case, or a mapping that ignores case.
        now: Seconds since the epoch. The response's own ``Date`` counts instead where it has one: an HTTP date is by
            the service's clock.
    """
    for name in _MILLISECONDS:
        text = headers.get(name, "").strip()
        if text.isascii() and text.isdigit():
            return float(text) / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    date = read_date(headers.get("date"))
    return parse_retry_after_s(value, now=now if date is None else date)
