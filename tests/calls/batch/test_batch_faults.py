"""What goes wrong with a batch, or with some of it: each request is sent again by its own rules, and never more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from entra_async import Connection, Request
from entra_async.errors import (
    APIStatusError,
    BadRequestError,
    ClosedError,
    DecodeError,
    EntraError,
    FailedDependencyError,
    RequestTimeoutError,
    ServerError,
    ThrottledError,
    TransportError,
)
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
BATCH = "/v1.0/$batch"
READ = Request(f"{ADA}?$select=city")


def write(city: str, **more: Any) -> Request:
    return Request(ADA, method="PATCH", body={"city": city}, **more)


@asynccontextmanager
async def connected(emulator: Emulator, **options: Any) -> AsyncIterator[Connection]:
    async with emulator.session(**{"clock": VirtualClock(), **options}) as session:
        graph = await session.connect(emulator.client_secret)
        emulator.requests.clear()
        yield graph


def sent(emulator: Emulator) -> Counter[tuple[str, int | None]]:
    """Return method and status of every item that was run."""
    return Counter((item.method, item.status) for item in emulator.requests.items())


@pytest.mark.parametrize(
    ("fault", "reads", "writes", "waits"),
    [
        ({"throttle": 7}, "again", "again", [7, 7, 1]),
        ({"throttle": "2.128", "times": 3}, "again", "again", [2.128, 2.128, 1] * 3),
        ({"status": 503, "headers": {"Retry-After": "3"}}, "again", "again", [3, 3, 1]),
        ({"status": 503}, "again", ServerError, None),
        ({"status": 500}, "again", ServerError, None),
        ({"status": 408}, "again", "again", None),
        ({"status": 403}, APIStatusError, APIStatusError, []),
        ({"reset": "before"}, "again", TransportError, None),
        ({"html": True}, DecodeError, DecodeError, []),
        ({"empty": True}, DecodeError, DecodeError, []),
        ({"throttle": 3600}, ThrottledError, ThrottledError, []),
    ],
    ids=str,
)
async def test_a_fault_of_the_batch(
    emulator: Emulator, fault: dict[str, Any], reads: Any, writes: Any, waits: list[float] | None
) -> None:
    """A batch that was not taken leaves each item to its own method: what may be repeated is, by itself."""
    emulator.faults.add(BATCH, **fault)
    clock = VirtualClock()
    async with connected(emulator, clock=clock) as graph:
        results = await graph.batch([READ, write("Turin")])

    for result, expected in zip(results, (reads, writes), strict=True):
        if expected == "again":
            assert not isinstance(result, EntraError)
        else:
            assert isinstance(result, expected)
    expected_items = {("GET", 200): int(reads == "again"), ("PATCH", 204): int(writes == "again")}
    assert sent(emulator) == Counter({key: count for key, count in expected_items.items() if count})
    if waits is not None:
        # This clock moves before the second item has heard its response. Then one tries first, and the other waits.
        assert clock.sleeps == pytest.approx(waits, abs=0.1)


@pytest.mark.parametrize("fault", [{"reset": "after"}, {"half_body": True}], ids=str)
async def test_a_lost_response(emulator: Emulator, fault: dict[str, Any]) -> None:
    """When the service acted and the response is lost, reads are sent again and writes are not: they may have acted."""
    emulator.faults.add(BATCH, **fault)
    async with connected(emulator) as graph:
        results: list[Any] = await graph.batch(
            [READ, write("Turin"), write("Rome", idempotent=True), Request("users/x", method="PATCH", body={})]
        )
        read, written, marked, other = results

    assert read["city"] in {"Turin", "Rome"}
    assert isinstance(written, TransportError)
    assert (written.sent, written.method, written.attempts) == (True, "PATCH", 1)
    assert marked is None
    assert isinstance(other, TransportError)
    assert (written.url.rpartition("/")[2], other.url.rpartition("/")[2]) == ("ada@contoso.com", "x")
    assert written.client_request_id != other.client_request_id
    assert sent(emulator) == {("GET", 200): 2, ("PATCH", 204): 3, ("PATCH", 404): 1}


@pytest.mark.parametrize(
    ("fault", "read_error", "write_error", "items"),
    [
        ({"throttle": 3}, None, None, {("GET", 429): 1, ("GET", 200): 1, ("PATCH", 429): 1, ("PATCH", 204): 1}),
        ({"status": 500}, None, ServerError, {("GET", 500): 1, ("GET", 200): 1, ("PATCH", 500): 1}),
        ({"status": 404}, APIStatusError, APIStatusError, {("GET", 404): 1, ("PATCH", 404): 1}),
        ({"throttle": 3600}, ThrottledError, ThrottledError, {("GET", 429): 1, ("PATCH", 429): 1}),
    ],
    ids=str,
)
async def test_a_fault_of_an_item(
    emulator: Emulator, fault: dict[str, Any], read_error: Any, write_error: Any, items: dict[Any, int]
) -> None:
    """An item is judged as if it had come alone, and its neighbours notice nothing."""
    emulator.faults.add(f"/v1.0/{ADA}", times=2, **fault)
    async with connected(emulator) as graph:
        results: list[Any] = await graph.batch([READ, write("Turin"), "users/$count?x=1"])
        read, written, other = results

    assert isinstance(read, read_error) if read_error else "city" in read
    assert isinstance(written, write_error) if write_error else written is None
    assert isinstance(other, APIStatusError)
    others = {key: count for key, count in sent(emulator).items() if key != ("GET", other.status)}
    assert others == {key: count for key, count in items.items() if key != ("GET", other.status)}
    if read_error is ThrottledError:
        assert read.retry_after_s == 3600


async def test_a_rejected_batch_is_sent_one_by_one(emulator: Emulator) -> None:
    """When the batch as a whole is called malformed, nothing of it ran: each request is answered by itself."""
    emulator.faults.add(BATCH, status=400)
    async with connected(emulator) as graph:
        results: list[Any] = await graph.batch([READ, write("Turin"), "users?$top=0"])

    assert "city" in results[0]
    assert results[1] is None
    assert isinstance(results[2], BadRequestError)
    assert "$batch" not in str(results[2])
    assert emulator.requests.count(path="/v1.0/users.*") == 3


async def test_a_rejected_token_is_renewed_once(emulator: Emulator) -> None:
    """A batch answered 401 costs one token, and every item is answered."""
    async with connected(emulator) as graph:
        emulator.access_evaluation.reject_tokens()
        results: list[Any] = await graph.batch([ADA] * 60)

    assert all(result["givenName"] == "Ada" for result in results)
    assert len(emulator.token_requests) == 1
    assert sent(emulator) == {("GET", 200): 60}


async def test_a_token_rejected_for_one_item(emulator: Emulator) -> None:
    """An item may be answered 401 by itself: it is sent again with a new token, and the others are not."""
    emulator.faults.add(f"/v1.0/{ADA}", method="PATCH", status=401)
    async with connected(emulator) as graph:
        results = await graph.batch([ADA, write("Turin"), ADA])

    assert results[1] is None
    assert len(emulator.token_requests) == 1
    assert sent(emulator) == {("GET", 200): 2, ("PATCH", 401): 1, ("PATCH", 204): 1}


ITEM = {"status": 200, "headers": {"Content-Type": "application/json"}, "body": {"id": "x"}}


@pytest.mark.parametrize(
    ("responses", "good", "again"),
    [
        ([{"id": "A", **ITEM}, {"id": "B", **ITEM}], "AB", ""),
        ([{"id": "B", **ITEM}], "B", "A"),
        ([{"id": "A", **ITEM}, {"id": "A", **ITEM}, {"id": "B", **ITEM}], "B", ""),
        ([{"id": "A", **ITEM}, {"id": "C", **ITEM}], "A", "B"),
        ([{"id": "A", **ITEM}, {"id": "B", **ITEM, "status": "200"}], "AB", ""),
        ([{"id": "A", **ITEM}, {"id": "B", **ITEM, "body": "eyJpZCI6\r\nICJ4In0="}], "AB", ""),
        ([{"id": "A", **ITEM}, {"id": "B", "status": 42}], "A", ""),
        ([{"id": "A", **ITEM}, {"status": 200}, None, "B"], "A", "B"),
        ([], "", "AB"),
        ({}, "", ""),
        (None, "", ""),
    ],
)
async def test_malformed_batch_responses(emulator: Emulator, responses: Any, good: str, again: str) -> None:
    """
    Ids that are doubled, and items of a wrong shape, are errors of their own items only; a read without a response is
    sent again.
    """
    async with connected(emulator) as graph:
        await graph.batch([ADA, ADA])
        names = dict(zip("ABC", [*(item.item_id for item in emulator.requests.items()), "nobody"], strict=True))
        if isinstance(responses, list):
            responses = [
                {**each, "id": names[each["id"]]} if isinstance(each, dict) and "id" in each else each
                for each in responses
            ]
        emulator.faults.add(BATCH, status=200, body={"responses": responses})
        results: dict[str, Any] = dict(zip("AB", await graph.batch([ADA, ADA]), strict=True))

    for name, result in results.items():
        if name in good:
            assert result == {"id": "x"}
        elif name in again:
            assert result["givenName"] == "Ada"
        else:
            assert isinstance(result, DecodeError)
            assert result.url.endswith(f"/v1.0/{ADA}")
            assert "fault of the service" in str(result)


async def test_a_write_without_a_response(emulator: Emulator) -> None:
    """A write that a batch's response leaves out is not sent again: its error says that it may have acted."""
    emulator.faults.add(BATCH, status=200, body={"responses": []})
    async with connected(emulator) as graph:
        results: list[Any] = await graph.batch([READ, write("Turin")])
        read, written = results

    assert read["city"]
    assert isinstance(written, TransportError)
    assert (written.sent, written.attempts, written.method) == (True, 1, "PATCH")
    assert "may have acted" in str(written)
    assert sent(emulator) == {("GET", 200): 1}


