"""How fast a service may be asked: the pace keeps its promises whatever comes, and finds the rate of a bucket."""

from __future__ import annotations

from math import inf, isfinite

import pytest
from benchmarks.throttling import Bucket, NoGate, ideal, simulate
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.limits.evidence import Run, Stretch, rate_of_both
from entra_async.rules.limits.rate_estimator import RateEstimator, Spacing

STEPS = st.tuples(
    st.sampled_from(["send", "accept", "refuse", "fail", "pause", "near"]),
    st.floats(0, 30),
    st.none() | st.floats(0, 60),
)


@given(st.lists(STEPS, max_size=200), st.none() | st.floats(0.01, 1000), st.floats(0.5, 20))
def test_whatever_comes_the_gate_opens_again(
    steps: list[tuple[str, float, float | None]], rate: float | None, cost: float
) -> None:
    """No wait is negative or without end, no rate is zero or less, and a pause is never shorter than was asked."""
    pace = RateEstimator() if rate is None else RateEstimator(rate=rate)
    now, open_at = 0.0, 0.0
    sent: list[float] = []
    for step, seconds, retry_after_s in steps:
        now += seconds
        if step == "send":
            wait_s = pace.wait_s(now)
            assert wait_s >= 0
            now += wait_s
            # Whoever waits as told goes at once, or after another such wait: the pace changes at the end of a pause.
            for _ in range(3):
                if (again_s := pace.wait_s(now)) == 0:
                    break
                now += again_s
            assert pace.wait_s(now) == 0
            assert now >= open_at - 1e-6
            pace.sent(now, cost)
            sent.append(now)
        elif step == "pause":
            pace.pause(now, seconds)
            open_at = max(open_at, now + seconds)
        elif sent:
            sent_at = sent.pop(0)
            if step == "accept":
                pace.accepted(sent_at, now, cost)
            elif step == "near":
                pace.accepted(sent_at, now, cost, near_limit=True)
            elif step == "refuse":
                pace.refused(sent_at, now, retry_after_s, cost)
                open_at = max(open_at, now + (retry_after_s or 0))
        assert pace.rate > 0
        assert pace.per_s > 0
        assert pace.burst_s > 0
    wait_s = pace.wait_s(now)
    assert isfinite(wait_s)


def test_nothing_waits_until_something_is_refused() -> None:
    """A service without a limit is not slowed: ten thousand requests at the same moment all go."""
    pace = RateEstimator()
    for number in range(10_000):
        assert pace.wait_s(number * 1e-6) == 0
        pace.sent(number * 1e-6)
        pace.accepted(number * 1e-6, 1.0)

    assert pace.rate == inf


def test_a_burst_of_refusals_is_one_pause() -> None:
    """Fifty refusals close the gate once, until the last of them allows; then one request tries."""
    pace = RateEstimator()
    closed = [pace.refused(0.0, 1 + number / 1000, 5.0) for number in range(50)]

    assert closed == [True] + [False] * 49
    assert pace.wait_s(1.05) == pytest.approx(4.999)
    assert pace.wait_s(6.1) == 0
    pace.sent(6.1)
    assert pace.wait_s(6.1) > 0
    assert pace.accepted(6.1, 6.2)
    assert pace.wait_s(6.2) == 0


def test_stragglers_of_a_pause_tell_nothing_new() -> None:
    """A 429 to a request that went before the pause makes the pause longer, but not the rate lower."""
    pace = RateEstimator()
    for number in range(100):
        pace.sent(number / 100)
        pace.accepted(number / 100, number / 100 + 0.1)
    for _ in range(50):
        pace.refused(1.0, 1.2, 1.0)
    assert pace.wait_s(2.3) == 0
    rate = pace.rate
    pace.refused(1.0, 2.4, 1.0)

    assert pace.wait_s(2.5) == pytest.approx(0.9)
    assert pace.wait_s(3.5) == 0
    assert pace.rate == rate


