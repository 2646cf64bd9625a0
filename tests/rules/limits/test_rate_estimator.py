"""The rate estimator finds the rate of a token bucket, and keeps its invariants whatever comes."""

from __future__ import annotations

from math import inf, isfinite

import pytest
from benchmarks.throttling import Bucket, NoLimiter, ideal, simulate
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.limits.observations import Interval, Observations, rate_from_two
from entra_async.rules.limits.rate_estimator import RateEstimator, Spacing

STEPS = st.tuples(
    st.sampled_from(["send", "accept", "refuse", "fail", "pause", "near"]),
    st.floats(0, 30),
    st.none() | st.floats(0, 60),
)


@given(st.lists(STEPS, max_size=200), st.none() | st.floats(0.01, 1000), st.floats(0.5, 20))
def test_whatever_comes_every_pause_ends(
    steps: list[tuple[str, float, float | None]], rate: float | None, cost: float
) -> None:
    """No wait is negative or infinite, no rate is zero or less, and a pause is never shorter than was requested."""
    estimator = RateEstimator() if rate is None else RateEstimator(rate=rate)
    now, paused_until = 0.0, 0.0
    sent: list[float] = []
    for step, seconds, retry_after_s in steps:
        now += seconds
        if step == "send":
            wait_s = estimator.wait_s(now)
            assert wait_s >= 0
            now += wait_s
            # Whoever waits that long may send, perhaps after another wait: the rate changes at the end of a pause.
            for _ in range(3):
                if (again_s := estimator.wait_s(now)) == 0:
                    break
                now += again_s
            assert estimator.wait_s(now) == 0
            assert now >= paused_until - 1e-6
            estimator.sent(now, cost)
            sent.append(now)
        elif step == "pause":
            estimator.pause(now, seconds)
            paused_until = max(paused_until, now + seconds)
        elif sent:
            sent_at = sent.pop(0)
            if step == "accept":
                estimator.accepted(sent_at, now, cost)
            elif step == "near":
                estimator.accepted(sent_at, now, cost, near_limit=True)
            elif step == "refuse":
                estimator.refused(sent_at, now, retry_after_s, cost)
                paused_until = max(paused_until, now + (retry_after_s or 0))
        assert estimator.rate > 0
        assert estimator.per_s > 0
        assert estimator.burst_s > 0
    wait_s = estimator.wait_s(now)
    assert isfinite(wait_s)


def test_nothing_waits_until_the_first_429() -> None:
    """A service without a limit is not slowed: ten thousand requests at the same moment are all sent."""
    estimator = RateEstimator()
    for number in range(10_000):
        assert estimator.wait_s(number * 1e-6) == 0
        estimator.sent(number * 1e-6)
        estimator.accepted(number * 1e-6, 1.0)

    assert estimator.rate == inf


def test_a_burst_of_429_is_one_pause() -> None:
    """Fifty 429 cause one pause, as long as the last of them requests; then one request is sent."""
    estimator = RateEstimator()
    began = [estimator.refused(0.0, 1 + number / 1000, 5.0) for number in range(50)]

    assert began == [True] + [False] * 49
    assert estimator.wait_s(1.05) == pytest.approx(4.999)
    assert estimator.wait_s(6.1) == 0
    estimator.sent(6.1)
    assert estimator.wait_s(6.1) > 0
    assert estimator.accepted(6.1, 6.2)
    assert estimator.wait_s(6.2) == 0


def test_late_429_do_not_lower_the_rate() -> None:
    """A 429 to a request that was sent before the pause makes the pause longer, but not the rate lower."""
    estimator = RateEstimator()
    for number in range(100):
        estimator.sent(number / 100)
        estimator.accepted(number / 100, number / 100 + 0.1)
    for _ in range(50):
        estimator.refused(1.0, 1.2, 1.0)
    assert estimator.wait_s(2.3) == 0
    rate = estimator.rate
    estimator.refused(1.0, 2.4, 1.0)

    assert estimator.wait_s(2.5) == pytest.approx(0.9)
    assert estimator.wait_s(3.5) == 0
    assert estimator.rate == rate


