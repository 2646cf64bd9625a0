"""Faults that cut a connection at an exact byte, of what is sent or of what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anyio
import pytest

from entra_async.testing import Emulator


def configuration(emulator: Emulator) -> str:
    """Return a URL anybody may read."""
    return f"{emulator.authority}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"


@pytest.mark.parametrize("size", [0, 1, 100])
async def test_a_response_is_cut_at_a_byte(emulator: Emulator, http: aiohttp.ClientSession, size: int) -> None:
    """The headers promise the whole response, exactly that many bytes arrive, and the next response is whole."""
    async with http.get(configuration(emulator)) as response:
        whole = await response.read()
    emulator.faults.add("*", cut_response_after=size)
    arrived = bytearray()

    async def read_all(response: aiohttp.ClientResponse) -> None:
        async for chunk in response.content.iter_any():
            arrived.extend(chunk)

    async with http.get(configuration(emulator)) as response:
        assert int(response.headers["Content-Length"]) == len(whole)
        with pytest.raises(aiohttp.ClientPayloadError):
            await read_all(response)
    assert arrived == whole[:size]
    async with http.get(configuration(emulator)) as response:
        assert await response.read() == whole


async def test_a_response_shorter_than_the_cut_is_whole(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A cut beyond the end of a response does no more than close the connection."""
    async with http.get(configuration(emulator)) as response:
        whole = await response.read()
    fault = emulator.faults.add("*", cut_response_after=len(whole) + 1)
    async with http.get(configuration(emulator)) as response:
        assert await response.read() == whole
    assert fault.hits == 1


async def test_a_request_is_cut_at_a_byte(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The connection is reset while the body is on its way: the service sees nothing, the record no response."""
    fault = emulator.faults.add("/v1.0/users", method="POST", cut_request_after=1000)
    sent: list[int] = []
    struck = anyio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        sent.append(1000)
        await struck.wait()  # nothing more is sent, so that the cut cannot come of anything but those bytes

    async with anyio.create_task_group() as tasks:

        async def post() -> None:
            with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
                await http.post(f"{emulator.graph_url}/v1.0/users", data=body())
            struck.set()

        tasks.start_soon(post)
    assert fault.hits == 1
    assert sent == [1000]
    assert [record.status for record in emulator.requests] == [None]


async def test_a_request_shorter_than_the_cut_is_lost_all_the_same(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A body that ends before the cut is read to its end, and the connection reset before the service sees it."""
    emulator.faults.add("/v1.0/users", method="POST", cut_request_after=1000)
    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await http.post(f"{emulator.graph_url}/v1.0/users", data=b"{}")
    assert [record.status for record in emulator.requests] == [None]


@pytest.mark.parametrize("effect", ["cut_request_after", "cut_response_after"])
def test_a_cut_comes_after_no_fewer_than_no_bytes(effect: str) -> None:
    """A negative place is a mistake in the test, and so is a second effect beside a cut."""
    faults = Emulator().faults
    negative: dict[str, Any] = {effect: -1}
    positive: dict[str, Any] = {effect: 1}
    with pytest.raises(ValueError, match="never after fewer"):
        faults.add("*", **negative)
    with pytest.raises(ValueError, match="needs one effect"):
        faults.add("*", half_body=True, **positive)
