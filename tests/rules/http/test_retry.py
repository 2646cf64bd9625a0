"""Which request may be sent again, and when."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.config import RetryPolicy
from entra_async.rules.http.retry import (
    Outcome,
    decide_delay_s,
    is_idempotent,
    may_repeat,
    parse_retry_after_s,
    read_retry_after_s,
)

POLICY = RetryPolicy()
SAFE = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE")
UNSAFE = ("POST", "PATCH")
NOT_SENT, LOST = Outcome(None, sent=False), Outcome(None, sent=True)


def outcomes() -> st.SearchStrategy[Outcome]:
    return st.builds(
        Outcome,
        st.none() | st.integers(100, 599),
        st.booleans(),
        st.none() | st.floats(0, 10_000),
    )


@pytest.mark.parametrize(
    ("outcome", "safe", "unsafe"),
    [
        (NOT_SENT, True, True),
        (LOST, True, False),
        (Outcome(408), True, True),
        (Outcome(429), True, True),
        (Outcome(429, retry_after_s=5), True, True),
        (Outcome(500), True, False),
        (Outcome(502), True, False),
        (Outcome(503), True, False),
        (Outcome(504), True, False),
        (Outcome(503, retry_after_s=5), True, True),
        (Outcome(504, retry_after_s=5), True, True),
        (Outcome(500, retry_after_s=5), True, False),
        *(
            (Outcome(status), False, False)
            for status in (200, 204, 301, 400, 401, 403, 404, 409, 410, 412, 423, 501, 505, 507, 509)
        ),
    ],
)
def test_the_table(outcome: Outcome, safe: bool, unsafe: bool) -> None:
    """Each method and outcome: sent again or not."""
    for method in SAFE:
        assert may_repeat(outcome, idempotent=is_idempotent(method)) is safe
    for method in UNSAFE:
        assert may_repeat(outcome, idempotent=is_idempotent(method)) is unsafe


@given(outcomes(), st.booleans(), st.integers(1, 100), st.floats(0, 1000), st.floats(0, 1, exclude_max=True))
def test_waits_keep_every_limit(
    outcome: Outcome, idempotent: bool, attempt: int, elapsed_s: float, chance: float
) -> None:
    """No wait is negative, too long, past the deadline, or shorter than the Retry-After."""
    delay_s = decide_delay_s(
        outcome, idempotent=idempotent, attempt=attempt, elapsed_s=elapsed_s, chance=chance, policy=POLICY
    )
    if delay_s is None:
        return

    assert attempt < POLICY.max_attempts
    assert may_repeat(outcome, idempotent=idempotent)
    assert elapsed_s + delay_s < POLICY.deadline_s
    if outcome.retry_after_s is None:
        assert 0 < delay_s <= POLICY.max_delay_s
    else:
        assert delay_s == outcome.retry_after_s <= POLICY.max_retry_after_s


def test_waits_double() -> None:
    """Without a word from the service, each wait is twice the one before, up to the longest."""
    policy = RetryPolicy(max_attempts=2000, deadline_s=1e9)
    waits = [
        decide_delay_s(Outcome(503), idempotent=True, attempt=attempt, elapsed_s=0, chance=1, policy=policy)
        for attempt in (1, 2, 3, 4, 1500)
    ]

    assert waits == [0.5, 1.0, 2.0, 4.0, 30.0]


def test_too_long_a_wait_is_no_wait() -> None:
    """A Retry-After beyond the limit ends the attempts at once: waiting less would only prolong the throttling."""
    assert (
        decide_delay_s(
            Outcome(429, retry_after_s=3600), idempotent=True, attempt=1, elapsed_s=0, chance=0, policy=POLICY
        )
        is None
    )
    assert (
        decide_delay_s(
            Outcome(429, retry_after_s=100), idempotent=True, attempt=1, elapsed_s=250, chance=0, policy=POLICY
        )
        is None
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("2.128", 2.128),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1.2.3", None),
        ("٣", None),
        ("nan", None),
        ("1e9", None),
        ("Mon, 13 Jan 99999 13:13:13", None),
    ],
)
def test_retry_after_forms(text: str, seconds: float | None) -> None:
    """Seconds, decimals and dates are read; anything else is as good as nothing."""
    assert parse_retry_after_s(text, now=1445412480.0) == seconds


@given(st.text() | st.floats().map(str) | st.integers().map(str))
def test_retry_after_never_fails(text: str) -> None:
    """No header makes the parser raise, or gives a negative wait."""
    seconds = parse_retry_after_s(text, now=0.0)

    assert seconds is None or seconds >= 0


@given(st.integers(0, 4_000_000_000), st.integers(-100_000, 100_000))
def test_retry_after_dates(now: int, ahead: int) -> None:
    """A date is counted from now."""
    when = max(0, now + ahead)

    assert parse_retry_after_s(formatdate(when, usegmt=True), now=now) == max(0, when - now)


def test_retry_after_in_milliseconds() -> None:
    """Azure's milliseconds win over the seconds beside them."""
    assert read_retry_after_s({"retry-after-ms": "1500", "retry-after": "9"}, now=0) == 1.5
    assert read_retry_after_s({"x-ms-retry-after-ms": "250"}, now=0) == 0.25
    assert read_retry_after_s({"retry-after-ms": "x", "retry-after": "9"}, now=0) == 9
    assert read_retry_after_s({}, now=0) is None
