"""What has changed since last time: nothing lost, nothing sent astray, nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async import Connection, DeltaState, Session
from entra_async.errors import (
    ConfigurationError,
    PagingError,
    UnsafeLinkError,
)
from entra_async.testing import Emulator
from tests.support.mirror import PATH, QUERY, Mirror, stir, users_of


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(users=45) as running:
        running.graph.page_size = 10
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.delta"


async def test_everything_first_then_changes(emulator: Emulator, path: Path) -> None:
    """The first run gives everybody, the next what has changed, the one after that nothing; a Session each."""
    mirror = Mirror()
    counts = []
    expected: dict[str, str] = {}
    for stirred in (False, True, False):
        async with emulator.session() as session:
            graph = await session.connect(emulator.client_secret)
            if stirred:
                await stir(graph)
            counts.append(await mirror.follow(graph, path))
            expected = await users_of(graph)

    assert counts == [45, 4, 0]
    assert mirror.all_names == expected
    assert sorted(change.removed or "" for change in mirror.received[45:]) == ["", "", "changed", "deleted"]
    assert not any(change.derived for change in mirror.received)


async def test_killed_at_every_page_in_turn(tmp_path: Path) -> None:
    """Left after any number of changes, whatever was begun is given again, and nothing is lost."""
    async with Emulator(users=80) as emulator, emulator.session() as session:
        emulator.graph.page_size = 5
        graph = await session.connect(emulator.client_secret)
        for stop in range(1, 28):
            path = tmp_path / f"{stop}.delta"
            mirror = Mirror()
            total = len(await users_of(graph))
            await mirror.follow(graph, path, stop_after=stop)
            used = stop - 1  # the last one was given, but what follows it was never requested
            assert await mirror.follow(graph, path) == total - used // 5 * 5
            await stir(graph, seed=stop % 5)
            for step in (1, 2, 3, None):
                await mirror.follow(graph, path, stop_after=step)
            assert mirror.all_names == await users_of(graph)


async def test_minimal(emulator: Emulator, path: Path) -> None:
    """minimal=True requests changed properties only, and only once everything was read; own preferences stay."""
    mirror = Mirror()
    options: dict[str, Any] = {"query": {}, "minimal": True, "headers": {"prefer": "outlook.timezone=UTC"}}
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await mirror.follow(graph, path, **options)
        requests = emulator.requests.count(path=PATH)
        await stir(graph)
        count = await mirror.follow(graph, path, **options)

    changed = next(change for change in mirror.received[-count:] if change.item.get("displayName") == "Renamed 0")
    assert set(changed.item) == {"id", "displayName"}
    preferred = [
        {k.lower(): v for k, v in request.headers.items()}["prefer"]
        for request in emulator.requests.matching(path=PATH)
    ]
    assert set(preferred[:requests]) == {"outlook.timezone=UTC"}
    assert set(preferred[requests:]) == {"outlook.timezone=UTC, return=minimal"}


async def test_cancelled_in_the_middle_of_a_page(emulator: Emulator, path: Path) -> None:
    """Whoever is cancelled leaves no request behind and loses nothing."""
    mirror = Mirror()
    reached = asyncio.Event()

    async def follow(graph: Connection) -> None:
        async with aclosing(graph.delta("users/delta", state=DeltaState(path), query=QUERY)) as changes:
            async for change in changes:
                mirror.apply(change)
                if len(mirror.received) == 15:
                    reached.set()
                    await asyncio.sleep(3600)

    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        task = asyncio.create_task(follow(graph))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "entra_async next page" not in {other.get_name() for other in asyncio.all_tasks()}
        assert await mirror.follow(graph, path) == 35
        assert mirror.all_names == await users_of(graph)


async def test_cancelled_while_waiting_for_a_page(emulator: Emulator, path: Path) -> None:
    """A page that never comes can be given up, and the state is where it was."""
    mirror = Mirror()
    emulator.faults.add(PATH, after=1, delay_s=3600)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        task = asyncio.create_task(mirror.follow(graph, path))
        await emulator.requests.wait_for(2, path=PATH)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await mirror.follow(graph, path)
        assert mirror.all_names == await users_of(graph)


@pytest.mark.parametrize("where", ["https://evil.example/v1.0/users/delta?$deltatoken=x", "http://localhost/x", 5])
@pytest.mark.parametrize("name", ["@odata.nextLink", "@odata.deltaLink", "Location"])
async def test_links_to_another_host_are_errors(emulator: Emulator, path: Path, name: str, where: Any) -> None:
    """Neither a page's links nor a resync lead away from the service, and the page is not lost."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        if name == "Location":
            await mirror.follow(graph, path)
            emulator.faults.add(PATH, status=410, headers={"Location": "https://evil.example/x"})
        else:
            emulator.faults.add(PATH, status=200, body={"value": [{"id": "x"}], name: where})
        with pytest.raises(UnsafeLinkError):
            await mirror.follow(graph, path)
        await mirror.follow(graph, path)
        mirror.names.pop("x", None)
        assert mirror.all_names == await users_of(graph)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"value": []}, "neither a next page nor a delta link"),
        ({"displayName": "Ada"}, "neither"),
        ({"value": [{"displayName": "Ada"}], "@odata.deltaLink": "?$deltatoken=x"}, "without 'id'"),
        ({"value": [5], "@odata.deltaLink": "?$deltatoken=x"}, "without 'id'"),
    ],
)
async def test_what_is_no_delta_response(emulator: Emulator, path: Path, body: Any, match: str) -> None:
    """A response that makes no sense is an error before any of it is given."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add(PATH, status=200, body=body)
        with pytest.raises(PagingError, match=match):
            await mirror.follow(graph, path)

    assert mirror.received == []


async def test_link_loops_end(emulator: Emulator, path: Path) -> None:
    """A link that was followed before is an error, not a loop."""
    mirror = Mirror()
    emulator.faults.add(
        PATH, times=None, status=200, body={"value": [{"id": "x"}], "@odata.nextLink": "/v1.0/users/delta?$skiptoken=x"}
    )
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(PagingError, match="read before"):
            await mirror.follow(graph, path)


@pytest.mark.parametrize("name", ["users", "users/delta/1", ""])
async def test_a_path_that_is_no_delta_function(emulator: Emulator, path: Path, name: str) -> None:
    """It is refused before anything is sent or kept."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(ConfigurationError, match="path"):
            graph.delta(name, state=DeltaState(path))

    assert not await anyio.Path(path).exists()


async def test_by_the_session(emulator: Emulator, path: Path) -> None:
    """session.delta() is that of its connection."""
    session: Session
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        changes = [change async for change in session.delta("groups/delta", state=DeltaState(path))]

    assert len(changes) == 20
