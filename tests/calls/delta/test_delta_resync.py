"""A service that forgot the state of a delta query: everything is read once more, and deletions are made up for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async.errors import (
    APIStatusError,
    BadRequestError,
    GoneError,
)
from entra_async.telemetry.events import Event, ResyncStarted
from entra_async.testing import Emulator
from tests.support.mirror import PATH, Mirror, stir, users_of

RESETS = ("location", "gone", "sync_state_not_found", "resync_required")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(users=45) as running:
        running.graph.page_size = 10
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.delta"


def resyncs(events: list[Event]) -> list[ResyncStarted]:
    return [event for event in events if isinstance(event, ResyncStarted)]


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("at_page", [None, 2, 4])
async def test_one_resync_with_deletions(emulator: Emulator, path: Path, reset: Any, at_page: int | None) -> None:
    """Whichever way the service forgets, everything is read once more, and what is missing is told as deleted."""
    events: list[Event] = []
    mirror = Mirror()
    async with emulator.session(listener=events.append) as session:
        graph = await session.connect(emulator.client_secret)
        if at_page is None:
            await mirror.follow(graph, path)
            await stir(graph)
            emulator.graph.expire_delta_tokens(reset)
        else:
            emulator.graph.expire_delta_tokens(reset, at_page=at_page)
        before = len(mirror.received)
        await mirror.follow(graph, path)
        expected = await users_of(graph)
        later = await mirror.follow(graph, path)

    assert mirror.all_names == expected
    assert later == 0
    assert [event.located for event in resyncs(events)] == [reset == "location"]
    derived = [change for change in mirror.received[before:] if change.derived]
    assert len(derived) == (2 if at_page is None else 0)
    assert all(change.removed == "deleted" and change.item == {"id": change.id} for change in derived)


@pytest.mark.parametrize("reset", ["location", "sync_state_not_found"])
async def test_killed_at_every_step_of_a_resync(emulator: Emulator, tmp_path: Path, reset: Any) -> None:
    """A resync that is cut off anywhere goes on in the next run, and its deletions are not forgotten."""
    emulator.graph.page_size = 4
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        for part in range(14):
            path = tmp_path / f"{part}.delta"
            # From the first change to the last of those that are derived: one person comes, two are missing.
            stop = 1 + part * (len(await users_of(graph)) + 1) // 13
            mirror = Mirror()
            await mirror.follow(graph, path)
            await stir(graph)
            emulator.graph.expire_delta_tokens(reset)
            await mirror.follow(graph, path, stop_after=stop)
            await stir(graph, seed=3)
            await mirror.follow(graph, path)
            await mirror.follow(graph, path)
            assert mirror.all_names == await users_of(graph)


async def test_expired_again_between_two_runs(emulator: Emulator, path: Path) -> None:
    """A resync that was cut off, and whose own links have expired since, is begun again; nobody is missed."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await mirror.follow(graph, path)
        for seed in (0, 3, 6):
            await stir(graph, seed=seed)
            emulator.graph.expire_delta_tokens("gone")
            await mirror.follow(graph, path, stop_after=25)
        await mirror.follow(graph, path)
        assert mirror.all_names == await users_of(graph)


async def test_expired_twice_in_one_run(emulator: Emulator, path: Path) -> None:
    """A service that demands a resync in the middle of one gets an error and no loop; the next run goes on."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await mirror.follow(graph, path)
        await stir(graph)
        emulator.graph.expire_delta_tokens("gone")
        emulator.graph.expire_delta_tokens("gone", at_page=3)
        with pytest.raises(GoneError, match="during the full synchronization"):
            await mirror.follow(graph, path)
        await mirror.follow(graph, path)
        assert mirror.all_names == await users_of(graph)


async def test_after_a_week(emulator: Emulator, path: Path) -> None:
    """Delta links of the directory live seven days: then comes a resync, by itself."""
    events: list[Event] = []
    mirror = Mirror()
    async with emulator.session(listener=events.append) as session:
        graph = await session.connect(emulator.client_secret)
        await mirror.follow(graph, path)
        await stir(graph)
        emulator.clock.move(8 * 86_400)
        await mirror.follow(graph, path)
        assert mirror.all_names == await users_of(graph)
    assert len(resyncs(events)) == 1


@pytest.mark.parametrize("reset", ["location", "gone"])
async def test_latest(emulator: Emulator, path: Path, reset: Any) -> None:
    """latest=True gives nothing at first, then what has changed; after a resync everything, once."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        assert await mirror.follow(graph, path, latest=True) == 0
        await stir(graph)
        assert await mirror.follow(graph, path, latest=True) == 4
        emulator.graph.expire_delta_tokens(reset)
        await mirror.follow(graph, path, latest=True)
        assert mirror.all_names == await users_of(graph)


async def test_replays_are_harmless(emulator: Emulator, path: Path) -> None:
    """The same object may come twice, and the last word counts."""
    emulator.graph.delta_replays = True
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await mirror.follow(graph, path)
        await stir(graph)
        await stir(graph, seed=4)
        await mirror.follow(graph, path)
        emulator.graph.expire_delta_tokens("gone")
        await mirror.follow(graph, path)
        assert mirror.all_names == await users_of(graph)


async def test_other_statuses_are_errors(emulator: Emulator, path: Path) -> None:
    """Only a forgotten state is read over; a first request that is refused never is. The state stays as it was."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.faults.add(PATH, status=410)
        with pytest.raises(GoneError):
            await mirror.follow(graph, path)
        await mirror.follow(graph, path)
        kept = await anyio.Path(path).read_bytes()
        for status in (400, 403, 404):
            emulator.faults.add(PATH, status=status)
            with pytest.raises(APIStatusError):
                await mirror.follow(graph, path)
        assert await anyio.Path(path).read_bytes() == kept


async def test_an_unknown_token_is_an_error(emulator: Emulator, path: Path) -> None:
    """A state whose link the service never made is no reason to read everything: that would hide a mistake."""
    mirror = Mirror()
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        await mirror.follow(graph, path)
        emulator.faults.add(PATH, status=400, body={"error": {"code": "Request_BadRequest", "message": "malformed"}})
        with pytest.raises(BadRequestError, match="malformed"):
            await mirror.follow(graph, path)