async def test_a_chain_ends_with_its_lost_first_item(emulator: Emulator) -> None:
    """A write that may have acted fails for good, and what depends on it is never sent."""
    emulator.faults.add(BATCH, reset="after")
    async with connected(emulator) as graph:
        first, second = await graph.batch([write("Turin", id="a"), write("Rome", depends_on=("a",))])
        city = (await graph.invoke(ADA, query={"$select": "city"}))["city"]

    assert isinstance(first, TransportError)
    assert isinstance(second, FailedDependencyError)
    assert city == "Turin"


async def test_each_item_has_its_own_timeout(emulator: Emulator) -> None:
    """One whose time is over fails alone, by name; another in the same batch waits on and is answered."""
    emulator.faults.add(f"/v1.0/{ADA}", delay_s=3600)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        batch = asyncio.create_task(graph.batch([Request("groups", timeout=0.1, paging=False), ADA]))
        await emulator.requests.wait_for(1, path=r"/v1.0/\$batch")
        await anyio.sleep(0.15)
        emulator.clock.move(3600)
        results: list[Any] = await batch

    assert isinstance(results[0], RequestTimeoutError)
    assert "groups: no answer within 0.1 s" in str(results[0])
    assert results[1]["givenName"] == "Ada"


def ours() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("entra_async")}


async def test_a_cancelled_batch_leaves_nothing(emulator: Emulator) -> None:
    """Cancelling the caller ends the requests on the wire and those that wait, and passes through."""
    emulator.faults.add(BATCH, times=None, delay_s=3600)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with anyio.move_on_after(0.2) as scope:
            await graph.batch([*[ADA] * 50, Request(ADA, id="a"), Request(ADA, depends_on=("a",))])
        await anyio.wait_all_tasks_blocked()
        left = ours()

    assert scope.cancelled_caught
    assert left == set()


async def test_closing_the_session_ends_a_batch(emulator: Emulator) -> None:
    """A batch that is under way when the Session closes ends with a clear error."""
    emulator.faults.add(BATCH, times=None, delay_s=3600)
    session = emulator.session()
    graph = await session.connect(emulator.client_secret)

    async def close() -> None:
        await emulator.requests.wait_for(2, path=r"/v1.0/\$batch")
        await session.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        with pytest.raises(ClosedError):
            await graph.batch([ADA] * 30)
    await anyio.wait_all_tasks_blocked()
    assert ours() == set()
