"""The limiters: one pause for all, the rate of an unknown limit, first come first served, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from entra_async import Connection, LimiterStats, Limits, RetryPolicy, Session
from entra_async.config import SystemClock
from entra_async.errors import BadRequestError, ConfigurationError, ThrottledError
from entra_async.pipeline.limiters import Limiters
from entra_async.rules.limits.documented import UNKNOWN
from entra_async.telemetry.events import Throttled
from entra_async.testing import Emulator
from tests.support.quiet_clock import QuietClock
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
PATIENT = RetryPolicy(deadline_s=1e6)


@asynccontextmanager
async def quiet(emulator: Emulator, **options: Any) -> AsyncIterator[tuple[Session, QuietClock]]:
    """Yield a Session and its clock, which moves whenever nothing is on the wire."""
    clock = QuietClock(emulator)
    async with emulator.session(**{"clock": clock, "retry": PATIENT, **options}) as session:

        def is_quiet() -> bool:
            return bool(session.throttling) and all(not state.in_flight for state in session.throttling.values())

        await session.connect(emulator.client_secret)
        emulator.requests.clear()
        async with clock.running(is_quiet):
            yield session, clock


def directory(session: Session) -> LimiterStats:
    """Return the state of the only limiter of the directory."""
    (state,) = (state for name, state in session.throttling.items() if " directory " in name)
    return state


async def crawl(connection: Connection, *, tasks: int, until_s: float, clock: QuietClock) -> None:
    """Let so many tasks send requests until then."""

    async def work() -> None:
        while clock.monotonic() < until_s:
            await connection.invoke(ADA)

    async with anyio.create_task_group() as group:
        for _ in range(tasks):
            group.start_soon(work)


async def test_one_429_is_one_pause(emulator: Emulator) -> None:
    """50 tasks meet a 429: those in flight get one, no others do, and all wait one time."""
    events: list[Throttled] = []
    listener = lambda event: events.append(event) if isinstance(event, Throttled) else None  # noqa: E731
    async with quiet(emulator, limits=Limits(connections=5), listener=listener) as (session, clock):
        emulator.faults.add(f"/v1.0/{ADA}", throttle=30, times=5)
        graph = session.connections["Graph"]
        started = clock.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(graph.invoke, ADA)
        statuses = Counter(request.status for request in emulator.requests)

    assert statuses == {429: 5, 200: 50}
    assert 30 <= clock.monotonic() - started < 33
    assert [event.limiter.split()[1] for event in events] == ["directory"]
    assert events[0].pause_s == pytest.approx(30, abs=0.1)


async def test_a_crawl_finds_the_rate(emulator: Emulator) -> None:
    """32 tasks under an unknown hard limit: four fifths of what it allows in the first minute."""
    emulator.throttle.limit(10, per_s=1.0, service="graph", retry_after_s=5)
    async with quiet(emulator) as (session, clock):
        graph = session.connections["Graph"]
        await crawl(graph, tasks=32, until_s=clock.monotonic() + 60, clock=clock)
        state = directory(session)
        statuses = Counter(request.status for request in emulator.requests)

    assert statuses[200] >= 0.8 * 60 * 10
    assert statuses[429] < 32 + 5  # those in flight when the limit was met
    assert state.rate_per_s == pytest.approx(10, rel=0.1)
    assert (state.accepted, state.throttled) == (statuses[200], statuses[429])


async def test_first_come_first_served(emulator: Emulator) -> None:
    """Those who wait at a limiter go in the order in which they came."""
    order: list[int] = []
    # A second between two is longer than any response takes, so that they end in the order in which they were sent.
    async with quiet(emulator, limits=Limits(requests_per_s=1)) as (session, _):
        graph = session.connections["Graph"]

        async def call(number: int) -> None:
            await graph.invoke(ADA)
            order.append(number)

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(call, number)
                await asyncio.sleep(0)

    assert order == list(range(30))


async def test_a_user_may_set_a_ceiling(emulator: Emulator) -> None:
    """No more requests per second, and no more at once, than the user allows."""
    async with quiet(emulator, limits=Limits(requests_per_s=20, in_flight=3)) as (session, clock):
        emulator.faults.add("/v1.0/users*", delay_s=0.01, times=None)
        graph = session.connections["Graph"]
        started = clock.monotonic()
        most = 0
        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(graph.invoke, ADA)
            while len(emulator.requests) < 60:
                most = max(most, *(state.in_flight for state in session.throttling.values()), 0)
                await asyncio.sleep(0.001)
        took = clock.monotonic() - started

    assert took >= 59 / 20 - 0.05
    assert 1 <= most <= 3


@pytest.mark.parametrize(
    "options",
    [{"requests_per_s": 0}, {"requests_per_s": "1"}, {"in_flight": 0}, {"in_flight": 1.5}, {"priority": "Top"}],
)
def test_a_ceiling_of_nothing_is_a_mistake(options: dict[str, Any]) -> None:
    """What can never let anything through, or is no priority, is named."""
    with pytest.raises(ConfigurationError) as caught:
        Limits(**options)

    assert caught.value.field == next(iter(options))


async def test_a_pause_is_an_error_for_a_call_that_cannot_wait(emulator: Emulator) -> None:
    """A call with less time than the pause lasts fails at once, and nothing is sent; others wait."""
    async with quiet(emulator) as (session, _):
        emulator.faults.add(f"/v1.0/{ADA}", throttle=100)
        graph = session.connections["Graph"]
        async with anyio.create_task_group() as group:
            group.start_soon(graph.invoke, ADA)
            await emulator.requests.wait_for(1)
            while not directory(session).throttled:  # noqa: ASYNC110 - no event shows it
                await asyncio.sleep(0)
            with pytest.raises(ThrottledError, match=r"was not sent: .* throttles requests for 100 s") as caught:
                await graph.invoke("groups", timeout=60)
        sent = [(request.path, request.status) for request in emulator.requests]

    assert sent == [(f"/v1.0/{ADA}", 429), (f"/v1.0/{ADA}", 200)]
    assert caught.value.retry_after_s == pytest.approx(100, abs=0.1)
    assert (caught.value.attempts, caught.value.status) == (0, 429)
    assert caught.value.url.endswith("/v1.0/groups")


async def test_a_turn_that_does_not_come_is_an_error(emulator: Emulator) -> None:
    """A call that waits in the queue longer than it may ends in time, and those behind it go on."""
    async with emulator.session(limits=Limits(requests_per_s=4)) as session:
        graph = await session.connect(emulator.client_secret)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(graph.invoke, ADA)
            await asyncio.sleep(0)
            with pytest.raises(ThrottledError, match="its turn did not come"):
                await graph.invoke(ADA, timeout=0.1)

    assert emulator.requests.count(path=f"/v1.0/{ADA}") == 3


async def test_a_cancelled_call_leaves_the_queue(emulator: Emulator) -> None:
    """Cancelling the call that watches the clock, or one in the queue, lets the others go on; no slot stays taken."""
    async with quiet(emulator, limits=Limits(requests_per_s=1)) as (session, _):
        graph = session.connections["Graph"]
        await graph.invoke(ADA)
        tasks = [asyncio.create_task(graph.invoke(ADA)) for _ in range(6)]
        await asyncio.sleep(0)
        for number in (0, 3):
            tasks[number].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        state = directory(session)

    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        number in (0, 3) for number in range(6)
    ]
    assert emulator.requests.count(path=f"/v1.0/{ADA}") == 5
    assert (state.in_flight, state.waiting) == (0, 0)


async def test_limits_do_not_wait_for_each_other(emulator: Emulator) -> None:
    """While one limit is exhausted, requests of another go."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        machines = await session.connect(emulator.client_secret, service="Endpoint")
        emulator.faults.add("/v1.0/users/*", throttle=60, times=None)
        async with anyio.create_task_group() as group:
            group.start_soon(graph.invoke, ADA)
            await emulator.requests.wait_for(1, path=f"/v1.0/{ADA}")
            await machines.invoke("machines", query={"$top": 1}, paging=False)
            group.cancel_scope.cancel()
        limits = {name.split()[1]: state for name, state in session.throttling.items()}

    assert limits["directory"].paused_s > 50
    assert limits["machines"].paused_s == 0


