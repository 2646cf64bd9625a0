"""Microsoft's own Graph SDK, unmodified, against the emulated drives."""

from __future__ import annotations

import random
import warnings
from collections.abc import AsyncIterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from entra_async.testing import Emulator
from tests.emulator.graph.test_msgraph_sdk import signed_in
from tests.emulator.support.drive_client import UNIT

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kiota 1.16 uses its own deprecated names
    from kiota_abstractions.api_error import APIError
    from msgraph.generated.drives.item.items.item.copy.copy_post_request_body import CopyPostRequestBody
    from msgraph.generated.drives.item.items.item.create_upload_session.create_upload_session_post_request_body import (
        CreateUploadSessionPostRequestBody,
    )
    from msgraph.generated.models.drive_item_uploadable_properties import DriveItemUploadableProperties
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph_core.tasks import LargeFileUploadTask  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from msgraph import GraphServiceClient

# The SDK defines classes it deprecates itself, each when it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning")

DATA = random.Random(7).randbytes(UNIT + 1000)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Yield an emulator."""
    async with Emulator(users=2) as running:
        yield running


def at(graph: GraphServiceClient, emulator: Emulator, path: str) -> Any:
    """Return the SDK's builder of an item, addressed by its path as the SDK's documentation does."""
    return graph.drives.by_drive_id(emulator.drives.drive_id()).items.by_drive_item_id(f"root:/{path}:")


async def test_sdk_writes_reads_and_copies(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Content goes up and comes down through a redirect, items are typed, and a copy is accepted."""
    async with signed_in(emulator, http) as graph:
        item = await at(graph, emulator, "a/b.txt").content.put(b"data")
        assert (item.name, item.size, item.file.mime_type) == ("b.txt", 4, "text/plain")
        assert item.file.hashes.sha256_hash
        assert item.parent_reference.path.endswith("root:/a")
        assert await at(graph, emulator, "a/b.txt").content.get() == b"data"
        with pytest.raises(ODataError) as missing:
            await at(graph, emulator, "a/c.txt").get()
        emulator.drives.copying(takes_s=0)
        await at(graph, emulator, "a/b.txt").copy.post(CopyPostRequestBody(name="c.txt"))
    assert missing.value.error is not None
    assert missing.value.error.code == "itemNotFound"
    assert emulator.drives.content("a/c.txt") == b"data"
    download = emulator.requests.matching(service="files")
    assert [("authorization" in record.headers, record.status) for record in download] == [(False, 200)]


async def test_sdk_uploads_a_large_file(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """
    Every byte arrives with msgraph-core's upload task, which then sends the last part again and fails on that.

    As of 1.5.2 it sends a part more than there are. It reads the next part from a range with an end only, and makes all
    parts but the first a byte longer than it was told, so that no file of more than two parts keeps to 320 KiB.
    """
    emulator.drives.closed_ranges = True
    async with signed_in(emulator, http) as graph:
        session = await open_session(graph, emulator)
        task = LargeFileUploadTask(session, graph.request_adapter, BytesIO(DATA), max_chunk_size=UNIT)
        with pytest.raises(APIError) as refused:
            await task.upload()
    assert refused.value.response_status_code == 404
    assert emulator.drives.content("large.bin") == DATA
    assert [record.status for record in emulator.requests.matching(method="PUT")] == [202, 201, 404]


async def test_sdk_uploads_part_by_part(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """
    The steps of the task go well one by one, and read what is missing.

    All but cancelling: as of 1.5.2 it calls kiota with an argument too few.
    """
    async with signed_in(emulator, http) as graph:
        session = await open_session(graph, emulator)
        assert session.next_expected_ranges == ["0-"]
        task = LargeFileUploadTask(session, graph.request_adapter, BytesIO(DATA), max_chunk_size=UNIT)
        assert not task.upload_session_expired()
        progress = await task.next_chunk(task.stream, 0, UNIT - 1)
        assert progress.next_expected_ranges == [f"{UNIT}-"]
    assert [record.status for record in emulator.requests.matching(service="files")] == [202]


async def open_session(graph: GraphServiceClient, emulator: Emulator) -> Any:
    """Open an upload session with the SDK."""
    properties = DriveItemUploadableProperties(additional_data={"@microsoft.graph.conflictBehavior": "replace"})
    body = CreateUploadSessionPostRequestBody(item=properties)
    return await at(graph, emulator, "large.bin").create_upload_session.post(body)