def test_a_pause_that_does_not_help_grows() -> None:
    """Without Retry-After, or with one that is of no use, each pause after which all is refused again is longer."""
    waits: dict[float | None, list[float]] = {None: [], 1.0: []}
    for retry_after_s, pauses in waits.items():
        pace, now = RateEstimator(), 0.0
        for _ in range(6):
            pace.sent(now)
            pace.refused(now, now, retry_after_s)
            pauses.append(pace.wait_s(now))
            now += pauses[-1]
            assert pace.wait_s(now) == 0

    assert waits[None] == [1, 2, 4, 8, 16, 32]
    assert waits[1.0] == [1, 1, 1, 2, 4, 8]


def test_one_refusal_among_many_answers_is_forgiven() -> None:
    """A single 429, while far more is accepted, is obeyed, but tells nothing of a rate."""
    pace = RateEstimator()
    for number in range(20):
        pace.sent(number / 1000)
    pace.refused(0.0, 0.1, 1.0)
    for number in range(1, 20):
        pace.accepted(number / 1000, 0.2 + number / 1000)

    assert pace.wait_s(0.3) == pytest.approx(0.8)
    assert pace.wait_s(1.2) == 0
    assert pace.rate == inf


def test_a_lone_refusal_does_not_tie_a_service_to_its_quiet_hours() -> None:
    """Where little is asked, one 429 does not make that little the rate; a second one soon after does."""
    pace, now = RateEstimator(), 0.0
    rates = []
    for _ in range(2):
        for _ in range(50):
            now += 0.2 + pace.wait_s(now)
            pace.sent(now)
            pace.accepted(now, now + 0.1)
        pace.sent(now)
        pace.refused(now, now + 0.1, 1.0)
        now += pace.wait_s(now)
        pace.wait_s(now)
        rates.append(pace.rate)

    assert rates == [inf, pytest.approx(5, rel=0.2)]


def test_a_documented_limit_is_heeded_and_outgrown() -> None:
    """Requests are spaced by it from the first one on; if nothing is refused, faster is tried by and by."""
    pace, now = RateEstimator(rate=1.0, burst_s=5.0), 0.0
    sent: list[float] = []
    while now < 1800 and len(sent) < 3000:
        now += pace.wait_s(now)
        pace.sent(now)
        pace.accepted(now, now + 0.1)
        sent.append(now)

    assert sum(at < 0.1 for at in sent) <= 6
    assert sum(at < 60 for at in sent) <= 60 + 6
    assert now < 600


def test_what_is_documented_bounds_the_first_guess_only() -> None:
    """At the first refusal no more is assumed than is documented."""
    pace = RateEstimator(documented=50.0)
    for number in range(1000):
        pace.sent(number / 1000)
        pace.accepted(number / 1000, number / 1000 + 0.01)
    for _ in range(10):
        pace.refused(1.0, 1.01, 1.0)
    pace.wait_s(2.1)

    assert pace.rate == 50.0


def test_near_its_limit_nothing_faster_is_tried() -> None:
    """A service that says how near its limit is spares the refusals of trials."""
    pace, now = RateEstimator(rate=10.0), 0.0
    while now < 1000:
        now += pace.wait_s(now)
        pace.sent(now)
        pace.accepted(now, now + 0.1, near_limit=True)

    assert pace.rate == 10.0


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=50), st.floats(0.01, 100), st.floats(0, 5))
def test_spacing_keeps_its_distance(waits: list[float], distance_s: float, slack_s: float) -> None:
    """Over any time, no more go than fit into it and the slack."""
    spacing, now, started = Spacing(), 0.0, None
    for gone, seconds in enumerate(waits, start=1):
        now += spacing.wait_s(now, slack_s)
        started = now if started is None else started
        spacing.take(now, distance_s)
        assert gone <= 1 + (now - started + slack_s) / distance_s + 1e-6
        now += seconds / 1000