async def test_connections_of_one_app_share_a_limiter(emulator: Emulator) -> None:
    """Two connections of one app share a limit, as they do at the service; another app has its own."""
    async with emulator.session() as session:
        one = await session.connect(emulator.client_secret, name="one")
        two = await session.connect(emulator.client_secret, name="two")
        beta = await session.connect(emulator.client_secret, service="GraphBeta")
        for connection in (one, two, beta):
            await connection.invoke(ADA)
        assert directory(session).accepted == 3
        other = await session.connect(emulator.certificate, name="other")
        await other.invoke(ADA)
        assert [state.accepted for state in session.throttling.values()] == [3, 1]


async def test_priority_is_sent_to_graph_only(emulator: Emulator) -> None:
    """The Session's priority goes with each request to Graph, unless a call has its own."""
    async with emulator.session(limits=Limits(priority="Low")) as session:
        graph = await session.connect(emulator.client_secret)
        machines = await session.connect(emulator.client_secret, service="Endpoint")
        emulator.requests.clear()
        await graph.invoke(ADA)
        await graph.invoke(ADA, headers={"X-MS-Throttle-Priority": "High"})
        await machines.invoke("machines", query={"$top": 1}, paging=False)
        sent = [request.headers.get("x-ms-throttle-priority") for request in emulator.requests]

    assert [text for text in sent if text] == ["Low", "High"]


