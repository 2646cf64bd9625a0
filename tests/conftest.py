"""What every test has: the asyncio backend, a watch on blocking calls, and an emulator when it asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from blockbuster import blockbuster_ctx

from entra_async.testing import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from blockbuster import BlockBuster


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests and fixtures on asyncio: aiohttp knows no other."""
    return "asyncio"


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail the test when anything blocks the event loop. A test that must allow a call takes this fixture."""
    with blockbuster_ctx() as watch:
        yield watch


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Yield a running emulator with its default population."""
    async with Emulator() as running:
        yield running


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a plain client that trusts the emulator: what the wire looks like without this package."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=emulator.ssl_context)) as session:
        yield session