def test_a_futile_pause_grows() -> None:
    """Without Retry-After, or with a useless one, each pause after which nothing is accepted is longer."""
    waits: dict[float | None, list[float]] = {None: [], 1.0: []}
    for retry_after_s, pauses in waits.items():
        estimator, now = RateEstimator(), 0.0
        for _ in range(6):
            estimator.sent(now)
            estimator.refused(now, now, retry_after_s)
            pauses.append(estimator.wait_s(now))
            now += pauses[-1]
            assert estimator.wait_s(now) == 0

    assert waits[None] == [1, 2, 4, 8, 16, 32]
    assert waits[1.0] == [1, 1, 1, 2, 4, 8]


def test_a_single_429_is_an_outlier() -> None:
    """A single 429, while far more is accepted, causes a pause, but sets no rate."""
    estimator = RateEstimator()
    for number in range(20):
        estimator.sent(number / 1000)
    estimator.refused(0.0, 0.1, 1.0)
    for number in range(1, 20):
        estimator.accepted(number / 1000, 0.2 + number / 1000)

    assert estimator.wait_s(0.3) == pytest.approx(0.8)
    assert estimator.wait_s(1.2) == 0
    assert estimator.rate == inf


def test_a_single_429_at_a_low_rate_sets_no_rate() -> None:
    """At a low request rate, one 429 does not make that the estimate; a second one soon after does."""
    estimator, now = RateEstimator(), 0.0
    rates = []
    for _ in range(2):
        for _ in range(50):
            now += 0.2 + estimator.wait_s(now)
            estimator.sent(now)
            estimator.accepted(now, now + 0.1)
        estimator.sent(now)
        estimator.refused(now, now + 0.1, 1.0)
        now += estimator.wait_s(now)
        estimator.wait_s(now)
        rates.append(estimator.rate)

    assert rates == [inf, pytest.approx(5, rel=0.2)]


def test_an_enforced_limit_is_outgrown() -> None:
    """Requests are spaced by it from the first one on; as long as there is no 429, faster rates are probed."""
    estimator, now = RateEstimator(rate=1.0, burst_s=5.0), 0.0
    sent: list[float] = []
    while now < 1800 and len(sent) < 3000:
        now += estimator.wait_s(now)
        estimator.sent(now)
        estimator.accepted(now, now + 0.1)
        sent.append(now)

    assert sum(at < 0.1 for at in sent) <= 6
    assert sum(at < 60 for at in sent) <= 60 + 6
    assert now < 600


def test_the_documented_rate_bounds_the_first_estimate_only() -> None:
    """At the first 429 no more is assumed than is documented."""
    estimator = RateEstimator(documented=50.0)
    for number in range(1000):
        estimator.sent(number / 1000)
        estimator.accepted(number / 1000, number / 1000 + 0.01)
    for _ in range(10):
        estimator.refused(1.0, 1.01, 1.0)
    estimator.wait_s(2.1)

    assert estimator.rate == 50.0


def test_near_its_limit_no_faster_rate_is_probed() -> None:
    """A service that says that its limit is near is not probed, so that no probe ends in a 429."""
    estimator, now = RateEstimator(rate=10.0), 0.0
    while now < 1000:
        now += estimator.wait_s(now)
        estimator.sent(now)
        estimator.accepted(now, now + 0.1, near_limit=True)

    assert estimator.rate == 10.0


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=50), st.floats(0.01, 100), st.floats(0, 5))
def test_spacing_keeps_its_distance(waits: list[float], distance_s: float, slack_s: float) -> None:
    """Over any time, no more are sent than fit into it and the slack."""
    spacing, now, started = Spacing(), 0.0, None
    for sent, seconds in enumerate(waits, start=1):
        now += spacing.wait_s(now, slack_s)
        started = now if started is None else started
        spacing.take(now, distance_s)
        assert sent <= 1 + (now - started + slack_s) / distance_s + 1e-6
        now += seconds / 1000


