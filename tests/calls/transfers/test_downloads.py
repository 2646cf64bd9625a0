"""Downloads: all of a file and nothing but that file, or an error; and never more than a little of it in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async import Connection, RetryPolicy, Timeouts
from entra_async.errors import (
    ClosedError,
    ConfigurationError,
    ContentChangedError,
    DecodeError,
    NotFoundError,
    RequestError,
    RequestTimeoutError,
    TransportError,
    UnsafeLinkError,
)
from entra_async.testing import Emulator
from tests.support.moving_clock import MovingClock

DATA = random.Random(7).randbytes(900_000)
OTHER = random.Random(8).randbytes(900_000)
IMPATIENT = Timeouts(idle_s=0.1)  # planted responses that are too short leave the connection open
PHOTO = "/v1.0/users/ada@contoso.com/photo/$value"


@asynccontextmanager
async def connected(emulator: Emulator, **options: Any) -> AsyncIterator[Connection]:
    async with emulator.session(clock=MovingClock(emulator.clock), **options) as session:
        yield await session.connect(emulator.client_secret)


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    """Yield a connection to Graph."""
    async with connected(emulator) as connection:
        yield connection


def put(emulator: Emulator, data: bytes = DATA) -> str:
    """Store a file and return the path of its content."""
    return f"drives/{emulator.drives.drive_id()}/items/{emulator.drives.put('file.bin', data)}/content"


async def read(graph: Connection, path: str) -> bytes:
    async with graph.download(path) as download:
        return b"".join([piece async for piece in download])


async def files_in(directory: Path) -> list[str]:
    return sorted([path.name async for path in anyio.Path(directory).iterdir()])


async def test_a_file_in_pieces(emulator: Emulator, graph: Connection) -> None:
    """The bytes come in small pieces, and what is known of them before the first."""
    async with graph.download(put(emulator)) as download:
        assert (download.size, download.received) == (len(DATA), 0)
        assert download.etag
        pieces = [piece async for piece in download]

    assert b"".join(pieces) == DATA
    assert download.received == len(DATA)
    assert max(map(len, pieces)) < 400_000


async def test_a_file_to_a_file(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """The file is there as a whole, in place of the old one, and nothing is left beside it."""
    path = tmp_path / "file.bin"
    await anyio.Path(path).write_bytes(b"old")
    assert await graph.download(put(emulator), to=path) == len(DATA)

    assert await anyio.Path(path).read_bytes() == DATA
    assert await files_in(tmp_path) == ["file.bin"]


async def test_no_token_goes_to_the_download_host(emulator: Emulator, graph: Connection) -> None:
    """Graph sees the token and no range; the host with the bytes sees no token."""
    emulator.faults.add("/download/*", cut_response_after=100_000)
    assert await read(graph, put(emulator)) == DATA
    graph_requests = emulator.requests.matching(path=".*/content")
    file_requests = emulator.requests.matching(path="/download/.*")

    assert len(graph_requests) == len(file_requests) == 2
    assert all("authorization" in request.headers for request in graph_requests)
    assert not any("range" in request.headers for request in graph_requests)
    assert not any("authorization" in request.headers for request in file_requests)
    assert file_requests[1].headers["range"].startswith("bytes=")
    assert file_requests[1].headers["if-range"]


@pytest.mark.parametrize("to_file", [True, False])
async def test_cut_at_random_bytes(emulator: Emulator, tmp_path: Path, to_file: bool) -> None:
    """However often and wherever the link is lost, the hash is the same."""
    path, place = put(emulator), anyio.Path(tmp_path / "file.bin")
    async with connected(emulator, retry=RetryPolicy(max_attempts=12)) as graph:
        for seed in range(10):
            chance = random.Random(seed)
            emulator.requests.clear()
            for _ in range(5):
                emulator.faults.add("/download/*", cut_response_after=chance.randrange(len(DATA) // 6))
            emulator.faults.add("/download/*", reset="before")
            emulator.faults.add("*/content", after=2, status=503)
            if to_file:
                assert await graph.download(path, to=place) == len(DATA)
            data = await place.read_bytes() if to_file else await read(graph, path)

            assert sha256(data).hexdigest() == sha256(DATA).hexdigest(), f"seed {seed}"
            assert emulator.requests.count(path="/download/.*") == 7


async def test_a_link_that_is_lost_for_good(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """Less than the whole is never a success, and no part of it stays."""
    emulator.faults.add("/download/*", times=None, cut_response_after=0)
    path = put(emulator)
    with pytest.raises(TransportError) as caught:
        await read(graph, path)
    with pytest.raises(TransportError):
        await graph.download(path, to=tmp_path / "file.bin")

    assert "/download/" not in f"{caught.value} {caught.value.url}"
    assert await files_in(tmp_path) == []


async def test_a_file_that_changes_midway(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """Two versions are never mixed: an error when it is read, the new version as a whole when it goes to a file."""
    path = put(emulator)
    emulator.faults.add("/download/*", cut_response_after=300_000)

    async def read_and_change() -> None:
        async with graph.download(path) as download:
            async for _ in download:
                if download.received >= 300_000:
                    put(emulator, OTHER)

    with pytest.raises(ContentChangedError, match="changed after"):
        await read_and_change()

    emulator.faults.add("/download/*", cut_response_after=300_000)
    emulator.faults.add("*/content", after=1, reset="before")  # a moment in which to change it
    copy = asyncio.ensure_future(graph.download(path, to=tmp_path / "file.bin"))
    await emulator.requests.wait_for(4, path=".*/content")
    put(emulator, DATA)
    assert await copy == len(DATA)
    assert await anyio.Path(tmp_path / "file.bin").read_bytes() == DATA
    assert emulator.requests.matching(path="/download/.*")[-1].headers.get("range") is None


async def test_a_file_that_got_shorter_midway(emulator: Emulator, graph: Connection) -> None:
    """A range that is no longer there means another version."""
    path = put(emulator)
    emulator.faults.add("/download/*", cut_response_after=300_000)
    emulator.faults.add("/download/*", status=416)
    with pytest.raises(ContentChangedError):
        await read(graph, path)


async def test_a_service_that_ignores_the_range(emulator: Emulator) -> None:
    """If all of the same version comes again, what was there already is left out."""
    emulator.faults.add(PHOTO, status=200, body=DATA, headers={"ETag": '"1"', "Content-Length": str(len(DATA) + 5)})
    emulator.faults.add(PHOTO, status=200, body=DATA + b"12345", headers={"ETag": '"1"'})

    async with connected(emulator, timeouts=IMPATIENT) as graph:
        assert await read(graph, "users/ada@contoso.com/photo/$value") == DATA + b"12345"


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
async def test_without_a_strong_etag(emulator: Emulator, tmp_path: Path, headers: dict[str, str]) -> None:
    """Nothing is put together that may not belong together: an error, or a new beginning if it goes to a file."""
    half = {"Content-Length": str(len(DATA) + 5), **headers}
    emulator.faults.add(PHOTO, times=2, status=200, body=DATA, headers=half)
    emulator.faults.add(PHOTO, status=200, body=OTHER, headers=headers)
    async with connected(emulator, timeouts=IMPATIENT) as graph:
        with pytest.raises(TransportError, match="no ETag"):
            await read(graph, "users/ada@contoso.com/photo/$value")
        await graph.download("users/ada@contoso.com/photo/$value", to=tmp_path / "photo")

    assert await anyio.Path(tmp_path / "photo").read_bytes() == OTHER


async def test_bytes_from_the_service_itself(emulator: Emulator) -> None:
    """What the service sends without a redirect is resumed there, with the token."""
    total = len(DATA)
    emulator.faults.add(PHOTO, status=200, body=DATA[:1000], headers={"ETag": '"1"', "Content-Length": str(total)})
    part = {"ETag": '"1"', "Content-Range": f"bytes 1000-{total - 1}/{total}"}
    emulator.faults.add(PHOTO, status=206, body=DATA[1000:], headers=part)

    async with connected(emulator, timeouts=IMPATIENT) as graph:
        assert await read(graph, "users/ada@contoso.com/photo/$value") == DATA
    second = emulator.requests.matching(path=r"/v1.0/users/ada@contoso.com/photo/\$value")[1]
    assert second.headers["range"] == "bytes=1000-"
    assert second.headers["if-range"] == '"1"'
    assert "authorization" in second.headers


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"Content-Range": "bytes 5-9/10"}),
        (206, {}),
        (200, {"Content-Encoding": "br"}),
    ],
)
async def test_other_bytes_than_were_requested(
    emulator: Emulator, graph: Connection, status: int, headers: dict[str, str]
) -> None:
    """A part nobody requested, or compressed bytes, are not taken for the file."""
    emulator.faults.add(PHOTO, status=status, body=b"12345", headers=headers)
    with pytest.raises(DecodeError, match="other bytes"):
        await read(graph, "users/ada@contoso.com/photo/$value")


async def test_an_empty_file(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """Nothing is a file, too."""
    path = put(emulator, b"")

    assert await read(graph, path) == b""
    assert await graph.download(path, to=tmp_path / "empty") == 0
    assert await files_in(tmp_path) == ["empty"]


@pytest.mark.parametrize("link", ["http://evil.example/x", "https://u@evil.example/", None])
async def test_a_redirect_that_is_no_https_url(emulator: Emulator, graph: Connection, link: str | None) -> None:
    """A redirect is followed over TLS or not at all."""
    headers = {} if link is None else {"Location": link}
    emulator.faults.add("*/content", status=302, headers=headers, body="")
    with pytest.raises(UnsafeLinkError):
        await read(graph, put(emulator))


@pytest.mark.parametrize("raw", [False, True])
async def test_a_report_on_another_host(emulator: Emulator, graph: Connection, raw: bool) -> None:
    """A report that redirects to a pre-authenticated URL: invoke() sends nothing there and names download()."""
    path = put(emulator)
    with pytest.raises(UnsafeLinkError, match=r"another host, https://127\.0\.0\.1:\d+/….*download\(\)") as caught:
        await graph.invoke(path, raw=raw)
    assert emulator.requests.count(service="files") == 0

    assert caught.value.url == f"{emulator.graph_url}/v1.0/{path}"
    assert await read(graph, path) == DATA
    sent = emulator.requests.matching(service="files")
    assert sent
    assert not any("authorization" in request.headers for request in sent)


async def test_redirects_without_end(emulator: Emulator, graph: Connection) -> None:
    """A service that redirects to itself is an error, not a loop."""
    path = put(emulator)
    emulator.faults.add("*/content", times=None, status=302, headers={"Location": f"/v1.0/{path}"}, body="")
    with pytest.raises(RequestError, match="redirected more than"):
        await read(graph, path)


async def test_no_such_file(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """An error of the service is the error of invoke, and leaves no file."""
    path = f"drives/{emulator.drives.drive_id()}/items/nothing/content"
    with pytest.raises(NotFoundError):
        await read(graph, path)
    with pytest.raises(NotFoundError):
        await graph.download(path, to=tmp_path / "file.bin")

    assert await files_in(tmp_path) == []


@pytest.mark.parametrize("header", ["Range", "If-Range", "Accept-Encoding", "if-none-match"])
async def test_reserved_headers(graph: Connection, header: str) -> None:
    """What the parts are asked with is not the caller's to say."""
    with pytest.raises(ConfigurationError, match="set by the download"):
        _ = graph.download("x/content", headers={header: "x"})


