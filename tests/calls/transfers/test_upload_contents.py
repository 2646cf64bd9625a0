"""What can be uploaded and what cannot: every kind of content, files that change meanwhile, attachments, bad input."""

from __future__ import annotations

import io
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async import Connection
from entra_async.errors import (
    ConfigurationError,
    ContentChangedError,
    NotFoundError,
    RequestError,
)
from entra_async.testing import Emulator
from tests.support.uploading import DATA, UNIT, Pipe, connected, pieces, place, puts


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    """Yield a connection to Graph."""
    async with connected(emulator) as connection:
        yield connection


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "path", "text", "file", "memory", "pipe", "flow"])
async def test_every_kind_of_content(emulator: Emulator, graph: Connection, tmp_path: Path, kind: str) -> None:
    """Bytes, a path, an open file, a pipe and an async iterable all arrive, chunk by chunk, and give the item."""
    path = tmp_path / "file.bin"
    await anyio.Path(path).write_bytes(DATA)
    with path.open("rb") as file:
        content: dict[str, Any] = {
            "bytes": DATA,
            "bytearray": bytearray(DATA),
            "path": path,
            "text": str(path),
            "file": file,
            "memory": io.BytesIO(DATA),
            "pipe": Pipe(DATA),
            "flow": pieces(DATA),
        }
        size = len(DATA) if kind in {"pipe", "flow"} else None
        item = await graph.upload(place(emulator), content[kind], size=size, chunk_size=UNIT)
        assert not file.closed

    assert (item["name"], item["size"]) == ("file.bin", len(DATA))
    assert emulator.drives.content("big/file.bin") == DATA
    total = len(DATA)
    assert puts(emulator) == [
        f"bytes {start}-{min(start + UNIT, total) - 1}/{total}" for start in range(0, total, UNIT)
    ]


async def test_a_file_opened_in_the_middle(emulator: Emulator, graph: Connection) -> None:
    """An open file is sent from where it stands."""
    file = io.BytesIO(DATA)
    file.seek(1000)
    await graph.upload(place(emulator), file)

    assert emulator.drives.content("big/file.bin") == DATA[1000:]


async def test_an_empty_file(emulator: Emulator, graph: Connection) -> None:
    """A session cannot hold nothing, so an empty file is put as it is."""
    item = await graph.upload(place(emulator), b"", conflict_behavior="fail")

    assert item["size"] == 0
    assert emulator.drives.content("big/file.bin") == b""
    assert emulator.requests.count(path="/upload/.*") == 0


async def test_what_can_be_read_once_does_not_begin_anew(emulator: Emulator, graph: Connection) -> None:
    """An async iterable cannot be rewound: the end of its session is an error, and nothing else is sent."""
    emulator.faults.add("/upload/*", method="PUT", after=1, status=404)
    with pytest.raises(NotFoundError):
        await graph.upload(place(emulator), pieces(DATA), size=len(DATA), chunk_size=UNIT)

    assert len(puts(emulator)) == 2


@pytest.mark.parametrize("kind", ["pipe", "flow"])
async def test_a_service_that_lost_bytes(emulator: Emulator, graph: Connection, kind: str) -> None:
    """What can be rewound is sent again from where the service wants it; what cannot is an error that says so."""
    lost = {"nextExpectedRanges": ["0-"]}
    emulator.faults.add("/upload/*", method="PUT", after=1, status=202, body=lost)
    emulator.faults.add("/upload/*", method="PUT", status=202, body={"nextExpectedRanges": [f"{UNIT}-"]}, after=1)
    await graph.upload(place(emulator), DATA, chunk_size=UNIT)
    assert emulator.drives.content("big/file.bin") == DATA
    emulator.faults.add("/upload/*", method="PUT", after=1, status=202, body=lost)
    once: Any = Pipe(DATA) if kind == "pipe" else pieces(DATA)
    with pytest.raises(RequestError, match="read once only"):
        await graph.upload(place(emulator, "other.bin"), once, size=len(DATA), chunk_size=UNIT)

    assert emulator.requests[-1].method == "DELETE"


