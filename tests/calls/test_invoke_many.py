"""Calls by the thousand: as many at once as wanted, no more taken than are under way, nothing left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from itertools import count, islice
from typing import Any

import anyio
import pytest

from entra_async import Connection, Request, Session
from entra_async.errors import ClosedError, ConfigurationError, EntraError, NotFoundError
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
NOBODY = "users/nobody@contoso.com"


@pytest.fixture
async def session(emulator: Emulator) -> AsyncIterator[Session]:
    async with emulator.session(clock=VirtualClock()) as session:
        await session.connect(emulator.client_secret)
        yield session


@pytest.fixture
def graph(session: Session) -> Connection:
    return session.connections["Graph"]


async def read(results: AsyncGenerator[tuple[str, Any]], *, into: list[str]) -> None:
    """Read to the end, or to the error: what came before it counts, too."""
    async for path, _ in results:
        into.append(path)


def ours() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("entra_async")}


async def test_every_request_with_its_result(graph: Connection) -> None:
    """Each of 250 requests comes back once, as the object that was given, with the result of that very request."""
    users = await graph.invoke("users", query={"$select": "id"})
    requests = [Request(f"users/{user['id']}", query={"$select": "id"}) for user in users] + [Request(NOBODY)] * 50
    seen = [(request, result) async for request, result in graph.invoke_many(requests)]

    assert Counter(id(request) for request, _ in seen) == Counter(map(id, requests))
    for request, result in seen:
        if request.path == NOBODY:
            assert isinstance(result, NotFoundError)
        else:
            assert not isinstance(result, EntraError)
            assert isinstance(request.path, str)
            assert result["id"] == request.path.removeprefix("users/")


async def test_ordered(graph: Connection, emulator: Emulator) -> None:
    """ordered=True keeps the order, also when the first is the slowest."""
    emulator.faults.add(f"/v1.0/{ADA}", throttle=5, times=3)
    paths = [ADA, "groups?$top=1", NOBODY, *[f"users?$top={n}" for n in range(1, 40)]]
    seen = [path async for path, _ in graph.invoke_many(paths, ordered=True, concurrency=10)]

    assert seen == paths


async def test_as_they_end(emulator: Emulator) -> None:
    """Without it, who is answered first comes first."""
    emulator.faults.add(f"/v1.0/{ADA}", delay_s=3600)
    seen = []
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        async for path, _ in session.invoke_many([ADA, "groups?$top=1", NOBODY]):
            seen.append(path)
            if len(seen) == 2:
                emulator.clock.move(3600)

    assert seen[-1] == ADA


async def test_across_services(session: Session, emulator: Emulator) -> None:
    """A Session sends each request to the service it names; one that is not connected is an error of its own."""
    await session.connect(emulator.client_secret, service="Endpoint")
    requests: list[Any] = [
        ADA,
        {"path": "machines", "service": "endpoint", "query": {"$top": 3}, "paging": False},
        Request("vaults", service="Azure"),
    ]
    results: list[Any] = [result async for _, result in session.invoke_many(requests, ordered=True)]

    assert results[0]["givenName"] == "Ada"
    assert len(results[1]) == 3
    assert isinstance(results[2], ConfigurationError)
    assert "'Azure' is not connected" in str(results[2])


async def test_groups_of_every_user(graph: Connection, emulator: Emulator) -> None:
    """A stream feeds the calls, and the calls share batches: 200 users, a tenth of the requests."""
    paths = (f"users/{user['id']}/memberOf" async for user in graph.stream("users"))
    found = {path: groups async for path, groups in graph.batching(window_s=0.02).invoke_many(paths)}

    assert len(found) == 200
    assert all(isinstance(groups, list) for groups in found.values())
    assert len(emulator.requests.items()) + emulator.requests.count(path=".*/memberOf") == 200
    assert len(emulator.requests) < 40


async def test_endless_input_is_taken_as_needed(graph: Connection) -> None:
    """Of endless requests no more are taken than are yielded or under way, and leaving the loop ends them."""
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        for taken in count(1):  # noqa: B007 - read outside
            yield ADA

    async with aclosing(graph.invoke_many(endless(), concurrency=7)) as results:
        yielded = 0
        async for _ in results:
            yielded += 1
            assert taken <= yielded + 7
            if yielded == 60:
                break
    await anyio.wait_all_tasks_blocked()

    assert taken <= 67
    assert ours() == set()


async def test_a_slow_reader_holds_up_the_calls(graph: Connection, emulator: Emulator) -> None:
    """What was not read yet counts as under way: memory stays bounded, in either order."""
    for ordered in (False, True):
        emulator.requests.clear()
        async with aclosing(graph.invoke_many((ADA for _ in count()), ordered=ordered, concurrency=5)) as results:
            await anext(results)
            await anyio.wait_all_tasks_blocked()
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            assert emulator.requests.count(service="graph") <= 6


async def test_stop_on_error(graph: Connection, emulator: Emulator) -> None:
    """The first error is raised, and what is under way is given up."""
    emulator.faults.add(f"/v1.0/{ADA}", times=None, delay_s=3600)
    seen: list[str] = []
    paths = ["groups?$top=1", NOBODY, *[ADA] * 20]
    with pytest.raises(NotFoundError):
        await read(graph.invoke_many(paths, ordered=True, concurrency=10, stop_on_error=True), into=seen)
    await anyio.wait_all_tasks_blocked()

    assert seen == ["groups?$top=1"]
    assert ours() == set()


async def test_input_that_fails(graph: Connection) -> None:
    """Requests that were taken before the input failed are answered, and then its error is raised as it is."""

    async def failing() -> AsyncGenerator[str]:
        yield ADA
        yield NOBODY
        raise LookupError("no more")

    seen: list[str] = []
    with pytest.raises(LookupError, match="no more"):
        await read(graph.invoke_many(failing()), into=seen)

    assert sorted(seen) == [ADA, NOBODY]


async def test_requests_that_cannot_be_sent(graph: Connection, emulator: Emulator) -> None:
    """Each is an error of its own, and the others go on."""
    requests: list[Any] = [ADA, "", {"path": ADA, "tries": 2}, 7, Request(ADA, depends_on=("a",)), {"path": ADA}]
    results = [result async for _, result in graph.invoke_many(requests, ordered=True)]

    assert [isinstance(result, ConfigurationError) for result in results] == [False, True, True, True, True, False]
    assert "batch()" in str(results[4])
    assert emulator.requests.count(service="graph") == 2


@pytest.mark.parametrize(
    ("requests", "options", "field"),
    [
        (ADA, {}, "requests"),
        (Request(ADA), {}, "requests"),
        ({"path": ADA}, {}, "requests"),
        (None, {}, "requests"),
        ([], {"concurrency": 0}, "concurrency"),
        ([], {"concurrency": 2.5}, "concurrency"),
    ],
)
async def test_bad_input(graph: Connection, requests: Any, options: dict[str, Any], field: str) -> None:
    """What is no collection of requests is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        graph.invoke_many(requests, **options)
    assert caught.value.field == field