async def test_a_path_that_cannot_be_written(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """A directory, a missing one, and no path at all are refused before anything is sent."""
    path = put(emulator)
    before = len(emulator.requests)
    for place in (tmp_path, tmp_path / "missing" / "file.bin", 7):
        with pytest.raises(ConfigurationError) as caught:
            await graph.download(path, to=place)  # type: ignore[arg-type]
        assert caught.value.field == "to"
    with pytest.raises(ConfigurationError, match="no file to write"):
        await graph.download(path)
    with pytest.raises(ConfigurationError, match="awaited"):
        async with graph.download(path, to=tmp_path / "x"):
            pass

    assert len(emulator.requests) == before


async def test_a_download_that_is_left_early(emulator: Emulator) -> None:
    """Leaving the block gives the connection and its place back, at once."""
    from entra_async import Limits

    async with connected(emulator, limits=Limits(connections=1)) as graph:
        path = put(emulator)
        for _ in range(3):
            async with graph.download(path) as download:
                await anext(aiter(download))
        assert await read(graph, path) == DATA


async def test_a_cancelled_download_leaves_nothing(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """What was written so far is removed, and the old file stays as it was."""
    place = anyio.Path(tmp_path / "file.bin")
    await place.write_bytes(b"old")
    emulator.faults.add("/download/*", cut_response_after=300_000)
    emulator.faults.add("/download/*", delay_s=3600)
    with anyio.CancelScope() as scope:

        async def stop() -> None:
            await emulator.requests.wait_for(2, path="/download/.*")
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            await graph.download(put(emulator), to=place)

    assert scope.cancelled_caught
    assert await files_in(tmp_path) == ["file.bin"]
    assert await place.read_bytes() == b"old"


async def test_a_link_that_stands_still(emulator: Emulator) -> None:
    """A download may take as long as something arrives; when nothing does, it is tried again, then it is an error."""
    emulator.faults.add("/download/*", times=None, delay_s=3600)
    timeouts, retry = Timeouts(idle_s=0.1, response_s=0.1), RetryPolicy(max_attempts=2, base_delay_s=0.001)
    async with emulator.session(timeouts=timeouts, retry=retry) as session:
        graph = await session.connect(emulator.client_secret)
        with pytest.raises(RequestTimeoutError, match="nothing moved"):
            await read(graph, put(emulator))


async def test_closing_the_session_ends_a_download(emulator: Emulator) -> None:
    """A download that outlives its Session ends with a clear error, not with half a file."""
    session = emulator.session()
    graph = await session.connect(emulator.client_secret)
    async with graph.download(put(emulator, DATA * 10)) as download:
        await anext(aiter(download))
        await session.aclose()
        with pytest.raises(ClosedError):
            async for _ in download:
                pass


async def test_events(emulator: Emulator) -> None:
    """A listener gets an event when a download has ended: whole, or without a status when it broke off."""
    events: list[Any] = []
    emulator.faults.add("/download/*", cut_response_after=1000)
    async with connected(emulator, listener=events.append) as graph:
        await read(graph, put(emulator))
    ends = [event for event in events if getattr(event, "url", "") == f"{emulator.drives.url}/…"]

    assert [event.status for event in ends] == [None, 200] or [event.status for event in ends] == [None, 206]


async def test_through_the_session(emulator: Emulator, tmp_path: Path) -> None:
    """A Session's verbs are those of its connections."""
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        drive = emulator.drives.drive_id()
        item = await session.upload(f"drives/{drive}/root:/a.bin", DATA)
        await session.download(f"drives/{drive}/root:/a.bin:/content", to=tmp_path / "a.bin", service="Graph")
        operation = await session.operation(f"drives/{drive}/items/{item['id']}/copy", body={"name": "b.bin"})
        emulator.clock.move(10)
        await operation

    assert emulator.drives.content("b.bin") == DATA == await anyio.Path(tmp_path / "a.bin").read_bytes()
