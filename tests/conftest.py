"""What every test has: the asyncio backend, a watch on blocking calls, and an emulator when it asks for one."""

from __future__ import annotations

import inspect
import logging
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

from entra_async.telemetry.events import combine
from entra_async.testing import Emulator
from tests.support.secrecy import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from blockbuster import BlockBuster

# How long an example takes says how busy the machine is; each test as a whole has its 20 s.
settings.register_profile("full", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("full"), max_examples=15)
settings.load_profile("full")


@cache
def uses_emulator(module: str) -> bool:
    """Return whether a module of the tests names anything of the emulator's, or of a test module's that does."""
    values = vars(sys.modules[module]).values()
    owners = {value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None) for value in values}
    names = {owner for owner in owners if isinstance(owner, str)} - {module}
    return any(
        name.startswith("entra_async.testing") or (name.startswith("tests.") and uses_emulator(name)) for name in names
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that need an emulator, by what they take and import."""
    assert isinstance(item, pytest.Function)
    if "emulator" in item.fixturenames or uses_emulator(item.module.__name__):
        item.add_marker(pytest.mark.emulator)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--one-case``: ``nox`` runs every case on one Python alone."""
    parser.addoption("--one-case", action="store_true", help="run each test with one of its cases, as the seed chooses")


@pytest.hookimpl(trylast=True)  # after the order was shuffled
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--one-case``, keep one of each test's cases, and all of those marked ``interpreter``."""
    if not config.getoption("one_case"):
        return
    met: set[str] = set()
    kept: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        (others if test in met and item.get_closest_marker("interpreter") is None else kept).append(item)
        met.add(test)
    config.hook.pytest_deselected(items=others)
    items[:] = kept


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
    # Each Session calls the watch as well as its own listeners.
    monkeypatch.setattr(
        "entra_async.session.combine",
        lambda listeners: combine([each for each in (combine(listeners), watch.on_event) if each is not None]),
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
