"""What every test has: the asyncio backend, a watch on blocking calls, and an emulator when it asks for one."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from blockbuster import blockbuster_ctx

from entra_async.telemetry.events import combine
from entra_async.testing import Emulator
from tests.support.secrecy import Watch

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


@pytest.fixture(autouse=True)
def secrecy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Fail the test when a secret is in a log at DEBUG, in an event, or in anything that an error shows."""
    watch = Watch()
    root = logging.getLogger()
    level = root.level
    leave = pytest.RaisesExc.__exit__

    def see(self: Any, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if error is not None:
            watch.judge(error)
        return bool(leave(self, kind, error, traceback))

    monkeypatch.setattr(pytest.RaisesExc, "__exit__", see)
    # Whatever else a Session is told to tell, it tells the watch as well.
    monkeypatch.setattr(
        "entra_async.session.combine",
        lambda listeners: combine([each for each in (combine(listeners), watch.hear) if each is not None]),
    )
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    yield watch
    root.removeHandler(watch)
    root.setLevel(level)
    assert not watch.leaks, watch.leaks


@pytest.fixture(autouse=True)
def vault_challenges() -> None:
    """Let azure-keyvault forget what vaults have asked for: an emulator may get the port that an earlier one had."""
    remembered = sys.modules.get("azure.keyvault.secrets._shared.http_challenge_cache")
    if remembered is not None:
        remembered.clear()


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
