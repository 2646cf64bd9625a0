"""The job of ``entra-async demo``: crawl Graph and Defender at once, and count everything. It prints nothing."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Protocol

import anyio

from entra_async.cli.stall import StallMeter
from entra_async.connection import Connection
from entra_async.credentials.client_secret import ClientSecret
from entra_async.credentials.provider import Provider
from entra_async.errors import EntraError
from entra_async.session import Session
from entra_async.telemetry.events import Event, RequestFinished
from entra_async.testing import Emulator

__all__ = ("Job", "Progress", "run_on_emulator", "run_on_tenant")

_TOKEN_ENDPOINT: Final = re.compile(r"/oauth2(/v2\.0)?/token$")
_THROTTLED: Final = 429
# Pages small enough for progress to be seen, large enough for a real crawl.
_PATHS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "Graph": ("users", {"$select": "id,displayName", "$top": 500}),
    "Endpoint": ("machines", {}),
}


class Progress(Protocol):
    """The output of the job's progress; called on the event loop."""

    def log(self, text: str) -> None:
        """Print a line about the next step."""
        ...

    def show(self, job: Job) -> None:
        """Show the statistics so far."""
        ...


@dataclass(slots=True)
class Job:
    """
    The statistics of the job.

    Attributes:
        items: Items by service.
        audiences: The audience of each connection's token.
        failures: The error by service.
        calls: HTTP requests to the services.
        token_requests: HTTP requests for tokens.
        throttled: How many requests were answered 429; each was sent again after its Retry-After.
        elapsed_s: Seconds the crawl took.
        longest_stall_s: The longest time the event loop was blocked while crawling.
    """

    items: Counter[str] = field(default_factory=Counter)
    audiences: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    token_requests: int = 0
    throttled: int = 0
    elapsed_s: float = 0.0
    longest_stall_s: float = 0.0

    def on_event(self, event: Event) -> None:
        """Count one attempt of one request."""
        if not isinstance(event, RequestFinished):
            return
        if _TOKEN_ENDPOINT.search(event.url):
            self.token_requests += 1
        else:
            self.calls += 1
        self.throttled += event.status == _THROTTLED


async def run_on_emulator(users: int, progress: Progress) -> Job:
    """
    Run the job on a strict local tenant, whose Graph answers 429 to more than a few requests at once.

    Args:
        users: How many users the tenant has.
        progress: Shows the progress.
    """
    progress.log("Starting a tenant on this machine: Entra ID, Graph and Defender, with their own TLS.")
    job = Job()
    async with Emulator(users=users, machines=500) as emulator:
        emulator.throttle.limit(20, per_s=1.0, service="graph")
        async with emulator.session(listener=job.on_event) as session:
            await _crawl(session, {"Graph": emulator.client_secret, "Endpoint": emulator.certificate}, job, progress)
    return job


async def run_on_tenant(provider: ClientSecret, progress: Progress) -> Job:
    """
    Run the job on a real tenant.

    Args:
        provider: The application to sign in as.
        progress: Shows the progress.
    """
    job = Job()
    async with Session(listener=job.on_event) as session:
        await _crawl(session, {"Graph": provider, "Endpoint": provider}, job, progress)
    return job


async def _crawl(session: Session, providers: dict[str, Provider], job: Job, progress: Progress) -> None:
    connections: list[Connection] = []
    for service, provider in providers.items():
        try:
            connection = await session.connect(provider, service=service)
        except EntraError as error:
            job.failures[service] = str(error)
            continue
        connections.append(connection)
        job.audiences.append(_audience(connection))
        progress.log(f"Signed in to {service} with {type(provider).__name__}.")

    async def fetch(connection: Connection) -> None:
        path, query = _PATHS[connection.name]
        try:
            async for _ in connection.stream(path, query=query):
                job.items[connection.name] += 1
        except EntraError as error:
            job.failures[connection.name] = str(error)

    async def watch() -> None:
        while True:
            job.elapsed_s = time.perf_counter() - started
            progress.show(job)
            await anyio.sleep(0.1)

    meter = StallMeter()
    started = time.perf_counter()
    async with anyio.create_task_group() as background:
        background.start_soon(meter.run)
        background.start_soon(watch)
        async with anyio.create_task_group() as crawl:
            for connection in connections:
                crawl.start_soon(fetch, connection)
        background.cancel_scope.cancel()
    job.elapsed_s = time.perf_counter() - started
    job.longest_stall_s = meter.longest_s


def _audience(connection: Connection) -> str:
    token = connection.token
    return (token.audience if token is not None else None) or connection.service.audience
