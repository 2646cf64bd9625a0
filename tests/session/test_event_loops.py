"""A Session goes along into the next event loop, and into a forked process; providers go everywhere."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from entra_async import ClientSecret, Limits, ManagedIdentity, Session
from entra_async.errors import ClosedError
from entra_async.testing import Emulator
from tests.support.people import browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blockbuster import BlockBuster

pytestmark = pytest.mark.timeout(90)  # programs of their own, which a busy machine takes long to start

CALLS = 20

FIVE_RUNS = """
import asyncio, sys
from entra_async import ClientSecret, Cloud, Endpoint, Session
from tests.session.test_event_loops import remote_cloud

cloud, ca_file, client_id, tenant_id, secret = sys.argv[1:]
session = Session(cloud=remote_cloud(cloud), ssl=ca_file)
tokens = set()

async def use(first):
    if first:
        await session.connect(ClientSecret(client_id=client_id, tenant_id=tenant_id, client_secret=secret))
    graph = session.connection()
    tokens.add((await graph.get_token()).token)
    users = await asyncio.gather(*(graph.invoke("users?$top=1", paging=False) for _ in range(20)))
    assert len(users) == 20
    async for _ in graph.stream("users", query={"$top": 50}):
        break

async def fail(graph):
    asyncio.get_running_loop().create_task(graph.invoke("users"), name="left behind")
    await asyncio.sleep(0)
    raise KeyError("the program's own")

for number in range(5):
    asyncio.run(use(number == 0))
try:
    asyncio.run(fail(session.connection()))
except KeyError:
    pass
asyncio.run(use(False))
asyncio.run(session.aclose())
assert len(tokens) == 1
print("fine")
"""

FORK = """
import asyncio, gc, os, sys
from entra_async import ClientSecret, Session
from tests.session.test_event_loops import remote_cloud

cloud, ca_file, client_id, tenant_id, secret = sys.argv[1:]
session = Session(cloud=remote_cloud(cloud), ssl=ca_file)

async def call():
    return await asyncio.gather(*(session.invoke("users?$top=1", paging=False) for _ in range(20)))

async def main():
    await session.connect(ClientSecret(client_id=client_id, tenant_id=tenant_id, client_secret=secret))
    await call()
    child = os.fork()  # with open connections
    if not child:
        # As multiprocessing does it: the parent's loop is left alone, and the process ends without a farewell.
        try:
            asyncio.run(call())
            gc.collect()
            os._exit(0)
        finally:
            os._exit(1)
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        await asyncio.sleep(0.01)
    assert ended[1] == 0
    await call()

asyncio.run(main())
asyncio.run(call())
asyncio.run(session.aclose())
print("fine")
"""

PREFORK = """
import asyncio, gc, os, sys
from entra_async import ClientSecret, Session
from tests.session.test_event_loops import remote_cloud

cloud, ca_file, client_id, tenant_id, secret = sys.argv[1:]
session = Session(cloud=remote_cloud(cloud), ssl=ca_file)

async def sign_in():
    await session.connect(ClientSecret(client_id=client_id, tenant_id=tenant_id, client_secret=secret))
    await session.invoke("users?$top=1", paging=False)

async def work():
    async with session:
        await asyncio.gather(*(session.invoke("users?$top=1", paging=False) for _ in range(20)))

asyncio.run(sign_in())
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        asyncio.run(work())
        sys.exit(0)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