@given(st.floats(1, 1000), st.floats(0.5, 20), st.floats(1.01, 20), st.floats(1.01, 20))
def test_two_runs_tell_rate_and_burst(rate: float, burst_s: float, faster: float, slower: float) -> None:
    """Whatever a bucket holds, two runs that emptied it at different speeds tell what it gains."""
    runs = []
    for speed in sorted({faster, slower}, reverse=True):
        width_s = burst_s / (speed - 1)
        runs.append(Stretch(rate * (width_s + burst_s), width_s, 0.0))
    if len(runs) == 2 and runs[1].width_s - runs[0].width_s > 0.01:
        assert rate_of_both(*runs, least=0.0) == pytest.approx(rate, rel=1e-3)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 5)), min_size=1, max_size=200), st.floats(0.1, 20))
def test_no_stretch_tells_more_than_the_tightest(given_: list[tuple[float, float]], burst_s: float) -> None:
    """The estimate is at least what the whole run tells, and a burst that is assumed larger never makes it larger."""
    run, now, total = Run(-inf), 0.0, 0.0
    for seconds, cost in given_:
        now += seconds
        run.accept(now, cost)
        total += cost
    tightest = run.tightest(burst_s)

    width_s = now - given_[0][0]
    assert tightest.rate >= total / (width_s + burst_s) * (1 - 1e-9) or len(given_) > 64
    assert run.tightest(burst_s * 2).rate <= tightest.rate


@pytest.mark.parametrize("drains", [True, False], ids=["refusals cost", "refusals are free"])
@pytest.mark.parametrize("retry_after_s", [1.0, 5.0, 10.0])
@pytest.mark.parametrize("burst_s", [1.0, 10.0])
def test_an_hour_under_a_bucket_nobody_knows(burst_s: float, retry_after_s: float, drains: bool) -> None:
    """One worker: at least 95 % of what the bucket gives in an hour, 80 % in the first minute, under 1 % refused."""
    result = simulate(Bucket(20.0, burst_s, retry_after_s, drains=drains), RateEstimator, tasks=32, seed=4)

    assert sum(result.accepted) >= 0.95 * ideal(20.0, burst_s, 3600.0)
    assert result.first_minute >= 0.80 * 60 * 20.0
    assert result.refused < 0.01 * result.sent


@pytest.mark.parametrize(("burst_s", "retry_after_s"), [(1.0, 1.0), (1.0, 5.0), (10.0, 5.0), (10.0, 10.0)])
def test_an_hour_in_which_the_bucket_shrinks_and_comes_back(burst_s: float, retry_after_s: float) -> None:
    """The same when it gives half from the twentieth to the fortieth minute."""
    changes = ((1200.0, 10.0), (2400.0, 20.0))
    result = simulate(Bucket(20.0, burst_s, retry_after_s, changes=changes), RateEstimator, tasks=32, seed=4)

    assert sum(result.accepted) >= 0.95 * ideal(20.0, burst_s, 3600.0, changes=changes)
    assert result.refused < 0.01 * result.sent


@pytest.mark.parametrize("seed", [1, 2])
def test_four_workers_that_do_not_know_of_each_other(seed: int) -> None:
    """They share what there is: four fifths of it at least are used, and nobody is left with less than a third."""
    result = simulate(Bucket(40.0, 1.0, 5.0), RateEstimator, workers=4, tasks=16, seed=seed)

    assert sum(result.accepted) >= 0.8 * ideal(40.0, 1.0, 3600.0)
    assert min(result.accepted) > sum(result.accepted) / 12
    assert result.refused < 0.01 * result.sent


def test_where_there_is_no_limit_nothing_is_slowed() -> None:
    """As many requests as without a gate."""
    assert simulate(None, RateEstimator, seconds=60.0).accepted == simulate(None, NoGate, seconds=60.0).accepted
