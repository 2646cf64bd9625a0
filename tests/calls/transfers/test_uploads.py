"""Uploads: whatever happens on the way, the file arrives as it is, or nothing is left of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import anyio
import pytest

from entra_async import Connection, Limits, RetryPolicy, Timeouts
from entra_async.errors import (
    ClosedError,
    ConflictError,
    DecodeError,
    ForbiddenError,
    NotFoundError,
    RequestError,
    RequestTimeoutError,
    TransportError,
    UnsafeLinkError,
)
from entra_async.testing import Emulator
from entra_async.testing.faults.fault import Fault
from entra_async.transport.http.messages import HTTPRequest
from entra_async.transport.http.pool import Pool
from tests.support.moving_clock import MovingClock
from tests.support.uploading import DATA, UNIT, connected, place, puts


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    """Yield a connection to Graph."""
    async with connected(emulator) as connection:
        yield connection


def hash_of(emulator: Emulator, name: str) -> str:
    return sha256(emulator.drives.content(name)).hexdigest()


async def test_no_token_goes_to_the_upload_host(emulator: Emulator, graph: Connection) -> None:
    """The session's host sees no token and no header of the service; Graph sees the token once."""
    await graph.upload(place(emulator), DATA)
    sent = emulator.requests.matching(path="/upload/.*")

    assert len(sent) == 1
    assert "authorization" not in sent[0].headers
    assert "client-request-id" not in sent[0].headers


async def test_progress(emulator: Emulator, graph: Connection) -> None:
    """Progress tells what has arrived, and ends with all of it."""
    reported: list[tuple[int, int]] = []
    await graph.upload(
        place(emulator), DATA, chunk_size=UNIT, progress=lambda arrived, total: reported.append((arrived, total))
    )

    assert reported == [(n, len(DATA)) for n in (UNIT, 2 * UNIT, 3 * UNIT, len(DATA))]


async def test_cut_at_random_bytes(emulator: Emulator) -> None:
    """However often and wherever the link is lost, the file that arrives has the same hash."""
    async with connected(emulator, retry=RetryPolicy(max_attempts=12)) as graph:
        for seed in range(20):
            chance = random.Random(seed)
            emulator.faults.clear()
            faults = [plant(emulator, chance) for _ in range(8)]
            name = f"{seed}.bin"
            await graph.upload(place(emulator, name), DATA, chunk_size=UNIT, conflict_behavior="fail")

            assert sum(fault.hits for fault in faults) >= 3
            assert hash_of(emulator, name) == sha256(DATA).hexdigest(), f"seed {seed}"


def plant(emulator: Emulator, chance: random.Random) -> Fault:
    """Plant a fault on the way to the session, or back."""
    effects: list[dict[str, Any]] = [
        {"method": "PUT", "cut_request_after": chance.randrange(UNIT)},
        {"method": "PUT", "cut_response_after": chance.randrange(300)},
        {"method": "PUT", "reset": "after"},
        {"method": "PUT", "status": chance.choice([500, 503, 429])},
        {"method": "GET", "reset": "before"},
    ]
    return emulator.faults.add("/upload/*", after=chance.randrange(3), **chance.choice(effects))


async def test_what_has_arrived_is_not_sent_again(emulator: Emulator, graph: Connection) -> None:
    """If the response to a chunk is lost, the service is asked, and gets the next one."""
    emulator.faults.add("/upload/*", method="PUT", after=1, reset="after")
    await graph.upload(place(emulator), DATA, chunk_size=UNIT)

    assert len(puts(emulator)) == len(set(puts(emulator))) == 4
    assert emulator.requests.count(path="/upload/.*", method="GET") == 1


@pytest.mark.parametrize("behavior", [None, "fail", "replace"])
async def test_the_last_response_is_lost(emulator: Emulator, graph: Connection, behavior: Any) -> None:
    """If the session ended with the last chunk, whose response was lost, the file that is there is the result."""
    emulator.faults.add("/upload/*", method="PUT", after=3, reset="after")
    item = await graph.upload(place(emulator), DATA, chunk_size=UNIT, conflict_behavior=behavior)

    assert item["size"] == len(DATA)
    assert emulator.drives.content("big/file.bin") == DATA


async def test_the_last_response_is_lost_and_the_outcome_unknown(emulator: Emulator, graph: Connection) -> None:
    """Where the file was to be renamed it cannot be found again: the error says so, and nothing is sent twice."""
    emulator.faults.add("/upload/*", method="PUT", after=3, reset="after")
    with pytest.raises(TransportError, match="may be there") as caught:
        await graph.upload(place(emulator), DATA, chunk_size=UNIT, conflict_behavior="rename")

    assert caught.value.sent
    assert len(puts(emulator)) == 4


