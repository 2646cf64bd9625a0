"""The clock skew of a service, from the dates of its responses."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.http.retry import read_retry_after_s
from entra_async.rules.http.skew import ClockRange, clock_range, offset_s, read_date

NOW = 1_800_000_000.0


@given(
    st.floats(-1e5, 1e5),
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=8),
)
def test_the_offset_is_found_as_well_as_it_can_be(ahead_s: float, responses: list[tuple[float, float, float]]) -> None:
    """However long each response took, the service's clock is found within the shortest round trip and a second."""
    spans = []
    for at, took_s, share in responses:
        sent_at = NOW + at
        date = float(int(sent_at + took_s * share + ahead_s))
        spans.append(clock_range(date=date, sent_at=sent_at, received_at=sent_at + took_s))
    found = offset_s(spans)

    assert abs(found - ahead_s) <= min(took_s for _, took_s, _ in responses) + 1.01
    assert abs(found) <= abs(ahead_s) + 1e-3


@given(st.lists(st.floats(-0.4, 0.4), max_size=8))
def test_clocks_that_may_agree_do(jitters: list[float]) -> None:
    """A difference that the second's resolution explains is none."""
    spans = [clock_range(date=float(int(NOW)), sent_at=NOW + each, received_at=NOW + each + 0.5) for each in jitters]
    assert offset_s(spans) == 0


def test_a_clock_that_was_set_starts_anew() -> None:
    """What contradicts everything before it counts alone."""
    assert offset_s([ClockRange(600, 601), ClockRange(600.2, 601.2), ClockRange(-5, -4)]) == -4
    assert offset_s([]) == 0


@given(st.text())
def test_any_text_may_be_a_date(text: str) -> None:
    """What cannot be read tells nothing."""
    read_date(text)


@pytest.mark.parametrize("ahead_s", [-7200, 0, 7200])
def test_a_moment_is_meant_by_the_services_own_clock(ahead_s: float) -> None:
    """A ``Retry-After`` that is a date is counted from the response's ``Date``, however wrong our clock is."""
    there = NOW + ahead_s
    headers = {"retry-after": formatdate(there + 30, usegmt=True), "date": formatdate(there, usegmt=True)}
    assert read_retry_after_s(headers, now=NOW) == 30
