"""The emulated upload sessions: what is taken, what is refused, and that a cut upload can go on where it was."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import aiohttp
import anyio
import pytest
from yarl import URL

from entra_async.testing import Emulator
from tests.emulator.support.drive_client import UNIT, Files, signed_in

DATA = random.Random(6).randbytes(2 * UNIT + 1234)
CUTS = ((0, UNIT), (UNIT, 2 * UNIT), (2 * UNIT, len(DATA)))


@pytest.fixture
async def files(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Files]:
    """Yield a signed-in client."""
    async with signed_in(emulator, http) as client:
        yield client


async def test_a_file_arrives_in_parts(files: Files) -> None:
    """Each part is answered 202 with what is missing, the last one 201 with the item; then the session is gone."""
    url = await files.open_session("big/file.bin", item={"name": "file.bin", "description": "d"})
    assert url.startswith("https://127.0.0.1:")
    seen: list[tuple[int, Any]] = []
    for start, end in CUTS:
        response = await files.part(url, DATA, start, end)
        seen.append((response.status, response.body.get("nextExpectedRanges")))
        if response.status == 202:
            with pytest.raises(FileNotFoundError):
                files.emulator.drives.content("big/file.bin")
            assert (await files.plain("GET", url)).body == response.body
    assert seen == [(202, [f"{UNIT}-"]), (202, [f"{2 * UNIT}-"]), (201, None)]
    item = (await files.graph("GET", f"{files.drive}/root:/big/file.bin")).body
    assert item["file"]["hashes"]["sha256Hash"] == sha256(DATA).hexdigest().upper()
    assert (item["size"], item["description"]) == (len(DATA), "d")
    assert files.emulator.drives.content("big/file.bin") == DATA
    for method in ("GET", "DELETE", "POST"):
        gone = await files.plain(method, url)
        assert (gone.status, gone.code) == (404, "itemNotFound")
    assert (await files.part(url, DATA, *CUTS[-1])).status == 404


async def test_parts_come_in_order(files: Files) -> None:
    """A part that is there already, or that leaves a gap, is refused with 416, and nothing is lost by it."""
    url = await files.open_session("file.bin")
    assert (await files.part(url, DATA, *CUTS[0])).status == 202
    for cut, message in ((CUTS[0], "overlaps"), (CUTS[2], "out of order"), ((UNIT - 1, 2 * UNIT - 1), "overlaps")):
        refused = await files.part(url, DATA, *cut)
        assert (refused.status, refused.code) == (416, "invalidRange")
        assert message in refused.body["error"]["message"]
    assert (await files.plain("GET", url)).body["nextExpectedRanges"] == [f"{UNIT}-"]
    files.emulator.drives.closed_ranges = True
    assert (await files.plain("GET", url)).body["nextExpectedRanges"] == [f"{UNIT}-{len(DATA) - 1}"]
    assert (await files.part(url, DATA, UNIT, len(DATA))).status == 201
    assert files.emulator.drives.content("file.bin") == DATA


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Content-Range": "bytes 0-99"}, 400),
        ({"Content-Range": "bytes 0-99/*"}, 400),
        ({"Content-Range": "bytes */100"}, 400),
        ({"Content-Range": "bytes 99-0/100"}, 400),
        ({"Content-Range": "bytes 0-99/99"}, 400),
        ({"Content-Range": "bytes 0-98/99"}, 400),  # one byte fewer than the body has
        ({"Content-Range": "items 0-99/100"}, 400),
        ({"Content-Range": "bytes 0-99/1000"}, 400),  # not the last, and no multiple of 320 KiB
        ({"Content-Range": "bytes 0-99/100", "Authorization": "Bearer x"}, 401),
    ],
)
async def test_a_part_says_what_it_is(files: Files, headers: dict[str, str], status: int) -> None:
    """Content-Range is needed, and must fit body, whole and unit; an access token is refused."""
    url = await files.open_session("file.bin")
    refused = await files.plain("PUT", url, data=b"x" * 100, headers=headers)
    assert refused.status == status
    assert refused.code in {"invalidRequest", "unauthenticated"}
    fitting = {"Content-Range": "bytes 0-99/100"}
    assert (await files.plain("PUT", url, data=b"x" * 100, headers=fitting)).status == 201


async def test_a_part_is_of_known_and_moderate_length(files: Files) -> None:
    """A body without Content-Length is refused with 411, one of 60 MiB with 413 before it is read."""
    url = await files.open_session("file.bin")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 100

    open_end = await files.plain("PUT", url, data=pieces(), headers={"Content-Range": "bytes 0-99/100"})
    assert (open_end.status, open_end.code) == (411, "lengthRequired")
    size = 60 * 1024 * 1024
    target = URL(url, encoded=True)
    head = [f"PUT {target.raw_path_qs} HTTP/1.1", f"Host: {target.authority}"]
    head += [f"Content-Length: {size}", f"Content-Range: bytes 0-{size - 1}/{size}"]
    # The response comes before the body, which is never sent.
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=files.emulator.ssl_context)
    try:
        writer.write("\r\n".join([*head, "", ""]).encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_the_size_stays_the_same(files: Files) -> None:
    """Another total than the first part or the client announced is refused."""
    url = await files.open_session("file.bin", item={"fileSize": len(DATA)})
    assert (await files.part(url, DATA[:-1], *CUTS[0])).code == "invalidRequest"
    assert (await files.part(url, DATA, *CUTS[0])).status == 202
    assert (await files.part(url, DATA[:-1], *CUTS[1])).code == "invalidRequest"
    assert (await files.part(url, DATA, UNIT, len(DATA))).status == 201


async def test_a_session_ends(files: Files) -> None:
    """Cancelling answers 204; a session lives on with each part, and is 404 once its time is over."""
    url = await files.open_session("file.bin")
    assert (await files.plain("DELETE", url)).status == 204
    assert (await files.part(url, DATA, *CUTS[0])).status == 404
    url = await files.open_session("file.bin")
    assert (await files.plain("GET", f"{url}0")).status == 404
    for cut in CUTS[:2]:
        files.emulator.clock.move(800)
        assert (await files.part(url, DATA, *cut)).status == 202
    files.emulator.clock.move(901)
    expired = await files.part(url, DATA, *CUTS[2])
    assert (expired.status, expired.code) == (404, "itemNotFound")
    with pytest.raises(FileNotFoundError):
        files.emulator.drives.content("file.bin")


async def test_a_taken_name_is_handled_as_requested(files: Files) -> None:
    """Fail refuses to begin, replace replaces (200), rename makes another file; an item by id is replaced."""
    item_id = files.emulator.drives.put("file.bin", b"old")
    path = f"{files.drive}/root:/file.bin:/createUploadSession"
    refused = await files.graph("POST", path)
    assert (refused.status, refused.code) == (409, "nameAlreadyExists")
    conflict = "@microsoft.graph.conflictBehavior"
    for behavior, status in (("replace", 200), ("rename", 201)):
        url = await files.open_session("file.bin", item={conflict: behavior})
        done = await files.part(url, DATA, 0, len(DATA))
        assert (done.status, done.body["id"] == item_id) == (status, behavior == "replace")
    assert files.emulator.drives.content("file 1.bin") == DATA
    session = await files.graph("POST", f"{files.drive}/items/{item_id}/createUploadSession")
    done = await files.part(session.body["uploadUrl"], b"by id", 0, 5)
    assert (done.status, done.body["id"]) == (200, item_id)
    assert files.emulator.drives.content("file.bin") == b"by id"


async def test_a_name_taken_meanwhile_is_a_conflict_at_the_end(files: Files) -> None:
    """The last part is answered 409; once the name is free, a POST without a body completes the file."""
    url = await files.open_session("file.bin")
    assert (await files.plain("POST", url)).code == "invalidRequest"
    item_id = files.emulator.drives.put("file.bin", b"first")
    conflict = await files.part(url, DATA, 0, len(DATA))
    assert (conflict.status, conflict.code) == (409, "nameAlreadyExists")
    assert (await files.plain("GET", url)).body["nextExpectedRanges"] == []
    assert (await files.graph("DELETE", f"{files.drive}/items/{item_id}")).status == 204
    done = await files.plain("POST", url)
    assert done.status == 201
    assert files.emulator.drives.content("file.bin") == DATA


async def test_a_deferred_file_appears_when_requested(files: Files) -> None:
    """With deferCommit the last part is answered 202, and a POST makes the file."""
    url = await files.open_session("file.bin", deferCommit=True)
    last = await files.part(url, DATA, 0, len(DATA))
    assert (last.status, last.body["nextExpectedRanges"]) == (202, [])
    with pytest.raises(FileNotFoundError):
        files.emulator.drives.content("file.bin")
    assert (await files.plain("POST", url, data=b"x")).code == "invalidRequest"
    assert (await files.plain("POST", url)).status == 201
    assert files.emulator.drives.content("file.bin") == DATA


@pytest.mark.parametrize(
    "body",
    [
        {"item": {"name": "other.bin"}},
        {"item": {"size": 5}},
        {"item": {"fileSize": 0}},
        {"item": {"fileSize": "5"}},
        {"item": 1},
        {"deferCommit": "yes"},
        {"conflictBehavior": "fail"},
        {"item": {"@microsoft.graph.conflictBehavior": "overwrite"}},
    ],
)
async def test_a_session_needs_a_right_body(files: Files, body: dict[str, Any]) -> None:
    """What is unknown or contradicts the path is refused when the session is requested."""
    response = await files.graph("POST", f"{files.drive}/root:/file.bin:/createUploadSession", json=body)
    assert (response.status, response.code) == (400, "invalidRequest")


async def test_what_a_session_replaces_can_be_guarded(files: Files) -> None:
    """If-Match refuses to open a session for another state of the file."""
    item_id = files.emulator.drives.put("file.bin", b"old")
    path = f"{files.drive}/items/{item_id}"
    tag = (await files.graph("GET", path)).body["eTag"]
    assert (await files.graph("POST", f"{path}/createUploadSession", headers={"If-Match": tag})).status == 200
    files.emulator.drives.put("file.bin", b"new")
    stale = await files.graph("POST", f"{path}/createUploadSession", headers={"If-Match": tag})
    assert (stale.status, stale.code) == (412, "preconditionFailed")
    assert (await files.graph("POST", f"{files.drive}/root/createUploadSession")).status == 400


@pytest.mark.parametrize("cut", [0, 1, UNIT - 1, UNIT])
async def test_an_upload_can_be_cut_and_resumed(files: Files, cut: int) -> None:
    """A part that is cut at any byte counts for nothing: the session says where to go on, and the file is whole."""
    url = await files.open_session("file.bin")
    assert (await files.part(url, DATA, *CUTS[0])).status == 202
    files.emulator.faults.add("/upload/*", service="files", method="PUT", times=None, cut_request_after=cut)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await files.part(url, DATA, *CUTS[1])  # aiohttp sends a PUT twice by itself
    files.emulator.faults.clear()
    status = await files.plain("GET", url)
    assert status.body["nextExpectedRanges"] == [f"{UNIT}-"]
    assert (await files.part(url, DATA, UNIT, len(DATA))).status == 201
    assert files.emulator.drives.content("file.bin") == DATA


async def test_a_response_that_is_lost_is_found_again(files: Files) -> None:
    """When the connection breaks after the part was taken, the session says so, and the part is not requested again."""
    url = await files.open_session("file.bin")
    files.emulator.faults.add("/upload/*", service="files", method="PUT", times=None, reset="after")
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await files.part(url, DATA, *CUTS[0])
    files.emulator.faults.clear()
    assert (await files.plain("GET", url)).body["nextExpectedRanges"] == [f"{UNIT}-"]
    assert (await files.part(url, DATA, *CUTS[0])).status == 416


async def test_a_client_that_disconnects_leaves_nothing(files: Files) -> None:
    """A part whose client hangs up in the middle is ignored, and the origin goes on."""
    url = await files.open_session("file.bin")
    on_its_way = anyio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield DATA[:1000]
        on_its_way.set()
        await anyio.sleep_forever()

    async def upload() -> None:
        headers = {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}", "Content-Length": str(len(DATA))}
        await files.http.put(url, data=pieces(), headers=headers)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload)
        await on_its_way.wait()
        await files.emulator.requests.wait_for(method="PUT")
        tasks.cancel_scope.cancel()
    assert (await files.plain("GET", url)).body["nextExpectedRanges"] == ["0-"]
    assert (await files.part(url, DATA, 0, len(DATA))).status == 201
    assert files.emulator.requests.matching(method="PUT")[0].status is None
