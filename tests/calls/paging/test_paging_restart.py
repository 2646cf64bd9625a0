"""A page token that expires starts the query over, and nobody sees an item twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import msgspec
import pytest

from entra_async import RetryPolicy
from entra_async.errors import APIStatusError, BadRequestError, DecodeError, GoneError, PagingError, TransportError
from entra_async.telemetry.events import Event, PagingRestarted
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

EXPIRED = {"error": {"code": "Directory_ExpiredPageToken", "message": "The specified page token value has expired."}}


class User(msgspec.Struct):
    id: str


class Named(msgspec.Struct, rename="camel"):
    display_name: str


async def read(items: AsyncIterable[Any], *, into: list[Any]) -> None:
    """Read to the end, or to the error: what came before it counts, too."""
    async for item in items:
        into.append(item)  # noqa: PERF401 - a comprehension would lose the items before an error


def restarts(events: list[Event]) -> list[PagingRestarted]:
    return [event for event in events if isinstance(event, PagingRestarted)]


@pytest.mark.parametrize("verb", ["stream", "pages", "invoke", "typed"])
async def test_every_user_once_though_the_token_expires(emulator: Emulator, verb: str) -> None:
    """The token to page 7 of 20 has expired: one restart, every user once, and it is told."""
    events: list[Event] = []
    emulator.graph.expire_page_tokens(at_page=7)
    query = {"$select": "id", "$top": 10}
    async with emulator.session(listener=events.append) as session:
        graph = await session.connect(emulator.client_secret)
        if verb == "invoke":
            ids = [user["id"] for user in await graph.invoke("users", query=query)]
        elif verb == "typed":
            ids = [user.id async for user in graph.stream("users", query=query, type=User)]
        else:
            stream = graph.stream("users", query=query)
            if verb == "pages":
                ids = [user["id"] for page in [page async for page in stream.pages()] for user in page]
            else:
                ids = [user["id"] async for user in stream]
            assert stream.restarts == 1

    assert len(ids) == len(set(ids)) == 200
    assert emulator.requests.count(path="/v1.0/users") == 7 + 20
    url = f"{emulator.graph_url}/v1.0/users"
    assert restarts(events) == [PagingRestarted(url, 400, "Directory_ExpiredPageToken", restarts=1, items=60)]


@pytest.mark.parametrize("status", [400, 410])
async def test_it_may_expire_again(emulator: Emulator, status: int) -> None:
    """Three restarts are made; what is new meanwhile is given, and what was deleted is not missed."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for page in (3, 5, 9):
            emulator.faults.add("/v1.0/users", after=page, status=status, body=EXPIRED if status == 400 else None)
        ids: list[str] = []
        stream = graph.stream("users", query={"$top": 10})
        async for user in stream:
            ids.append(user["id"])
            if len(ids) == 15:
                await graph.invoke(f"users/{ids[0]}", method="DELETE")

    assert stream.restarts == 3
    assert len(ids) == len(set(ids)) == 200


async def test_the_fourth_time_is_an_error(emulator: Emulator) -> None:
    """A token that is never good ends in the service's own error, which says what to do, and in no loop."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for passed in (1, 2, 3, 4):  # every second page of each attempt
            emulator.faults.add("/v1.0/users", after=passed, status=400, body=EXPIRED)
        seen: list[Any] = []
        with pytest.raises(BadRequestError, match="after 3 restarts") as caught:
            await read(graph.stream("users", query={"$top": 10}), into=seen)

    assert caught.value.code == "Directory_ExpiredPageToken"
    assert caught.value.request_id
    assert len({user["id"] for user in seen}) == len(seen) == 10
    assert emulator.requests.count(path="/v1.0/users") == 8


@pytest.mark.parametrize(("query", "kind"), [({"$select": "displayName"}, None), ({}, Named)])
async def test_without_an_id_there_is_no_restart(emulator: Emulator, query: dict[str, str], kind: Any) -> None:
    """What cannot be told apart cannot be left out: an error says so, and nothing is doubled in silence."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add("/v1.0/users", after=1, status=400, body=EXPIRED)
        seen: list[Any] = []
        with pytest.raises(BadRequestError, match=r"no 'id'.*\$select"):
            await read(graph.stream("users", query={"$top": 10, **query}, type=kind), into=seen)

    assert len(seen) == 10


@pytest.mark.parametrize("ids", [[None, None], [[], []]])
async def test_an_id_that_is_none_is_no_id(emulator: Emulator, ids: list[Any]) -> None:
    """Items whose ids are null or lists are not taken for one another."""
    link = f"{emulator.graph_url}/v1.0/users?$skiptoken=x"
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        body = {"value": [{"id": each} for each in ids], "@odata.nextLink": link}
        emulator.faults.add("/v1.0/users", status=200, body=body)
        emulator.faults.add("/v1.0/users", status=400, body=EXPIRED)
        seen: list[Any] = []
        with pytest.raises(BadRequestError, match="no 'id'"):
            await read(graph.stream("users"), into=seen)

    assert len(seen) == 2


