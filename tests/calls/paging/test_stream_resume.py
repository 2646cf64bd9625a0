"""A stream goes on where another one stopped, in this process or the next."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from entra_async import Connection, Session
from entra_async.errors import BadRequestError, ConfigurationError, UnsafeLinkError
from entra_async.rules.paging.position import Position, fingerprint, pack
from entra_async.testing import Emulator
from tests.calls.paging.test_paging_restart import EXPIRED

QUERY = {"$select": "id", "$top": 10}


class User(msgspec.Struct):
    id: str


async def take(graph: Connection, count: int, *, start: str | None = None, **options: Any) -> tuple[list[Any], str]:
    """Take that many items and leave; return them and where the stream stood."""
    items: list[Any] = []
    options.setdefault("query", QUERY)
    stream = graph.stream("users", start=start, **options)
    async with aclosing(stream):
        while len(items) < count:
            try:
                items.append(await anext(stream))
            except StopAsyncIteration:
                break
    return items, stream.position


@pytest.mark.parametrize("step", [1, 7, 10, 30, 199, 200, 500])
async def test_every_user_once_over_many_streams(step: int) -> None:
    """Taken step by step, each by a Session of its own, every user comes once and in order."""
    async with Emulator(users=200 if step > 1 else 25) as emulator:
        ids: list[str] = []
        position = None
        while True:
            async with emulator.session() as session:
                graph = await session.connect(emulator.client_secret)
                users, position = await take(graph, step, start=position)
            position = json.loads(json.dumps(position))
            ids += [user["id"] for user in users]
            if not users:
                break
        async with emulator.session() as session:
            graph = await session.connect(emulator.client_secret)
            whole = [user["id"] for user in await graph.invoke("users", query=QUERY)]

    assert ids == whole


@pytest.mark.parametrize("empty_pages", [0, 2])
async def test_page_by_page(emulator: Emulator, empty_pages: int) -> None:
    """pages() gives lists; where it stands is after the page given last, empty ones included."""
    emulator.graph.empty_pages = empty_pages
    ids: list[str] = []
    position = None
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for _ in range(45):
            stream = graph.stream("users", query=QUERY, start=position)
            pages = stream.pages()
            ids += [user["id"] for user in await anext(pages, [])]
            position = stream.position
            await stream.aclose()

    assert len(ids) == len(set(ids)) == 200


async def test_typed_items(emulator: Emulator) -> None:
    """What an item is decoded into makes no difference to where the stream stands."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        first, position = await take(graph, 13, type=User)
        rest, _ = await take(graph, 999, type=User, start=position)

    assert len({user.id for user in [*first, *rest]}) == 200


async def test_before_the_first_and_after_the_last(emulator: Emulator) -> None:
    """A stream that was not read begins at the beginning; one that was read to its end requests nothing."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        unread = graph.stream("users", query=QUERY).position
        everything, end = await take(graph, 200, start=unread)
        requests = emulator.requests.count(path="/v1.0/users")
        nothing, still = await take(graph, 5, start=end)

    assert len(everything) == 200
    assert nothing == []
    assert still == end
    assert emulator.requests.count(path="/v1.0/users") == requests


async def test_a_page_that_changed_meanwhile(emulator: Emulator) -> None:
    """The last item is looked for, so that one that went or came before it shifts nothing."""
    users = [{"id": str(number)} for number in range(6)]
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)

        async def stood(page: list[Any]) -> list[str]:
            emulator.faults.add("/v1.0/users", status=200, body={"value": users})
            _, position = await take(graph, 3)
            emulator.faults.add("/v1.0/users", status=200, body={"value": page})
            rest, _ = await take(graph, 99, start=position)
            return [user["id"] for user in rest]

        assert await stood(users) == ["3", "4", "5"]
        assert await stood(users[1:]) == ["3", "4", "5"]
        assert await stood([{"id": "new"}, *users]) == ["3", "4", "5"]
        assert await stood([users[0], *users[3:]]) == ["0", "3", "4", "5"], "rather twice than never"
        assert await stood(users[:1]) == ["0"]


async def test_items_without_an_id_are_counted(emulator: Emulator) -> None:
    """Where nothing tells items apart, their number has to do."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        query = {"$select": "userPrincipalName", "$top": 10}
        first, position = await take(graph, 13, query=query)
        rest, _ = await take(graph, 999, query=query, start=position)

    assert len({user["userPrincipalName"] for user in [*first, *rest]}) == 200


async def test_a_position_during_and_after_a_restart(emulator: Emulator) -> None:
    """A query that was started over is gone on with as any other."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for count in (31, 40, 55):
            emulator.graph.expire_page_tokens(at_page=4)
            first, position = await take(graph, count)
            rest, _ = await take(graph, 999, start=position)
            assert len({user["id"] for user in [*first, *rest]}) == len(first) + len(rest) == 200


async def test_a_position_that_is_too_old(emulator: Emulator) -> None:
    """Its page token has expired, and what was given before is not known any more: the error says so."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        _, position = await take(graph, 25)
        emulator.graph.expire_page_tokens()
        with pytest.raises(BadRequestError, match="too old") as caught:
            await take(graph, 1, start=position)
        assert caught.value.code == "Directory_ExpiredPageToken"

        before = emulator.requests.count(path="/v1.0/users")
        _, position = await take(graph, 5)
        await emulator.requests.wait_for(before + 2, path="/v1.0/users")
        emulator.faults.add("/v1.0/users", after=1, status=400, body=EXPIRED)
        with pytest.raises(BadRequestError, match="too old"):
            await take(graph, 99, start=position)


@pytest.mark.parametrize("start", ["", "not a position", 5, {"link": "x"}, "W10"])
async def test_nonsense_is_an_error(emulator: Emulator, start: Any) -> None:
    """Whatever is no position is refused before anything is sent."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(ConfigurationError, match="start is not the position"):
            graph.stream("users", start=start)

    assert not emulator.requests.count(path="/v1.0/users")


async def test_a_position_of_another_query(emulator: Emulator) -> None:
    """A position belongs to a path and a query."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        _, position = await take(graph, 5)
        for path, query in (("groups", QUERY), ("users", {"$select": "mail", "$top": 10}), ("users", {})):
            with pytest.raises(ConfigurationError, match="another query"):
                session.stream(path, query=query, start=position)


async def test_a_position_that_leads_elsewhere(emulator: Emulator) -> None:
    """A link in a position is checked as any other: no token leaves for another host."""
    session: Session
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        query = fingerprint(f"{emulator.graph_url}/v1.0/users")
        for link in ("https://evil.example/v1.0/users?$skiptoken=x", "http://localhost/v1.0/users"):
            with pytest.raises(UnsafeLinkError, match="own host"):
                graph.stream("users", start=pack(Position(query, link)))


async def test_a_position_holds_no_secret(emulator: Emulator) -> None:
    """What is saved lets nobody in: it holds no token."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        _, position = await take(graph, 15)
        assert graph.token is not None
        packed = msgspec.json.decode(urlsafe_b64decode(position + "=" * (-len(position) % 4)))
        assert packed[1].startswith(f"{emulator.graph_url}/v1.0/users?")
        assert graph.token.token not in packed[1]
        assert not any(part and part in position for part in graph.token.token.split(".")[1:])


async def test_pages_come_before_items(emulator: Emulator) -> None:
    """A stream is read by its items or by its pages; what cannot be is said."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        stream = graph.stream("users", query=QUERY)
        await anext(stream)
        with pytest.raises(ConfigurationError, match="read already"):
            stream.pages()
        assert [user async for user in stream]
        assert "restarts" in repr(stream)
