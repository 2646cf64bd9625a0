"""Operations that were accepted, where the service does not tell how they can be polled."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from entra_async import Connection
from entra_async.errors import DecodeError
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    async with emulator.session(clock=VirtualClock()) as session:
        yield await session.connect(emulator.client_secret)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_accepted_for_ever(graph: Connection, emulator: Emulator, method: str) -> None:
    """A 202 without a URL to poll, of a resource that says 202 as well: an error at once that shows what was sent."""
    rule = emulator.faults.add("/v1.0/things/1", times=None, status=202, body="soon", headers={"X-Odd": "1"})
    operation = await graph.operation("things/1", method=method, body={})
    with pytest.raises(DecodeError, match=r"no Location or Azure-AsyncOperation.* 202 with 'soon' .*x-odd") as caught:
        await operation

    assert rule.hits == 2
    assert (caught.value.method, caught.value.url) == ("GET", f"{emulator.graph_url}/v1.0/things/1")


async def test_accepted_with_retry_after(graph: Connection, emulator: Emulator) -> None:
    """A resource that says when to ask again is polled again."""
    emulator.faults.add("/v1.0/things/1", times=3, status=202, body="", headers={"Retry-After": "1"})
    emulator.faults.add("/v1.0/things/1", status=200, body={"id": "1"})
    assert await (await graph.operation("things/1", method="PUT", body={})) == {"id": "1"}


async def test_accepted_and_nothing_to_poll(graph: Connection, emulator: Emulator) -> None:
    """A 202 that leads nowhere is the end of what can be known."""
    emulator.faults.add("/v1.0/me/sendMail", status=202, body="")
    operation = await graph.operation("me/sendMail", body={})

    assert (operation.done, operation.status, await operation) == (True, "Accepted", None)