async def test_nothing(graph: Connection) -> None:
    """No requests, no results."""
    empty: list[str] = []
    assert [pair async for pair in graph.invoke_many(empty)] == []


async def test_concurrency_is_limited(emulator: Emulator) -> None:
    """concurrency= is how many are on the wire."""
    emulator.faults.add(f"/v1.0/{ADA}", times=None, delay_s=3600)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        reading = asyncio.create_task(anext(graph.invoke_many([ADA] * 50, concurrency=4)))
        await emulator.requests.wait_for(4, service="graph")
        await anyio.wait_all_tasks_blocked()
        arrived = emulator.requests.count(service="graph")
        reading.cancel()
        await asyncio.wait([reading])
        await anyio.wait_all_tasks_blocked()
        left = ours()

    assert arrived == 4
    assert left == set()


async def test_cancellation_passes_through(emulator: Emulator) -> None:
    """A reader that is cancelled leaves no call and no reading of the input."""
    emulator.faults.add("/v1.0/users*", times=None, delay_s=3600)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with anyio.move_on_after(0.2) as scope:
            async for _ in graph.invoke_many(f"users/{user['id']}" async for user in graph.stream("users")):
                pass
        await anyio.wait_all_tasks_blocked()
        left = ours()

    assert scope.cancelled_caught
    assert left == set()


async def test_closing_the_session_ends_it(emulator: Emulator) -> None:
    """Endless calls end with a clear error when their Session closes, not with an error for each of them."""
    session = emulator.session()
    graph = await session.connect(emulator.client_secret)
    results = graph.invoke_many(ADA for _ in count())
    for _ in range(5):
        assert not isinstance((await anext(results))[1], EntraError)
    await session.aclose()
    with pytest.raises(ClosedError):
        await read(results, into=[])
    await anyio.wait_all_tasks_blocked()

    assert ours() == set()


async def test_disconnecting_ends_it(graph: Connection, session: Session) -> None:
    """Endless calls on a connection that is given up end, too."""
    results = graph.invoke_many(ADA for _ in count())
    await anext(results)
    await session.disconnect("Graph")
    with pytest.raises(ClosedError, match="disconnected"):
        await read(results, into=[])
    await anyio.wait_all_tasks_blocked()

    assert ours() == set()


async def test_a_loop_left_without_aclosing(graph: Connection, emulator: Emulator) -> None:
    """Leaving the loop leaves nothing behind, also when nobody closes the generator by hand."""
    emulator.faults.add(f"/v1.0/{ADA}", times=None, delay_s=3600)
    async for _ in graph.invoke_many(["groups?$top=1", *islice((ADA for _ in count()), 30)]):
        break
    await anyio.wait_all_tasks_blocked()

    assert ours() == set()
