"""Sizes of responses: bounded in memory, decompressed or not, and checked while they arrive."""

from __future__ import annotations

import gc
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from entra_async import Connection, Limits
from entra_async.errors import AuthenticationError, ConfigurationError, RequestTimeoutError, TransportError
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
MIB = 1 << 20


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    async with emulator.session(clock=VirtualClock()) as session:
        yield await session.connect(emulator.client_secret)


def gzip_of(mib: int) -> bytes:
    """Return so many MiB of zeros, compressed without ever holding them."""
    compressor = zlib.compressobj(6, wbits=31)
    piece = b"0" * MIB
    return b"".join([*(compressor.compress(piece) for _ in range(mib)), compressor.flush()])


@pytest.mark.parametrize("fault", ["bomb", "endless"])
@pytest.mark.timeout(60)
async def test_a_response_beyond_the_limit_costs_little_more_memory(
    graph: Connection, emulator: Emulator, fault: str
) -> None:
    """300 MB of zeros in gzip, and a body that never ends: an error at 256 MiB, told once, at a peak near that."""
    effects: dict[str, Any] = {
        "bomb": {"status": 200, "body": gzip_of(300), "headers": {"Content-Encoding": "gzip"}},
        "endless": {"endless": True},
    }
    await graph.invoke(ADA)
    rule = emulator.faults.add("/v1.0/users/*", times=None, **effects[fault])
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(TransportError, match=r"larger than 268,435,456 bytes \(Limits.response_bytes\)") as caught:
            await graph.invoke(ADA)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    emulator.faults.clear()

    assert peak < 1.2 * 256 * MIB, f"{peak / MIB:.0f} MiB"
    assert rule.hits == caught.value.attempts == 1
    assert "download()" in str(caught.value.hint)
    assert "stream()" in str(caught.value.hint)
    assert (await graph.invoke(ADA))["givenName"] == "Ada"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("status", [200, 404])
async def test_the_limit_is_exact(emulator: Emulator, compressed: bool, status: int) -> None:
    """A response as large as the limit is read, one byte more is not, be it an error's; with a length or without."""
    body = b'"' + b"0" * (2 * MIB) + b'"'
    sent = zlib.compress(body, wbits=31) if compressed else body
    headers = {"Content-Type": "application/json", **({"Content-Encoding": "gzip"} if compressed else {})}
    emulator.faults.add("/v1.0/users/*", times=None, status=status, body=sent, headers=headers)
    for more in (0, -1):
        async with emulator.session(limits=Limits(response_bytes=len(body) + more)) as session:
            await session.connect(emulator.client_secret)
            if more:
                with pytest.raises(TransportError, match="response_bytes"):
                    await session.invoke(ADA)
            elif status == 200:
                assert len(await session.invoke(ADA)) == 2 * MIB
            else:
                with pytest.raises(Exception, match="404"):
                    await session.invoke(ADA)


async def test_a_small_limit_holds_for_what_arrived_at_once(emulator: Emulator) -> None:
    """A limit below a packet's size is obeyed, too."""
    async with emulator.session(limits=Limits(response_bytes=100)) as session:
        await session.connect(emulator.client_secret)
        with pytest.raises(TransportError, match="larger than 100 bytes"):
            await session.invoke(ADA)
        emulator.faults.add("/v1.0/users/*", method="HEAD", status=200, body=b"0" * 1000)
        response = await session.invoke(ADA, method="HEAD", raw=True)
        assert (response.body, response.headers["Content-Length"]) == (b"", "1000")


async def test_a_token_response_is_small(emulator: Emulator) -> None:
    """A token service that sends megabytes is refused after one attempt, and the error says what to look for."""
    rule = emulator.faults.add(
        "/*/token", times=None, status=200, body=gzip_of(20), headers={"Content-Encoding": "gzip"}
    )
    async with emulator.session() as session:
        with pytest.raises(AuthenticationError, match="larger than 1,048,576 bytes") as caught:
            await session.connect(emulator.client_secret)

    assert rule.hits == 1
    assert "proxy" in str(caught.value.hint)


@pytest.mark.parametrize(
    "headers", [{"X-Large": "x" * 100_000}, {f"X-{number}": "x" for number in range(1000)}], ids=len
)
async def test_headers_are_limited(graph: Connection, emulator: Emulator, headers: dict[str, str]) -> None:
    """A header of many KB, or thousands of them, are no response."""
    emulator.faults.add("/v1.0/users/*", times=None, status=200, body="{}", headers=headers)
    with pytest.raises(TransportError, match="no HTTP"):
        await graph.invoke(ADA)


async def test_a_slow_drip_ends_in_time(emulator: Emulator) -> None:
    """A body that comes in small pieces is bounded by timeout=, however much came."""
    rule = emulator.faults.add("/v1.0/users/*", times=None, slow_body_s=3600)
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        with pytest.raises(RequestTimeoutError):
            await session.invoke(ADA, timeout=0.2)

    assert rule.hits == 1


@pytest.mark.parametrize("value", [0, -1, 1.5, "1"])
def test_the_limit_is_a_whole_number(value: Any) -> None:
    """Anything else is refused at once."""
    with pytest.raises(ConfigurationError) as caught:
        Limits(response_bytes=value)

    assert caught.value.field == "response_bytes"