@given(st.floats(1, 1000), st.floats(0.5, 20), st.floats(1.01, 20), st.floats(1.01, 20))
def test_two_intervals_give_the_rate(rate: float, burst_s: float, faster: float, slower: float) -> None:
    """Whatever a bucket holds, two intervals that emptied it at different speeds give its refill rate."""
    intervals = []
    for speed in sorted({faster, slower}, reverse=True):
        length_s = burst_s / (speed - 1)
        intervals.append(Interval(rate * (length_s + burst_s), length_s, 0.0))
    if len(intervals) == 2 and intervals[1].length_s - intervals[0].length_s > 0.01:
        assert rate_from_two(*intervals, least=0.0) == pytest.approx(rate, rel=1e-3)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 5)), min_size=1, max_size=200), st.floats(0.1, 20))
def test_the_busiest_interval_has_the_highest_rate(requests: list[tuple[float, float]], burst_s: float) -> None:
    """Its rate is at least that of the whole time, and a burst that is assumed larger never makes it higher."""
    observed, now, total = Observations(-inf), 0.0, 0.0
    for seconds, cost in requests:
        now += seconds
        observed.accept(now, cost)
        total += cost
    busiest = observed.busiest(burst_s)

    length_s = now - requests[0][0]
    assert busiest.rate >= total / (length_s + burst_s) * (1 - 1e-9) or len(requests) > 64
    assert observed.busiest(burst_s * 2).rate <= busiest.rate


@pytest.mark.parametrize("drains", [True, False], ids=["refusals cost", "refusals are free"])
@pytest.mark.parametrize("retry_after_s", [1.0, 5.0, 10.0])
@pytest.mark.parametrize("burst_s", [1.0, 10.0])
def test_an_hour_under_an_unknown_bucket(burst_s: float, retry_after_s: float, drains: bool) -> None:
    """One worker: at least 95 % of what the bucket gives in an hour, 80 % in the first minute, under 1 % refused."""
    result = simulate(Bucket(20.0, burst_s, retry_after_s, drains=drains), RateEstimator, tasks=32, seed=4)

    assert sum(result.accepted) >= 0.95 * ideal(20.0, burst_s, 3600.0)
    assert result.first_minute >= 0.80 * 60 * 20.0
    assert result.refused < 0.01 * result.sent


@pytest.mark.parametrize(("burst_s", "retry_after_s"), [(1.0, 1.0), (1.0, 5.0), (10.0, 5.0), (10.0, 10.0)])
def test_an_hour_in_which_the_rate_is_halved_and_restored(burst_s: float, retry_after_s: float) -> None:
    """The same when it gives half from the twentieth to the fortieth minute."""
    changes = ((1200.0, 10.0), (2400.0, 20.0))
    result = simulate(Bucket(20.0, burst_s, retry_after_s, changes=changes), RateEstimator, tasks=32, seed=4)

    assert sum(result.accepted) >= 0.95 * ideal(20.0, burst_s, 3600.0, changes=changes)
    assert result.refused < 0.01 * result.sent


@pytest.mark.parametrize("seed", [1, 2])
def test_four_independent_workers(seed: int) -> None:
    """They share the bucket: at least four fifths of it are used, and none gets less than a third of its share."""
    result = simulate(Bucket(40.0, 1.0, 5.0), RateEstimator, workers=4, tasks=16, seed=seed)

    assert sum(result.accepted) >= 0.8 * ideal(40.0, 1.0, 3600.0)
    assert min(result.accepted) > sum(result.accepted) / 12
    assert result.refused < 0.01 * result.sent


def test_without_a_limit_nothing_is_slowed() -> None:
    """As many requests as without a limiter."""
    assert simulate(None, RateEstimator, seconds=60.0).accepted == simulate(None, NoLimiter, seconds=60.0).accepted
