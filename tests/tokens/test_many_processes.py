"""Many processes on one token store: one requests, all have the token, and nothing breaks when one is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import pytest

from entra_async.tokens.sqlite_store import SQLiteStore
from tests.support.store_worker import KEY, LEASE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")

PROCESSES = 60
WRITES = 10_000
WRITERS = 4


class TokenService:
    """Responds to each request with another token; records the requests."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        self.strike: Callable[[int], None] | None = None
        self.port = 0

    async def respond(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            process = int(await stream.receive())
            self.requests.append(process)
            if self.strike is not None:
                strike, self.strike = self.strike, None
                strike(process)
                return
            await anyio.sleep(0.05)  # as long as Entra ID may take, so that the others do come meanwhile
            await stream.send(f"token-{len(self.requests)}\n".encode())


@asynccontextmanager
async def running() -> AsyncIterator[TokenService]:
    """Run a token service on a port of its own."""
    service = TokenService()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        service.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        group.start_soon(listener.serve, service.respond)
        yield service
        group.cancel_scope.cancel()


async def work(count: int, kind: str, path: Path, argument: int) -> tuple[int, list[str]]:
    """Return how many of the processes failed, and what they said."""
    command = [sys.executable, "-m", "tests.support.store_worker", str(count), kind, str(path), str(argument)]
    done = await anyio.run_process(command, check=False, stderr=None)
    return done.returncode, done.stdout.decode().splitlines()


async def test_sixty_cold_processes_make_one_token_request(tmp_path: Path) -> None:
    """All start at one moment without a token; one requests it, the others find it in the store."""
    async with running() as service:
        failed, said = await work(PROCESSES, "fetch", tmp_path / "tokens.db", service.port)

    assert failed == 0
    assert len(service.requests) == 1
    assert Counter(said) == {"token-1 service": 1, "token-1 store": PROCESSES - 1}


async def test_a_killed_lease_holder_delays_the_others_for_its_lease_only(tmp_path: Path) -> None:
    """The process that requests is killed in the middle (kill -9): when its lease has expired another one requests."""
    async with running() as service:
        service.strike = lambda process: os.kill(process, signal.SIGKILL)
        started = anyio.current_time()
        failed, said = await work(20, "fetch", tmp_path / "tokens.db", service.port)
        took_s = anyio.current_time() - started

    assert failed == 1  # the killed one
    assert len(service.requests) == 2
    assert Counter(said) == {"token-2 service": 1, "token-2 store": 18}
    # The lease, and as much again for starting twenty processes on a busy machine.
    assert took_s < LEASE_S + 10


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder in memory where the system has one: locks are the same there, and no write waits for a disk."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.mark.timeout(180)  # 10,000 transactions through one file's lock
async def test_ten_thousand_writes_break_nothing(memory: Path) -> None:
    """Processes write at once, and read each other's values: every value is whole, and so is the file."""
    path = memory / "tokens.db"
    failed, _ = await work(WRITERS, "write", path, WRITES // WRITERS)

    def check() -> tuple[str, int]:
        database = sqlite3.connect(path)
        try:
            intact = database.execute("PRAGMA integrity_check").fetchone()[0]
            return intact, database.execute("SELECT count(*) FROM kept").fetchone()[0]
        finally:
            database.close()

    assert failed == 0
    own = sum(not number % 3 for number in range(WRITES // WRITERS)) * WRITERS
    assert await anyio.to_thread.run_sync(check) == ("ok", own + 7)
    assert await SQLiteStore(path, key=KEY).read("shared 1") is not None
