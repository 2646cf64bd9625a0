"""Fixtures for one resource service by itself: plain HTTP on loopback, and a token check that believes the test."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from entra_async.testing.clock import EmulatorClock
from entra_async.testing.defender.endpoint import DEFENDER_FOR_ENDPOINT, defender_application
from entra_async.testing.defender.pages import DefenderBehaviour
from entra_async.testing.defender.xdr import DEFENDER_XDR, defender_xdr_application
from entra_async.testing.directory.directory import Directory
from entra_async.testing.directory.security_records import SecurityRecords
from entra_async.testing.entra.tokens.access import Access, Unauthorized
from entra_async.testing.graph.application import graph_application
from entra_async.testing.graph.behaviour import GraphBehaviour
from entra_async.testing.graph.permissions import MICROSOFT_GRAPH
from entra_async.testing.hunting.hunting import Hunting
from entra_async.testing.limits.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from contextlib import AbstractAsyncContextManager

    from aiohttp import web
    from multidict import CIMultiDictProxy

    from entra_async.testing.wire.incoming_request import IncomingRequest

TENANT_ID = "5f0c2f0e-9a4b-4c0a-8a51-0d6b0c7f3a11"


@dataclass(frozen=True)
class ServiceResponse:
    """What came back: the body decoded if it is JSON, else as text."""

    status: int
    headers: CIMultiDictProxy[str]
    body: Any


class SteppedClock(EmulatorClock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._stands_at = super().monotonic() - self._moved_s

    def monotonic(self) -> float:
        return self._stands_at + self._moved_s


@dataclass
class Service:
    """A running service, and everything a test may turn."""

    directory: Directory
    clock: EmulatorClock = field(default_factory=SteppedClock)
    behaviour: GraphBehaviour = field(default_factory=GraphBehaviour)
    defender: DefenderBehaviour = field(default_factory=DefenderBehaviour)
    roles: Collection[str] = ()
    app_only: bool = True
    claims: dict[str, str] = field(default_factory=lambda: {"appid": "app-1"})
    audiences: Collection[str] = ()
    unauthorized: str | None = None
    url: str = ""

    def __post_init__(self) -> None:
        self.throttle = Throttle(self.clock)
        self.records = SecurityRecords(self.directory)
        self.hunting = Hunting(self.directory, self.records)

    def authorize(self, request: IncomingRequest, audiences: Collection[str]) -> Access:
        """Let every token pass that the test does not refuse."""
        assert request.method
        self.audiences = audiences
        if self.unauthorized is not None:
            raise Unauthorized(self.unauthorized)
        return Access(claims=self.claims, roles=frozenset(self.roles), app_only=self.app_only)

    async def request(self, method: str, path: str, *, eventual: bool = False, **options: Any) -> ServiceResponse:
        """Send a request. A path that is a link goes out as it is, another one is encoded where it must be."""
        if eventual:
            options["headers"] = {"ConsistencyLevel": "eventual", **options.get("headers", {})}
        url = URL(path, encoded=True) if path.startswith("http") else URL(self.url + path)
        async with self.session.request(method, url, **options) as response:
            is_json = response.content_type == "application/json"
            body = await response.json(content_type=None) if is_json else await response.text()
            return ServiceResponse(response.status, response.headers, body)

    async def get(self, path: str, *, eventual: bool = False, **options: Any) -> ServiceResponse:
        """Send a GET."""
        return await self.request("GET", path, eventual=eventual, **options)

    async def items(self, path: str, *, eventual: bool = False) -> list[dict[str, Any]]:
        """Return all items of a collection, following its links."""
        items = []
        link: str | None = path
        while link is not None:
            response = await self.get(link, eventual=eventual)
            assert response.status == 200, response.body
            items += response.body["value"]
            link = response.body.get("@odata.nextLink")
        return items

    @asynccontextmanager
    async def running(self, application: web.Application) -> AsyncIterator[Service]:
        """Serve the application for one block."""
        async with TestServer(application, host="127.0.0.1") as server, aiohttp.ClientSession() as self.session:
            self.url = str(server.make_url("")).rstrip("/")
            yield self


@asynccontextmanager
async def _serving_graph(users: int) -> AsyncIterator[Service]:
    directory = Directory(domain="contoso.com", tenant_id=TENANT_ID, users=users, groups=20, machines=0)
    service = Service(directory, roles=MICROSOFT_GRAPH.roles)
    application = graph_application(
        directory=directory,
        authorize=service.authorize,
        clock=service.clock,
        throttle=service.throttle,
        behaviour=service.behaviour,
        records=service.records,
        hunting=service.hunting,
    )
    async with service.running(application) as running:
        yield running


@pytest.fixture
def serve_graph() -> Callable[[int], AbstractAsyncContextManager[Service]]:
    """Return what serves a Graph with that many users for one block."""
    return _serving_graph


@pytest.fixture
async def graph() -> AsyncIterator[Service]:
    """Yield Microsoft Graph with 250 users and 20 groups."""
    async with _serving_graph(250) as service:
        yield service


@pytest.fixture
async def defender() -> AsyncIterator[Service]:
    """Yield Defender for Endpoint with 50 machines."""
    directory = Directory(domain="contoso.com", tenant_id=TENANT_ID, users=1, groups=0, machines=50)
    service = Service(directory, roles=DEFENDER_FOR_ENDPOINT.roles)
    application = defender_application(
        directory=directory,
        authorize=service.authorize,
        clock=service.clock,
        throttle=service.throttle,
        records=service.records,
        hunting=service.hunting,
        behaviour=service.defender,
    )
    async with service.running(application) as running:
        yield running


@pytest.fixture
async def xdr() -> AsyncIterator[Service]:
    """Yield Defender XDR with 120 incidents and 50 machines."""
    directory = Directory(domain="contoso.com", tenant_id=TENANT_ID, users=30, groups=0, machines=50)
    service = Service(directory, roles=DEFENDER_XDR.roles)
    application = defender_xdr_application(
        records=service.records,
        hunting=service.hunting,
        authorize=service.authorize,
        clock=service.clock,
        throttle=service.throttle,
    )
    async with service.running(application) as running:
        yield running


@pytest.fixture
def secrecy() -> None:
    """Watch over nobody: the clients that judge the emulator are not ours, and show what they like."""
