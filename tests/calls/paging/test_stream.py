"""Every item once, in order, with nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from entra_async import Connection, Session
from entra_async.calls.paging.deduplicator import Deduplicator
from entra_async.errors import ClosedError, NotFoundError, PagingError, UnsafeLinkError
from entra_async.testing import Emulator


@asynccontextmanager
async def connected(emulator: Emulator, **options: Any) -> AsyncIterator[Connection]:
    async with emulator.session(**options) as session:
        yield await session.connect(emulator.client_secret)


async def read(items: AsyncIterator[Any], *, into: list[Any]) -> None:
    """Read to the end, or to the error: what came before it counts, too."""
    async for item in items:
        into.append(item)  # noqa: PERF401 - a comprehension would lose the items before an error


async def test_every_user_once() -> None:
    """20,000 users in pages of 999: each id once, in the order of the pages."""
    async with Emulator(users=20_000) as emulator, connected(emulator) as graph:
        ids = [user["id"] async for user in graph.stream("users", query={"$select": "id", "$top": 999})]
        listed = await graph.invoke("users", query={"$select": "id", "$top": 999})

    assert len(ids) == len(set(ids)) == 20_000
    assert ids == [user["id"] for user in listed]
    assert emulator.requests.count(path="/v1.0/users") == 42


async def test_typed_items(emulator: Emulator) -> None:
    """type= decodes each item."""

    class User(msgspec.Struct):
        id: str

    async with connected(emulator) as graph:
        users = [user async for user in graph.stream("users", query={"$top": 30}, type=User)]

    assert len(users) == 200
    assert all(isinstance(user, User) for user in users)


async def test_an_empty_page_is_not_the_end(emulator: Emulator) -> None:
    """Pages without items in the middle are passed over, not taken for the end."""
    emulator.graph.empty_pages = 2
    async with connected(emulator) as graph:
        users = [user["id"] async for user in graph.stream("users", query={"$top": 20})]

    assert len(set(users)) == len(users) == 200
    assert emulator.requests.count(path="/v1.0/users") > 10


@pytest.mark.parametrize(
    ("first", "count"),
    [
        ({"value": [{"id": "x"}], "nextLink": ""}, 1),
        ({"value": [{"id": "x"}], "@odata.nextLink": None}, 1),
        ({"value": [{"id": "x"}], "totalCount": 5, "@odata.nextLink": "LINK"}, 201),
        ({"value": [], "nextLink": "LINK"}, 200),
    ],
)
async def test_links_of_every_service(emulator: Emulator, first: dict[str, Any], count: int) -> None:
    """An empty link is no link, Azure's is followed as Graph's is, and other names beside it lose nothing."""
    link = f"{emulator.graph_url}/v1.0/users?$top=999"
    body = {name: link if value == "LINK" else value for name, value in first.items()}
    async with connected(emulator) as graph:
        emulator.faults.add("/v1.0/users", status=200, body=body)
        streamed = [user async for user in graph.stream("users")]
        emulator.faults.add("/v1.0/users", status=200, body=body)
        listed = await graph.invoke("users")

    assert len(streamed) == len(listed) == count


async def test_a_page_that_links_to_itself_is_an_error(emulator: Emulator) -> None:
    """A link that was followed before ends in an error, not in a loop, after the items before it."""
    link = f"{emulator.graph_url}/v1.0/users?$skiptoken=again"
    emulator.faults.add("/v1.0/users", times=None, status=200, body={"value": [{"id": 1}], "@odata.nextLink": link})
    seen: list[Any] = []
    async with connected(emulator) as graph:
        with pytest.raises(PagingError, match="read before"):
            await read(graph.stream("users"), into=seen)

    assert len(seen) == 1
    assert emulator.requests.count(path="/v1.0/users") == 2


@pytest.mark.parametrize("verb", ["stream", "invoke"])
async def test_a_link_to_another_host_is_an_error(emulator: Emulator, verb: str) -> None:
    """The other host sees not one byte: not a request, not even a connection."""
    connections = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.read(1))
        writer.close()

    other = await asyncio.start_server(hear, "localhost", 0)
    port = other.sockets[0].getsockname()[1]
    body = {"value": [{"id": 1}], "@odata.nextLink": f"https://localhost:{port}/v1.0/users?$skiptoken=x"}
    emulator.faults.add("/v1.0/users", status=200, body=body)
    async with other, connected(emulator) as graph:
        with pytest.raises(UnsafeLinkError, match="not the service's own host") as caught:
            await (graph.invoke("users") if verb == "invoke" else read(graph.stream("users"), into=[]))
        await anyio.wait_all_tasks_blocked()

    assert connections == []
    assert f"localhost:{port}" in str(caught.value)
    assert "skiptoken" not in str(caught.value)


async def test_a_redirect_to_another_host_is_an_error(emulator: Emulator) -> None:
    """A redirect elsewhere is an error; one on the same host is followed."""
    own = f"{emulator.graph_url}/v1.0/users/ada@contoso.com"
    emulator.faults.add("/v1.0/moved", status=302, headers={"Location": own})
    emulator.faults.add("/v1.0/lost", status=302, headers={"Location": "https://evil.example/x?sig=1"})
    async with connected(emulator) as graph:
        user = await graph.invoke("moved")
        with pytest.raises(UnsafeLinkError, match=r"evil\.example"):
            await graph.invoke("lost")

    assert user["givenName"] == "Ada"


async def test_the_next_page_is_requested_while_one_is_used(emulator: Emulator) -> None:
    """Page two is requested before page one is used up, and page three is not."""
    async with connected(emulator) as graph, aclosing(graph.stream("users", query={"$top": 10})) as users:
        await anext(users)
        await emulator.requests.wait_for(2, path="/v1.0/users")
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert emulator.requests.count(path="/v1.0/users") == 2


async def test_a_loop_left_early_leaves_nothing(emulator: Emulator) -> None:
    """Leaving the loop cancels the page that was on its way, also without aclosing."""
    emulator.faults.add("/v1.0/users", after=1, delay_s=3600)
    async with connected(emulator) as graph:
        before = asyncio.all_tasks()
        async for _ in graph.stream("users", query={"$top": 10}):
            break
        await anyio.wait_all_tasks_blocked()
        left = {task.get_name() for task in asyncio.all_tasks() - before}

    assert "entra_async next page" not in left


async def test_cancelling_a_stream_cancels_its_request(emulator: Emulator) -> None:
    """A consumer that is cancelled while it waits for a page leaves no task."""
    emulator.faults.add("/v1.0/users", after=1, delay_s=3600)
    async with connected(emulator) as graph:
        with anyio.move_on_after(0.2) as scope:
            async for _ in graph.stream("users", query={"$top": 10}):
                pass
        await anyio.wait_all_tasks_blocked()
        left = {task.get_name() for task in asyncio.all_tasks()}

    assert scope.cancelled_caught
    assert "entra_async next page" not in left


async def test_an_error_on_a_later_page_comes_after_the_items_before_it(emulator: Emulator) -> None:
    """What was read is given out before the error is raised."""
    emulator.faults.add("/v1.0/users", after=2, status=404)
    seen: list[Any] = []
    async with connected(emulator) as graph:
        with pytest.raises(NotFoundError):
            await read(graph.stream("users", query={"$top": 10}), into=seen)

    assert len(seen) == 20


async def test_one_object_is_no_stream(emulator: Emulator) -> None:
    """Streaming what is no collection says to use invoke."""
    async with connected(emulator) as graph:
        with pytest.raises(PagingError, match=r"Use invoke\(\)"):
            await read(graph.stream("users/ada@contoso.com"), into=[])


async def test_two_services_at_once(emulator: Emulator) -> None:
    """Two crawls side by side on one pool, one token request each."""
    found: dict[str, int] = {}
    async with emulator.session() as session:

        async def crawl(service: str, path: str) -> None:
            await session.connect(emulator.certificate, service=service)
            found[service] = len([item async for item in session.stream(path, service=service)])

        async with anyio.create_task_group() as group:
            group.start_soon(crawl, "Graph", "users")
            group.start_soon(crawl, "Endpoint", "machines")

    assert found == {"Graph": 200, "Endpoint": 50}
    assert len(emulator.token_requests) == 2


async def test_a_page_in_flight_ends_with_the_session(emulator: Emulator) -> None:
    """Closing the Session ends the prefetch of a stream that is still held, even in the middle of a long wait."""
    emulator.faults.add("/v1.0/users", after=1, times=None, throttle=100)
    session: Session = emulator.session()
    graph = await session.connect(emulator.client_secret)
    users = graph.stream("users", query={"$top": 1})
    await anext(users)
    await emulator.requests.wait_for(2, path="/v1.0/users")
    await session.aclose()
    left = {task.get_name() for task in asyncio.all_tasks()}
    with pytest.raises(ClosedError):
        await anext(users)

    assert "entra_async next page" not in left


async def test_closing_the_session_ends_a_stream(emulator: Emulator) -> None:
    """A stream that outlives its Session ends with a clear error."""
    session: Session = emulator.session()
    graph = await session.connect(emulator.client_secret)
    users = graph.stream("users", query={"$top": 10})
    await anext(users)
    await session.aclose()
    with pytest.raises(ClosedError):
        await read(users, into=[])


class Thin(msgspec.Struct):
    """A user without what tells users apart, unless it was requested."""

    id: str | None = None
    number: int = 0


@pytest.mark.parametrize(
    "ids",
    [[None] * 8, [""] * 8, ["k", "m", "m", "k", "k", "z", "m", "q"], ["a", "b", "c", "d", "d", "e", "e", "f"]],
    ids=["null", "empty", "twice on one page", "twice on the next"],
)
@pytest.mark.parametrize("kind", [None, Thin])
async def test_an_item_key_must_be_unique(ids: list[str | None], kind: Any, emulator: Emulator) -> None:
    """Ids that are null, empty, or not unique are none: no item is taken for a repeated one."""
    items = [{"id": each, "number": number} for number, each in enumerate(ids)]
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        link = f"{emulator.graph_url}/v1.0/groups?$skiptoken=2"
        emulator.faults.add("/v1.0/groups", status=200, body={"value": items[:4], "@odata.nextLink": link})
        emulator.faults.add("/v1.0/groups", status=200, body={"value": items[4:]})
        found = [each async for each in session.stream("groups", type=kind)]

    assert [each["number"] if kind is None else each.number for each in found] == list(range(8))


async def test_a_kind_with_a_default_id_loses_nothing(emulator: Emulator) -> None:
    """A type whose id has a default, read without ids: every page comes."""
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        query = {"$select": "displayName", "$top": 50}
        assert len([each async for each in session.stream("users", query=query, type=Thin)]) == 200
        assert len(await session.invoke("users", query=query, type=list[Thin])) == 200


@pytest.mark.parametrize(("key", "restarted"), [(0, True), ("", False), (None, False)])
async def test_the_number_0_identifies_an_item(key: Any, restarted: bool) -> None:
    """A query whose items are numbered from 0 can be restarted; one whose items have no key cannot."""
    known = Deduplicator("id", log=True, contents=False)
    known.deduplicate([{"id": key}, {"id": 7}])

    assert await known.restart() is restarted