async def test_a_503_with_retry_after_pauses_every_request(emulator: Emulator) -> None:
    """A Retry-After is kept by every task, not only by the one that received it."""
    async with quiet(emulator, limits=Limits(connections=1)) as (session, clock):
        emulator.faults.add(f"/v1.0/{ADA}", status=503, headers={"Retry-After": "20"})
        graph = session.connections["Graph"]
        started = clock.monotonic()
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(graph.invoke, ADA)
        statuses = [request.status for request in emulator.requests]

    assert statuses == [503] + [200] * 10
    assert 20 <= clock.monotonic() - started < 22


async def test_a_request_outlives_many_429s(emulator: Emulator) -> None:
    """A 429 does not count as an attempt: a request that is throttled eight times is sent a ninth time."""
    clock = VirtualClock()
    async with emulator.session(clock=clock, retry=RetryPolicy(max_attempts=2)) as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add(f"/v1.0/{ADA}", throttle=1, times=8)
        response = await graph.invoke(ADA, raw=True)
        emulator.faults.add(f"/v1.0/{ADA}", throttle=1, times=None)
        with pytest.raises(ThrottledError):
            await graph.invoke(ADA, timeout=50)

    assert response.attempts == 9


async def test_each_mailbox_has_a_limiter(emulator: Emulator) -> None:
    """A limit that one mailbox has reached holds up no other."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for number in range(5):
            with pytest.raises(BadRequestError):  # the emulator has no mail
                await graph.invoke(f"users/{number}/messages")
        names = {name.split(" as ")[0].split(" ", 1)[1] for name in session.throttling}

    assert names == {f"mail of {number}" for number in range(5)}


def test_unused_limiters_are_forgotten() -> None:
    """A crawl of a million mailboxes does not hold a million limiters; one that is paused is kept."""
    limiters = Limiters(clock=SystemClock(), limits=Limits(), queue_s=1.0)
    paused = limiters.find("graph", "an app", "mail of ada", UNKNOWN)
    paused.estimator.pause(SystemClock().monotonic(), 1000.0)
    for number in range(10_000):
        limiters.find("graph", "an app", f"mail of {number}", UNKNOWN)

    assert len(limiters.stats) <= 4096
    assert limiters.find("graph", "an app", "mail of ada", UNKNOWN) is paused
