"""The hard limit of the emulated services: a token bucket per app, on the emulator's clock."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.testing.limits.throttle import Throttle
from tests.emulator.conftest import SteppedClock

if TYPE_CHECKING:
    from tests.emulator.conftest import Service


async def test_no_limit_unless_set(graph: Service) -> None:
    """A service nobody limited answers everything, and again after the limit was lifted."""
    assert {(await graph.get("/v1.0/me")).status for _ in range(50)} == {400}
    graph.throttle.limit(requests=1, per_s=1000)
    assert [(await graph.get("/v1.0/me")).status for _ in range(2)] == [400, 429]
    graph.throttle.off()
    assert (await graph.get("/v1.0/me")).status == 400


async def test_over_the_limit_is_429_until_the_time_is_up(graph: Service) -> None:
    """The request over the limit is told how long to wait; that long later one passes, and only one."""
    graph.throttle.limit(requests=5, per_s=50)
    assert [(await graph.get("/v1.0/users?$top=1")).status for _ in range(6)] == [200] * 5 + [429]
    response = await graph.get("/v1.0/users")
    error = response.body["error"]
    assert (error["code"], error["message"]) == ("TooManyRequests", "Please retry again later.")
    assert error["innerError"].keys() == {"code", "date", "message", "request-id", "client-request-id", "status"}
    assert (error["innerError"]["code"], error["innerError"]["status"]) == ("429", "429")
    assert response.headers["x-ms-throttle-scope"].startswith("Tenant_Application/ReadWrite/app-1/")
    assert response.headers["x-ms-throttle-information"] == "ResourceUnitLimitExceeded"
    assert response.headers["Retry-After"] == "30"  # one token takes 10 seconds, and the two refusals cost one each
    graph.clock.move(29)
    assert (await graph.get("/v1.0/users?$top=1")).status == 429
    graph.clock.move(11)
    assert [(await graph.get("/v1.0/users?$top=1")).status for _ in range(2)] == [200, 429]


async def test_throttled_requests_cost_as_much_as_others(graph: Service) -> None:
    """Who asks again at once waits longer each time, up to what refills the bucket twice; who waits as told gets in."""
    graph.throttle.limit(requests=3, per_s=30)
    assert [(await graph.get("/v1.0/users?$top=1")).status for _ in range(3)] == [200] * 3
    waits = [(await graph.get("/v1.0/users")).headers["Retry-After"] for _ in range(5)]
    assert waits == ["20", "30", "40", "40", "40"]
    for _ in range(100):  # asking every nine seconds, when one request in ten is allowed, never succeeds
        graph.clock.move(9)
        assert (await graph.get("/v1.0/users")).status == 429
    graph.clock.move(40)
    assert (await graph.get("/v1.0/users?$top=1")).status == 200


async def test_each_app_has_its_own_bucket(graph: Service) -> None:
    """What one app spends another app still has."""
    graph.throttle.limit(requests=1, per_s=1000)
    statuses = []
    for app in ("app-1", "app-1", "app-2", "app-2"):
        graph.claims = {"appid": app}
        statuses.append((await graph.get("/v1.0/users?$top=1")).status)
    assert statuses == [200, 429, 200, 429]


async def test_load_is_reported_near_the_limit(graph: Service) -> None:
    """From four fifths of the limit on, answers say how much of it is used."""
    graph.throttle.limit(requests=10, per_s=100_000)
    loads = [(await graph.get("/v1.0/users?$top=1")).headers.get("x-ms-throttle-limit-percentage") for _ in range(10)]
    assert loads[:7] == [None] * 7
    assert loads[8:] == ["0.90", "1.00"]


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"retry_after_s": 7}, "7"),
        ({"retry_after_s": 2.128}, "3"),
        ({"retry_after_s": 2.128, "retry_after_form": "fraction"}, "2.128"),
        ({"retry_after_form": "absent"}, None),
        ({"retry_after_s": 0}, "1"),
    ],
)
async def test_retry_after_takes_every_form(graph: Service, options: dict[str, Any], header: str | None) -> None:
    """The header is an integer of at least 1, or a fraction, or absent, as the test asks."""
    graph.throttle.limit(requests=1, per_s=1000, **options)
    await graph.get("/v1.0/me")
    assert (await graph.get("/v1.0/me")).headers.get("Retry-After") == header


def test_services_can_have_limits_of_their_own() -> None:
    """A limit with a service counts there only; one without counts for every other service."""
    throttle = Throttle(SteppedClock())
    throttle.limit(requests=1, per_s=1000)
    throttle.limit(requests=2, per_s=1000, service="graph")
    assert [throttle.take("graph", "a").allowed for _ in range(3)] == [True, True, False]
    assert [throttle.take("endpoint", "a").allowed for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests": 0}, "must be positive"),
        ({"per_s": 0}, "must be positive"),
        ({"per_s": math.nan}, "must be positive"),
        ({"per_s": math.inf}, "must be positive"),
        ({"burst": 0}, "must be positive"),
        ({"burst": 0.5}, "burst must be at least 1"),
        ({"retry_after_s": -1}, "retry_after_s must be a number of seconds"),
        ({"retry_after_s": math.nan}, "retry_after_s must be a number of seconds"),
        ({"retry_after_form": "date"}, "retry_after_form must be one of integer, fraction, absent"),
    ],
)
def test_nonsense_is_no_limit(options: dict[str, Any], message: str) -> None:
    """A limit of nothing, in no time, or with a wait that cannot be written, is a mistake and says so."""
    with pytest.raises(ValueError, match=message):
        Throttle(SteppedClock()).limit(**({"requests": 1, "per_s": 1} | options))


@given(
    requests=st.integers(1, 50),
    per_s=st.floats(0.1, 100),
    waits=st.lists(st.floats(0, 20), min_size=1, max_size=60),
    fraction=st.booleans(),
)
def test_bucket_keeps_its_promise(requests: int, per_s: float, waits: list[float], *, fraction: bool) -> None:
    """However requests are timed, no more pass than the bucket allows, and waiting as told always gets through."""
    clock = SteppedClock()
    throttle = Throttle(clock)
    throttle.limit(requests, per_s, retry_after_form="fraction" if fraction else "integer")
    started = clock.monotonic()
    for passed, wait in enumerate(waits, start=1):
        clock.move(wait)
        decision = throttle.take("graph", "a")
        if not decision.allowed:
            assert decision.retry_after is not None
            clock.move(float(decision.retry_after))
            decision = throttle.take("graph", "a")
        assert decision.allowed
        assert passed <= requests + (clock.monotonic() - started) * requests / per_s + 1e-3