async def test_a_retry_after_is_kept(emulator: Emulator) -> None:
    """A throttled session is left alone for as long as it asks."""
    clock = MovingClock(emulator.clock)
    emulator.faults.add("/upload/*", method="PUT", throttle=17)
    async with emulator.session(clock=clock) as session:
        await session.connect(emulator.client_secret)
        await session.upload(place(emulator), DATA)

    assert clock.sleeps == [17]


@pytest.mark.parametrize("closed", [True, False])
async def test_a_chunk_that_is_there_already(emulator: Emulator, graph: Connection, closed: bool) -> None:
    """416 means to ask what is missing, in either way to write it."""
    emulator.drives.closed_ranges = closed
    emulator.faults.add("/upload/*", method="PUT", after=1, status=416)
    await graph.upload(place(emulator), DATA, chunk_size=UNIT)

    assert emulator.drives.content("big/file.bin") == DATA


async def test_an_expired_session_begins_anew_once(emulator: Emulator, graph: Connection) -> None:
    """A session that is gone before its time is replaced once, which progress shows; the second time it is an error."""
    reported: list[int] = []
    emulator.faults.add("/upload/*", method="PUT", after=2, status=404)
    await graph.upload(place(emulator), DATA, chunk_size=UNIT, progress=lambda arrived, _: reported.append(arrived))
    assert reported == [UNIT, 2 * UNIT, 0, UNIT, 2 * UNIT, 3 * UNIT, len(DATA)]
    assert emulator.drives.content("big/file.bin") == DATA
    emulator.faults.add("/upload/*", method="PUT", times=None, status=404)
    with pytest.raises(NotFoundError, match="before its time"):
        await graph.upload(place(emulator, "other.bin"), DATA)

    assert emulator.requests.count(path=".*other.bin:/createUploadSession") == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, {"nextExpectedRanges": ["0-"]}),
        (202, {"nextExpectedRanges": [f"{len(DATA)}-"]}),
        (202, {"nextExpectedRanges": ["99999999-"]}),
        (202, {"id": "x"}),
        (200, {"id": "x"}),
    ],
)
async def test_a_session_that_makes_no_sense(
    emulator: Emulator, graph: Connection, status: int, body: dict[str, Any]
) -> None:
    """A session that goes in circles, or ends before the file does, is an error, not a loop and not a success."""
    emulator.faults.add("/upload/*", method="PUT", times=None, status=status, body=body)
    with pytest.raises((DecodeError, RequestError)) as caught:
        await graph.upload(place(emulator), DATA, chunk_size=UNIT)

    assert len(puts(emulator)) < 8
    assert "/upload/" not in f"{caught.value} {caught.value.url}"
    assert emulator.requests[-1].method == "DELETE"


async def test_a_name_that_is_taken(emulator: Emulator, graph: Connection) -> None:
    """A conflict is a ConflictError, at the beginning or at the end, unless it is to be replaced or renamed."""
    emulator.drives.put("big/file.bin", b"old")
    with pytest.raises(ConflictError) as caught:
        await graph.upload(place(emulator), DATA, conflict_behavior="fail")
    assert caught.value.code == "nameAlreadyExists"
    item = await graph.upload(place(emulator), DATA, conflict_behavior="rename")
    assert item["name"] not in {"file.bin", ""}
    await graph.upload(place(emulator), DATA, conflict_behavior="replace")
    assert emulator.drives.content("big/file.bin") == DATA

    def take(arrived: int, _: int) -> None:
        if arrived == UNIT:
            emulator.drives.put("late.bin", b"first")

    with pytest.raises(ConflictError):
        await graph.upload(place(emulator, "late.bin"), DATA, chunk_size=UNIT, progress=take)
    assert emulator.drives.content("late.bin") == b"first"
    assert emulator.requests[-1].method == "DELETE"


async def test_another_version_of_an_item(emulator: Emulator, graph: Connection) -> None:
    """A file that is there already is addressed by its id."""
    item_id = emulator.drives.put("big/file.bin", b"old")
    item = await graph.upload(f"drives/{emulator.drives.drive_id()}/items/{item_id}", DATA)

    assert item["id"] == item_id
    assert emulator.drives.content("big/file.bin") == DATA