async def test_a_file_that_changes(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """A file that is written to, cut or lengthened while it is uploaded is an error, and nothing is left of it."""
    path = tmp_path / "file.bin"

    async def upload(change: Any) -> None:
        await anyio.Path(path).write_bytes(DATA)
        os.utime(path, (1, 1))

        def tell(arrived: int, _: int) -> None:
            if arrived == UNIT:
                change()

        with pytest.raises(ContentChangedError, match="while it was uploaded"):
            await graph.upload(place(emulator), path, chunk_size=UNIT, progress=tell)
        assert emulator.requests[-1].method == "DELETE"

    await upload(lambda: os.utime(path, (2, 2)))
    await upload(lambda: os.truncate(path, UNIT + 1))
    await upload(lambda: os.truncate(path, len(DATA) + 1))
    with pytest.raises(FileNotFoundError):
        emulator.drives.content("big/file.bin")


@pytest.mark.parametrize("kind", ["pipe", "flow"])
@pytest.mark.parametrize("wrong", [-1, 1])
async def test_more_or_less_than_was_said(emulator: Emulator, graph: Connection, kind: str, wrong: int) -> None:
    """Content of another size than was given is an error before its last chunk is sent."""
    content: Any = Pipe(DATA) if kind == "pipe" else pieces(DATA)
    with pytest.raises(ContentChangedError):
        await graph.upload(place(emulator), content, size=len(DATA) + wrong, chunk_size=UNIT)

    assert emulator.requests[-1].method == "DELETE"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"chunk_size": 1_000_000}, "chunk_size"),
    ({"chunk_size": 60 * 1024 * 1024}, "chunk_size"),
    ({"conflict_behavior": "overwrite"}, "conflict_behavior"),
    ({"size": 5}, "size"),
    ({"size": -1}, "size"),
    ({"size": True}, "size"),
    ({"name": "x.bin"}, "name"),
    ({"timeout": 0}, "timeout"),
    ({"content": 7}, "content"),
    ({"content": ["x"]}, "content"),
    ({"content": "missing.bin"}, "content"),
    ({"content": io.StringIO("text"), "size": 4}, "content"),
    ({"content": Pipe(b"x")}, "size"),
    ({"content": pieces(b"x")}, "size"),
    ({"path": "drives/1/root:/a.bin:/content"}, "path"),
    ({"path": "drives/1/root:/a.bin:/createUploadSession"}, "path"),
    ({"path": "drives/1/root:/a.bin?x=1"}, "path"),
    ({"path": 7}, "path"),
    ({"path": "users/1/messages/2/attachments"}, "name"),
    ({"path": "users/1/messages/2/attachments", "name": "x", "conflict_behavior": "fail"}, "conflict_behavior"),
    ({"path": "users/1/messages/2/attachments", "name": "x", "chunk_size": 32 * UNIT}, "chunk_size"),
]


async def test_what_cannot_be_sent(emulator: Emulator, graph: Connection) -> None:
    """Bad input names the argument, and nothing is sent."""
    before = len(emulator.requests)
    for options, field in BAD:
        given: dict[str, Any] = {"path": place(emulator), "content": b"12345678", **options}
        with pytest.raises(ConfigurationError) as caught:
            await graph.upload(given.pop("path"), given.pop("content"), **given)
        assert caught.value.field == field, options

    assert len(emulator.requests) == before


MESSAGE = "users/ada@contoso.com/messages/1/attachments"


async def test_a_large_attachment(emulator: Emulator, graph: Connection) -> None:
    """An attachment goes up in chunks below 4 MB, by Outlook's own words for ranges, and gives its id."""
    data = random.Random(1).randbytes(4_000_000)
    url = f"{emulator.drives.url}/upload/outlook?authtoken=x"
    emulator.faults.add(f"/v1.0/{MESSAGE}/createUploadSession", status=201, body={"uploadUrl": url})
    emulator.faults.add("/upload/outlook", status=200, body={"NextExpectedRanges": ["3932160"]})
    location = "https://outlook.office.com/api/v2.0/Users('1')/Messages('1')/Attachments('AAMk=')"
    emulator.faults.add("/upload/outlook", status=201, headers={"Location": location}, body="")
    attachment = await graph.upload(MESSAGE, data, name="report.pdf")

    assert attachment == {"id": "AAMk="}
    assert puts(emulator) == ["bytes 0-3932159/4000000", "bytes 3932160-3999999/4000000"]


async def test_a_small_attachment(emulator: Emulator, graph: Connection, tmp_path: Path) -> None:
    """Outlook makes no session below 3 MB: a small attachment goes in one request, named as its file is."""
    path = tmp_path / "report.pdf"
    await anyio.Path(path).write_bytes(b"content")
    emulator.faults.add(f"/v1.0/{MESSAGE}", method="POST", status=201, body={"id": "AAMk=", "name": "report.pdf"})
    attachment = await graph.upload(MESSAGE, path)

    assert attachment["id"] == "AAMk="
    assert emulator.requests.count(path=".*createUploadSession") == 0