@pytest.mark.parametrize(("status", "code"), [(400, "Request_BadRequest"), (404, "Request_ResourceNotFound")])
async def test_other_statuses_are_errors(emulator: Emulator, status: int, code: str) -> None:
    """Only an expired token starts a query over."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add("/v1.0/users", after=1, status=status, body={"error": {"code": code, "message": "no"}})
        with pytest.raises(APIStatusError, match=code):
            await read(graph.stream("users", query={"$top": 10}), into=[])

    assert emulator.requests.count(path="/v1.0/users") == 2


async def test_a_first_page_that_is_gone_is_an_error(emulator: Emulator) -> None:
    """There is nothing to start over when the first request itself is refused, at first or after a restart."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add("/v1.0/users", status=410)
        with pytest.raises(GoneError):
            await read(graph.stream("users"), into=[])
        emulator.faults.add("/v1.0/users", after=1, times=2, status=410)
        with pytest.raises(GoneError):
            await read(graph.stream("users", query={"$top": 10}), into=[])

    assert emulator.requests.count(path="/v1.0/users") == 4


async def test_a_restart_waits_for_no_one_else(emulator: Emulator) -> None:
    """Whoever is cancelled in the middle of a restart leaves nothing behind."""
    emulator.faults.add("/v1.0/users", after=1, status=400, body=EXPIRED)
    emulator.faults.add("/v1.0/users", after=1, delay_s=3600)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        reading = asyncio.create_task(read(graph.stream("users", query={"$top": 10}), into=[]))
        await emulator.requests.wait_for(3, path="/v1.0/users")
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        left = {task.get_name() for task in asyncio.all_tasks()}

    assert "entra_async next page" not in left


@pytest.mark.parametrize("repeated", [1, 9, 10])
async def test_a_page_that_repeats_the_one_before(emulator: Emulator, repeated: int) -> None:
    """Objects of the page before that come again are given once, also when it is most of the page."""
    emulator.graph.repeated_items = repeated
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        streamed = [user["id"] async for user in graph.stream("users", query={"$top": 10})]
        listed = [user["id"] for user in await graph.invoke("users", query={"$top": 10})]

    assert len(streamed) == len(set(streamed)) == 200
    assert listed == streamed


async def test_a_page_that_comes_twice(emulator: Emulator) -> None:
    """A whole page sent again under another link is given once."""
    users = [{"id": str(number)} for number in range(5)]
    link = f"{emulator.graph_url}/v1.0/users?$skiptoken="
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for body in (
            {"value": users, "@odata.nextLink": f"{link}1"},
            {"value": users, "@odata.nextLink": f"{link}2"},
            {"value": [], "@odata.nextLink": f"{link}3"},
            {"value": users},
        ):
            emulator.faults.add("/v1.0/users", status=200, body=body)
        assert await graph.invoke("users") == users


@pytest.mark.parametrize("planted", [{3: 3}, {3: 2}, {4: 2}])
async def test_link_loops_end(emulator: Emulator, planted: dict[int, int]) -> None:
    """A page that links to itself or back ends in an error after the items before it, none of them twice."""
    emulator.graph.injected_links = planted
    seen: list[Any] = []
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(PagingError, match="read before"):
            await read(graph.stream("users", query={"$top": 10}), into=seen)

    assert len({user["id"] for user in seen}) == len(seen) <= 40


async def test_a_slow_page(emulator: Emulator) -> None:
    """A page that comes late holds up nothing but itself: what is there is given at once."""
    emulator.faults.add("/v1.0/users", after=1, delay_s=50)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        stream = graph.stream("users", query={"$top": 100})
        first = [await anext(stream) for _ in range(100)]
        rest = asyncio.create_task(read(stream, into=first))
        await emulator.requests.wait_for(2, path="/v1.0/users")
        assert len(first) == 100
        emulator.clock.move(60)
        await rest

    assert len({user["id"] for user in first}) == 200


@pytest.mark.parametrize("fault", [{"html": True}, {"wrong_json": "truncated"}, {"empty": True}, {"half_body": True}])
@pytest.mark.parametrize("after", [0, 5])
async def test_a_page_that_is_no_json_is_requested_again(emulator: Emulator, fault: Any, after: int) -> None:
    """A page that a gateway answered, or that was cut off, does not end a crawl; one that stays so does."""
    query = {"$select": "id", "$top": 10}
    async with emulator.session(clock=VirtualClock()) as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add("/v1.0/users", after=after, times=2, **fault)
        ids = [user["id"] async for user in graph.stream("users", query=query)]
        assert len(ids) == len(set(ids)) == 200
        assert emulator.requests.count(path="/v1.0/users") == 22
        emulator.faults.add("/v1.0/users", times=None, **fault)
        with pytest.raises((DecodeError, TransportError)):
            await read(graph.stream("users", query=query), into=[])


async def test_items_of_another_type_are_not_requested_again(emulator: Emulator) -> None:
    """JSON that does not fit type= would not fit the next time either."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(DecodeError):
            await read(graph.stream("users", type=int), into=[])

    assert emulator.requests.count(path="/v1.0/users") == 1


async def test_a_crawl_through_many_faults(emulator: Emulator) -> None:
    """One request in five goes wrong, in every way there is, and tokens expire: every user once."""
    mix = emulator.faults.mix("/v1.0/users", share=0.2, seed=3)
    emulator.graph.expire_page_tokens(at_page=60)
    emulator.graph.repeated_items = 1
    retry = RetryPolicy(max_attempts=8)
    async with emulator.session(clock=VirtualClock(), retry=retry) as session:
        graph = await session.connect(emulator.client_secret)
        ids = [user["id"] async for user in graph.stream("users", query={"$select": "id", "$top": 2})]

    assert len(ids) == len(set(ids)) == 200
    assert mix.hits > 20