asyncio.run(work())
assert codes == [0, 0, 0], codes
print("fine")
"""


def remote_cloud(text: str) -> object:
    """Return the cloud that another process has written down."""
    return pickle.loads(bytes.fromhex(text))


async def run_program(program: str, emulator: Emulator) -> subprocess.CompletedProcess[bytes]:
    """Run a program against the emulator, every warning an error."""
    arguments = [
        pickle.dumps(emulator.cloud).hex(),
        str(emulator.ca_file),
        emulator.app.client_id,
        emulator.tenant_id,
        emulator.app.secret,
    ]
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments]
    with anyio.fail_after(60):
        done = await anyio.run_process(command, check=False)
    # On a busy machine, asyncio's debug mode tells of tasks that took long.
    done.stderr = b"".join(
        line for line in done.stderr.splitlines(keepends=True) if not line.startswith(b"Executing <")
    )
    return done


async def test_five_runs_in_a_row(emulator: Emulator) -> None:
    """One Session in one `asyncio.run` after the other, one of them failing: no warning, and one token for all."""
    done = await run_program(FIVE_RUNS, emulator)

    assert (done.stdout.strip(), done.stderr, done.returncode) == (b"fine", b"", 0)
    assert len(emulator.token_requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
async def test_a_forked_process_goes_on_with_the_tokens(emulator: Emulator) -> None:
    """Workers that are forked after the sign-in use its token on connections of their own, and so does the parent."""
    done = await run_program(PREFORK, emulator)

    assert (done.stdout.strip(), done.stderr, done.returncode) == (b"fine", b"", 0)
    assert len(emulator.token_requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
async def test_a_child_leaves_its_parents_connections_alone(emulator: Emulator) -> None:
    """A child that is forked in the middle of work, and ends, does not end the connections of its parent."""
    done = await run_program(FORK, emulator)

    assert done.stdout.strip() == b"fine", done.stderr
    assert done.stderr == b""
    calls = emulator.requests.matching(service="graph")
    assert {each.status for each in calls} == {200}
    assert len(emulator.token_requests) == 1
    assert len(calls) == 80


class Ticking:
    """An emulator in a loop and thread of its own."""

    def __init__(self) -> None:
        self.emulator: Emulator | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        async with Emulator() as self.emulator:
            self._loop = asyncio.get_running_loop()
            self._started.set()
            await self._stop.wait()

    def __enter__(self) -> Emulator:
        self._thread.start()
        assert self._started.wait(15)
        assert self.emulator is not None
        return self.emulator

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)


@pytest.fixture
def elsewhere(blockbuster: BlockBuster) -> Iterator[Emulator]:
    """Yield an emulator that runs in another thread, for tests with loops of their own."""
    blockbuster.deactivate()
    with Ticking() as emulator:
        yield emulator


def test_two_threads_share_a_provider(elsewhere: Emulator) -> None:
    """Two loops in two threads, each with a Session: one provider object serves both, and nothing gets mixed up."""
    provider = elsewhere.client_secret
    tokens: list[str] = []

    async def use() -> None:
        async with Session(cloud=elsewhere.cloud, ssl=elsewhere.ca_file) as session:
            graph = await session.connect(provider)
            await asyncio.gather(*(graph.invoke("users?$top=1", paging=False) for _ in range(CALLS)))
            tokens.append((await graph.get_token()).token)

    threads = [threading.Thread(target=lambda: asyncio.run(use())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)

    assert len(set(tokens)) == 2
    assert len(elsewhere.token_requests) == 2


def test_two_running_loops_do_not_share_a_session(elsewhere: Emulator) -> None:
    """While one loop uses the Session, another one is told to take its own."""
    session = Session(cloud=elsewhere.cloud, ssl=elsewhere.ca_file)
    errors: list[BaseException] = []

    async def intrude() -> None:
        try:
            await session.connect(elsewhere.client_secret)
        except ClosedError as error:
            errors.append(error)

    async def use() -> None:
        async with session:
            await session.connect(elsewhere.client_secret)
            await asyncio.to_thread(asyncio.run, intrude())
            await session.invoke("users?$top=1", paging=False)

    asyncio.run(use())

    assert "open in another event loop" in str(errors[0])


def test_a_token_request_lost_with_its_loop_is_sent_again(elsewhere: Emulator) -> None:
    """A loop ends while a token is on its way: the next loop asks anew, and waits for nobody."""
    session = Session(cloud=elsewhere.cloud, ssl=elsewhere.ca_file)
    elsewhere.faults.add("/*/oauth2/v2.0/token", service="identity", delay_s=3600)

    async def begin() -> None:
        task = asyncio.create_task(session.connect(elsewhere.client_secret))
        while not elsewhere.token_requests:
            await anyio.lowlevel.checkpoint()
        assert not task.done()

    async def use() -> None:
        async with session:
            await session.connect(elsewhere.client_secret)
            await session.invoke("users?$top=1", paging=False)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(begin())
        asyncio.run(use())
        gc.collect()

    assert len(elsewhere.token_requests) == 2


class Left:
    """A loop that was left in the middle of questions: how they are begun, and what keeps them from their ends."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.goes_on = threading.Event()
        self.called = 0

    def secret(self) -> object:
        self.emulator.faults.add("/*/oauth2/v2.0/token", service="identity", delay_s=3600)
        return self.emulator.client_secret

    def certificate(self) -> object:
        self.emulator.faults.add("/*/oauth2/v2.0/token", service="identity", delay_s=3600)
        return self.emulator.certificate

    def person(self) -> object:
        async def opener(link: str) -> None:
            self.called += 1
            if self.called == 1:
                await anyio.sleep_forever()
            self.emulator.browser.forget()
            await self.emulator.browser.sign_in(link)

        return browser(self.emulator, opener=opener)

    def function(self) -> object:
        def get_token() -> dict[str, object]:
            self.called += 1
            self.goes_on.wait(15)
            return {"access_token": "opaque", "expires_in": 3600}

        return get_token

    def has_begun(self, way: str) -> bool:
        return self.called == {"person": 1, "function": 8}.get(way, 0) and (
            way in ("person", "function") or len(self.emulator.token_requests) > 0
        )


@pytest.mark.parametrize("way", ["secret", "certificate", "person", "function"])
def test_what_another_loop_began_holds_up_no_caller(way: str, elsewhere: Emulator) -> None:
    """A loop was left in the middle of its questions, as a forked process leaves its parent's: the next one asks."""
    session = Session(cloud=elsewhere.cloud, ssl=elsewhere.ca_file, limits=Limits(connections=1))
    left = Left(elsewhere)
    provider = getattr(left, way)()

    async def begin() -> None:
        tasks = [asyncio.create_task(session.connect(provider, resource=f"api://{n}")) for n in range(8)]
        while not left.has_begun(way):
            await anyio.lowlevel.checkpoint()
        assert not any(task.done() for task in tasks)

    async def use() -> None:
        async with session:
            left.goes_on.set()
            with anyio.fail_after(10):
                await session.connect(provider)

    async def end() -> None:
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        for _ in range(20):  # what they used is closed in the turns after that
            await anyio.lowlevel.checkpoint()

    with asyncio.Runner() as runner:
        runner.run(begin())
        asyncio.run(use())
        runner.run(end())


async def test_a_used_provider_pickles_like_a_new_one(emulator: Emulator, tmp_path: Path) -> None:
    """What a Session did with a provider leaves no trace in it."""
    provider = emulator.client_secret
    before = pickle.dumps(provider)
    async with emulator.session() as session:
        graph = await session.connect(provider)
        await graph.invoke("users?$top=1", paging=False)
        token = await graph.get_token()
        assert pickle.dumps(provider) == before
        for live in (session, graph, token):
            with pytest.raises(TypeError):
                pickle.dumps(live)
    copy = pickle.loads(before)
    assert copy == provider
    assert isinstance(copy, ClientSecret)
    assert pickle.loads(pickle.dumps(ManagedIdentity())) == ManagedIdentity()