async def test_a_cancelled_upload_leaves_nothing(emulator: Emulator, graph: Connection) -> None:
    """Cancelling ends the session at the service, too."""
    emulator.faults.add("/upload/*", method="PUT", after=3, delay_s=3600)
    with anyio.CancelScope() as scope:

        async def stop() -> None:
            await emulator.requests.wait_for(4, path="/upload/.*", method="PUT")
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            await graph.upload(place(emulator), DATA, chunk_size=UNIT)

    assert scope.cancelled_caught
    assert [request.method for request in emulator.requests.matching(path="/upload/.*")][-1] == "DELETE"
    with pytest.raises(FileNotFoundError):
        emulator.drives.content("big/file.bin")


async def test_a_failed_cancellation_hides_nothing(emulator: Emulator, graph: Connection) -> None:
    """If the session cannot be ended either, the first error is the one that is raised."""
    emulator.faults.add("/upload/*", method="PUT", status=403)
    emulator.faults.add("/upload/*", method="DELETE", reset="before")
    with pytest.raises(ForbiddenError):
        await graph.upload(place(emulator), DATA)


@pytest.mark.parametrize("url", ["http://evil.example/x", "https://u@evil.example/", None, 7])
async def test_an_upload_url_that_is_none(emulator: Emulator, graph: Connection, url: Any) -> None:
    """Bytes go over TLS or not at all."""
    emulator.faults.add("*/createUploadSession", status=200, body={"uploadUrl": url})
    with pytest.raises((UnsafeLinkError, DecodeError)):
        await graph.upload(place(emulator), DATA)


async def test_a_redirect_is_not_followed(emulator: Emulator, graph: Connection) -> None:
    """The session's host says where the bytes go, and nobody else."""
    emulator.faults.add("/upload/*", method="PUT", status=307, headers={"Location": "https://localhost:1/x"}, body="")
    with pytest.raises(RequestError, match="answered 307"):
        await graph.upload(place(emulator), DATA)


async def test_a_link_that_stands_still(emulator: Emulator) -> None:
    """An upload may take as long as something moves; when nothing does, it is tried again, and then it is an error."""
    emulator.faults.add("/upload/*", method="PUT", times=None, delay_s=3600)
    timeouts, retry = Timeouts(idle_s=0.1, response_s=0.1), RetryPolicy(max_attempts=2, base_delay_s=0.001)
    async with emulator.session(timeouts=timeouts, retry=retry) as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(RequestTimeoutError, match="nothing moved") as caught:
            await graph.upload(place(emulator), b"small")

    assert caught.value.attempts == 2
    assert "/upload/" not in f"{caught.value} {caught.value.url}"


async def test_a_body_that_does_not_leave() -> None:
    """If the other side takes nothing of a body, it is given up after idle_s, long before response_s."""
    writers: list[asyncio.StreamWriter] = []

    async def take_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()  # then it fills up
        writers.append(writer)

    server = await asyncio.start_server(take_nothing, "127.0.0.1", 0, limit=1024)
    pool = Pool(limits=Limits(), timeouts=Timeouts(idle_s=0.1, response_s=3600))
    port = server.sockets[0].getsockname()[1]
    request = HTTPRequest("PUT", f"http://127.0.0.1:{port}/secret", body=bytes(32_000_000), streamed=True, private=True)
    async with server:
        with pytest.raises(RequestTimeoutError, match="nothing moved") as caught:
            await pool.send(request, within_s=3600)
        await pool.aclose()
        for writer in writers:
            writer.transport.abort()

    assert "secret" not in f"{caught.value} {request!r}"


async def test_closing_the_session_ends_an_upload(emulator: Emulator) -> None:
    """An upload on its way ends with a clear error when its Session is closed."""
    emulator.faults.add("/upload/*", method="PUT", delay_s=3600)
    session = emulator.session()
    graph = await session.connect(emulator.client_secret)
    upload = asyncio.create_task(graph.upload(place(emulator), b"small"))
    await emulator.requests.wait_for(1, path="/upload/.*")
    await session.aclose()
    with pytest.raises(ClosedError):
        await upload


async def test_events_show_the_host_only(emulator: Emulator) -> None:
    """A listener gets an event for each chunk, but not where exactly it went."""
    events: list[Any] = []
    async with connected(emulator, listener=events.append) as graph:
        await graph.upload(place(emulator), DATA, chunk_size=UNIT)
    chunks = [event for event in events if getattr(event, "url", "").startswith(emulator.drives.url)]

    assert [event.status for event in chunks] == [202, 202, 202, 201]
    assert {event.url for event in chunks} == {f"{emulator.drives.url}/…"}
