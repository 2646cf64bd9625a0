"""Reads made at the same moment travel together, and no caller notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from entra_async import Connection, Session
from entra_async.calls.verbs import Verbs
from entra_async.errors import ClosedError, ConfigurationError, NotFoundError, RequestTimeoutError
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
BATCH = "/v1.0/$batch"


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    async with emulator.session(clock=VirtualClock()) as session:
        connection = await session.connect(emulator.client_secret)
        emulator.requests.clear()
        yield connection


def arrived(emulator: Emulator) -> list[tuple[str, str, int]]:
    """Return method, path and number of items of what arrived."""
    return [(record.method, record.path, len(record.items)) for record in emulator.requests]


def patient(graph: Connection) -> Verbs:
    """Return a view that waits long enough for whatever a test starts together."""
    return graph.batching(window_s=0.05)


async def test_each_caller_gets_its_own_response(graph: Connection, emulator: Emulator) -> None:
    """Forty-five reads at once take three requests, and each comes back to who requested it."""
    users = await graph.invoke("users", query={"$top": 44, "$select": "id"}, paging=False)
    emulator.requests.clear()
    batching = patient(graph)
    results = await asyncio.gather(
        *(batching.invoke(f"users/{user['id']}") for user in users),
        batching.invoke("users/nobody@contoso.com"),
        return_exceptions=True,
    )

    assert [result["id"] for result in results[:-1]] == [user["id"] for user in users]  # type: ignore[index]
    assert isinstance(results[-1], NotFoundError)
    assert sorted(arrived(emulator)) == [("POST", BATCH, 5), ("POST", BATCH, 20), ("POST", BATCH, 20)]


async def test_a_single_read_is_sent_alone(graph: Connection, emulator: Emulator) -> None:
    """A read without company is sent as it is."""
    batching = graph.batching()
    assert (await batching.invoke(ADA))["givenName"] == "Ada"
    assert (await batching.invoke(ADA))["givenName"] == "Ada"
    assert arrived(emulator) == [("GET", f"/v1.0/{ADA}", 0)] * 2


async def test_only_reads_share_a_batch(graph: Connection, emulator: Emulator) -> None:
    """Writes and files go by themselves, and at once."""
    batching = patient(graph)
    await asyncio.gather(
        batching.invoke(ADA),
        batching.invoke(ADA, headers={"Accept-Language": "de"}),
        batching.invoke(ADA, method="PATCH", body={"city": "Turin"}),
        batching.invoke("me/photo/$value", raw=True),
        return_exceptions=True,
    )

    assert sorted(arrived(emulator)) == [
        ("GET", "/v1.0/me/photo/$value", 0),
        ("PATCH", f"/v1.0/{ADA}", 0),
        ("POST", BATCH, 2),
    ]


async def test_pages_are_followed(graph: Connection) -> None:
    """Collections that are read at once are each read to their end."""
    batching = patient(graph)
    lists = await asyncio.gather(*(batching.invoke("users", query={"$top": 60}) for _ in range(3)))
    streamed = [user async for user in batching.stream("users", query={"$top": 150})]

    assert all(users == lists[0] for users in lists)
    assert len(lists[0]) == len(streamed) == 200


async def test_a_throttled_one_waits_alone(graph: Connection, emulator: Emulator) -> None:
    """A read that is throttled inside a batch is repeated; the others have their responses."""
    emulator.faults.add(f"/v1.0/{ADA}", throttle=9)
    batching = patient(graph)
    ada, groups = await asyncio.gather(batching.invoke(ADA), batching.invoke("groups", paging=False))

    assert ada["givenName"] == "Ada"
    assert groups
    assert [item.status for item in emulator.requests.items()] == [429, 200]
    assert arrived(emulator) == [("POST", BATCH, 2), ("GET", f"/v1.0/{ADA}", 0)]


async def test_a_rejected_batch_harms_no_item(graph: Connection, emulator: Emulator) -> None:
    """If one read makes the service refuse the batch, the others are answered all the same."""
    emulator.faults.add(BATCH, status=400)
    batching = patient(graph)
    users = await asyncio.gather(*(batching.invoke(ADA) for _ in range(3)))

    assert [user["givenName"] for user in users] == ["Ada"] * 3
    assert arrived(emulator)[1:] == [("GET", f"/v1.0/{ADA}", 0)] * 3


async def test_a_caller_cancelled_before_the_batch_is_sent(graph: Connection, emulator: Emulator) -> None:
    """A read that is cancelled while it waits for company is not sent."""
    batching = patient(graph)
    tasks = [asyncio.create_task(batching.invoke(ADA)) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[1], asyncio.CancelledError)
    assert all(result["givenName"] == "Ada" for result in (results[0], *results[2:]))  # type: ignore[index]
    assert arrived(emulator) == [("POST", BATCH, 3)]


async def test_a_caller_cancelled_in_flight(graph: Connection, emulator: Emulator) -> None:
    """A read that is cancelled on its way harms none of those that travel with it."""
    emulator.faults.add(BATCH, delay_s=3600)
    batching = patient(graph)
    tasks = [asyncio.create_task(batching.invoke(ADA)) for _ in range(3)]
    await emulator.requests.wait_for(1, path=r"/v1.0/\$batch")
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    emulator.clock.move(3600)
    results = await asyncio.gather(*tasks[1:])

    assert all(result["givenName"] == "Ada" for result in results)
    assert tasks[0].cancelled()
    assert len(emulator.requests) == 1


async def test_a_batch_without_callers_is_cancelled(graph: Connection, emulator: Emulator) -> None:
    """A batch that nobody waits for any more is cancelled, and so is one that has not left yet."""
    emulator.faults.add(BATCH, delay_s=3600)
    batching = graph.batching(window_s=0)
    on_the_way = [asyncio.create_task(batching.invoke(ADA)) for _ in range(3)]
    await emulator.requests.wait_for(1, path=r"/v1.0/\$batch")
    waiting = [asyncio.create_task(patient(graph).invoke(ADA)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in (*on_the_way, *waiting):
        task.cancel()
    await asyncio.wait((*on_the_way, *waiting))
    await anyio.wait_all_tasks_blocked()

    assert not [task for task in asyncio.all_tasks() if task.get_name() == "entra_async batch"]
    assert len(emulator.requests) == 1


async def test_each_item_has_its_own_timeout(emulator: Emulator) -> None:
    """A read whose time is over fails alone."""
    emulator.faults.add(BATCH, delay_s=3600)
    async with emulator.session() as session:
        batching = patient(await session.connect(emulator.client_secret))
        hasty = asyncio.create_task(batching.invoke(ADA, timeout=0.1))
        calm = asyncio.create_task(batching.invoke(ADA))
        with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.1 s"):
            await hasty
        emulator.clock.move(3600)
        assert (await calm)["givenName"] == "Ada"


async def test_closing_the_session_ends_those_that_wait(emulator: Emulator) -> None:
    """Reads on their way, and those that have not left, end with a clear error when the Session closes."""
    emulator.faults.add(BATCH, times=None, delay_s=3600)
    session = emulator.session()
    graph = await session.connect(emulator.client_secret)
    batching, slow = graph.batching(window_s=0), patient(graph)
    tasks = [asyncio.create_task(batching.invoke(ADA)) for _ in range(3)]
    await emulator.requests.wait_for(1, path=r"/v1.0/\$batch")
    tasks += [asyncio.create_task(slow.invoke(ADA)) for _ in range(3)]
    await asyncio.sleep(0)
    await session.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, ClosedError) for result in results)


@pytest.mark.parametrize("window_s", [-1, 2, "soon", None])
async def test_windows_of_no_use(graph: Connection, window_s: Any) -> None:
    """A window that is no time, or would hold callers up, is refused."""
    with pytest.raises(ConfigurationError, match="window_s"):
        graph.batching(window_s=window_s)


@pytest.fixture
def blockbuster() -> None:
    """Allow the event loops of this test's own to be closed here."""


async def read_together(batching: Verbs, count: int) -> list[Any]:
    return await asyncio.gather(*(batching.invoke(ADA) for _ in range(count)))


async def leave_waiting(batching: Verbs) -> None:
    """End the loop while a read still waits for company."""
    task = asyncio.create_task(batching.invoke(ADA))
    await asyncio.sleep(0)
    assert not task.done()


async def test_in_the_next_event_loop(emulator: Emulator) -> None:
    """A view goes on in the event loop its Session goes on in, whatever was left waiting in the one before."""
    session: Session = emulator.session()

    async def begin() -> Verbs:
        batching = patient(await session.connect(emulator.client_secret))
        assert len(await read_together(batching, 3)) == 3
        await leave_waiting(batching)
        return batching

    batching = await anyio.to_thread.run_sync(lambda: asyncio.run(begin()))
    users = await anyio.to_thread.run_sync(lambda: asyncio.run(read_together(batching, 2)))
    await anyio.to_thread.run_sync(lambda: asyncio.run(session.aclose()))

    assert len(users) == 2
    assert [len(record.items) for record in emulator.requests.matching(path=r"/v1.0/\$batch")] == [3, 2]
