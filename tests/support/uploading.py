"""What the tests of uploads share: a connection, a place, and content that can be read once only."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from entra_async import Connection
from entra_async.testing import Emulator
from tests.support.moving_clock import MovingClock

UNIT = 327_680
DATA = random.Random(4).randbytes(3 * UNIT + 4321)


@asynccontextmanager
async def connected(emulator: Emulator, **options: Any) -> AsyncIterator[Connection]:
    async with emulator.session(clock=MovingClock(emulator.clock), **options) as session:
        yield await session.connect(emulator.client_secret)


def place(emulator: Emulator, name: str = "big/file.bin") -> str:
    return f"drives/{emulator.drives.drive_id()}/root:/{name}"


def puts(emulator: Emulator) -> list[str]:
    """Return the ranges that were sent, in order."""
    return [request.headers["content-range"] for request in emulator.requests.matching(path="/upload/.*", method="PUT")]


async def pieces(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await anyio.lowlevel.checkpoint()


class Pipe(io.RawIOBase):
    """A binary file that can be read once, a little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 70_000))
