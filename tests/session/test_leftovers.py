"""Nothing stays behind: sockets, tasks, files and threads at work are gone when the Session closes."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async import Session
from entra_async.errors import ClosedError, EntraError
from entra_async.testing import Emulator

Use = Callable[[Emulator, Session], Coroutine[Any, Any, None]]


async def crawl(emulator: Emulator, session: Session) -> None:
    await session.connect(emulator.client_secret, service=["Graph", "Endpoint"])
    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(session.invoke, "users/ada@contoso.com")


async def fail(emulator: Emulator, session: Session) -> None:
    emulator.faults.add("/v1.0/*", half_body=True)
    emulator.faults.add("/v1.0/*", html=True)
    await session.connect(emulator.client_secret)
    with pytest.raises(EntraError):
        await session.invoke("users")


async def leave_a_stream(emulator: Emulator, session: Session) -> None:
    await session.connect(emulator.client_secret)
    async for _ in session.stream("users", query={"$top": 5}):
        break


async def cancel_calls(emulator: Emulator, session: Session) -> None:
    emulator.faults.add("/v1.0/*", times=None, delay_s=3600)
    await session.connect(emulator.client_secret)
    async with anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(session.invoke, "users/ada@contoso.com")
        await emulator.requests.wait_for(10, path="/v1.0/users/ada@contoso.com")
        group.cancel_scope.cancel()


async def cancel_sign_in(emulator: Emulator, session: Session) -> None:
    emulator.faults.add("/*/token", times=None, delay_s=3600)
    async with anyio.create_task_group() as group:
        group.start_soon(session.connect, emulator.client_secret)
        await emulator.requests.wait_for(1)
        group.cancel_scope.cancel()


async def refuse(emulator: Emulator, session: Session) -> None:
    emulator.faults.add("/*/token", status=401, body={"error": "invalid_client"})
    with pytest.raises(EntraError):
        await session.connect(emulator.client_secret)


def open_sockets() -> int:
    folder = Path("/proc/self/fd")
    count = 0
    for name in os.listdir(folder):  # noqa: PTH208 - each may vanish while it is looked at
        try:
            count += str((folder / name).readlink()).startswith("socket:")
        except OSError:
            continue
    return count


@pytest.fixture
async def running() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts sockets in /proc")
@pytest.mark.parametrize("use", [crawl, fail, leave_a_stream, cancel_calls, cancel_sign_in, refuse])
async def test_nothing_is_left(use: Use, running: Emulator) -> None:
    """However a Session was used, its tasks and sockets are gone right after it is closed."""
    tasks = asyncio.all_tasks()
    async with running.session() as session:
        await use(running, session)
    # The emulator's side of a closed connection goes in its own time.
    with anyio.fail_after(5):
        while {task for task in asyncio.all_tasks() - tasks if "entra_async" in task.get_name()}:
            await anyio.lowlevel.checkpoint()
    gc.collect()
    before = await anyio.to_thread.run_sync(open_sockets)
    async with running.session() as session:
        await session.connect(running.certificate) if use is crawl else None
    with anyio.fail_after(5):
        while await anyio.to_thread.run_sync(open_sockets) > before:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("native", [True, False])
async def test_closing_goes_to_its_end_although_it_is_cancelled(native: bool, running: Emulator) -> None:
    """A Session that is closed in a cancelled task leaves no task, and takes no more calls."""
    running.faults.add("/*/token", times=None, delay_s=3600)
    session = running.session()

    async def use() -> None:
        async with session:
            await session.connect(running.client_secret)

    if native:
        task = asyncio.create_task(use())
        await running.requests.wait_for(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(use)
            await running.requests.wait_for(1)
            group.cancel_scope.cancel()
    left = {task.get_name() for task in asyncio.all_tasks()}

    assert not {name for name in left if name.startswith("entra_async")}
    with pytest.raises(ClosedError):
        await session.connect(running.client_secret)
