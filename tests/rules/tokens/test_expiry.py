"""When a token is renewed, and until when it is handed out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.tokens.expiry import plan, retry_delay_s, service_time

CHANCES = st.floats(0, 1, exclude_max=True)
NOW = 1_800_000_000.0


@given(st.floats(-1e6, 1e6), st.none() | st.floats(-1e6, 1e6), CHANCES)
def test_the_times_of_a_token_are_in_order(life_s: float, refresh_in_s: float | None, chance: float) -> None:
    """A token is renewed before it is kept back, and kept back before it dies; a living one is always handed out."""
    refresh_on = None if refresh_in_s is None else NOW + refresh_in_s
    schedule = plan(expires_on=NOW + life_s, refresh_on=refresh_on, now=NOW, chance=chance)

    assert 0 <= schedule.refresh_s <= schedule.hand_out_s <= schedule.life_s
    assert schedule.life_s == pytest.approx(max(0.0, life_s), abs=1e-5)
    if life_s > 1:
        assert schedule.hand_out_s >= schedule.life_s * 0.9 - 1e-6


@given(st.floats(3600, 100_000), CHANCES)
def test_the_services_wish_is_obeyed(life_s: float, chance: float) -> None:
    """``refresh_on`` is the time to renew, whatever chance says; one that is past counts for nothing."""
    wished = plan(expires_on=NOW + life_s, refresh_on=NOW + 1800, now=NOW, chance=chance)
    late = plan(expires_on=NOW + life_s, refresh_on=NOW - 1, now=NOW, chance=chance)

    assert wished.refresh_s == 1800
    assert 0.65 * life_s - 1e-3 <= late.refresh_s <= 0.8 * life_s + 1e-3


def test_many_processes_do_not_renew_at_once() -> None:
    """Where the service has no wish, the time to renew is spread over nine minutes of an hour's token."""
    times = {plan(expires_on=NOW + 3600, refresh_on=None, now=NOW, chance=each / 60).refresh_s for each in range(60)}

    assert len(times) == 60
    assert max(times) - min(times) > 500


@given(st.integers(1, 10_000), st.none() | st.floats(0, 7200), CHANCES)
def test_a_failing_service_is_let_alone_for_longer_and_longer(
    failures: int, retry_after_s: float | None, chance: float
) -> None:
    """The wait grows from half a minute to five, spread by a quarter, and is never less than the Retry-After."""
    delay_s = retry_delay_s(failures, retry_after_s=retry_after_s, chance=chance)

    assert delay_s >= max(22.5, retry_after_s or 0)
    assert delay_s <= max(375.0, retry_after_s or 0)
    if failures == 1 and retry_after_s is None:
        assert delay_s <= 37.5


@given(st.floats(0, 4e9), st.integers(1, 90_000), st.floats(-90_000, 90_000))
def test_a_slow_clock_is_put_right_by_a_token(issued: float, life_s: int, ahead_s: float) -> None:
    """A token that was issued in our future lives no longer than it was given, and no token lives shorter for it."""
    ends = int(issued) + life_s
    now = int(issued) + ahead_s
    then = service_time({"iat": int(issued), "exp": ends}, expires_on=ends, now=now)

    assert then >= now
    assert ends - then <= life_s
    assert service_time({}, expires_on=ends, now=now) == now
    assert service_time({"iat": int(issued), "exp": ends}, expires_on=ends + 60, now=now) == now
    assert service_time({"iat": "soon", "exp": None}, expires_on=ends, now=now) == now
