"""What is large neither holds up the event loop nor fills the memory."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import anyio.to_thread
import msgspec
import pytest
from yarl import URL

from entra_async.testing import Emulator


async def sign_in(emulator: Emulator, http: aiohttp.ClientSession, audience: str) -> dict[str, str]:
    """Return the headers of a signed-in request."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": f"{audience}/.default",
    }
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        return {"Authorization": f"Bearer {(await response.json())['access_token']}"}


def resident_bytes() -> int:
    """Return how much memory this process holds, 0 where that cannot be told; blocks."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


@pytest.mark.timeout(90)
async def test_a_million_users_are_served_from_little_memory() -> None:
    """A million users come page by page, none short, and the process grows by less than 20 MB over it."""
    async with (
        Emulator(users=1_000_000, groups=1) as emulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=emulator.ssl_context)) as http,
    ):
        headers = await sign_in(emulator, http, "https://graph.microsoft.com")
        link: str | None = f"{emulator.graph_url}/v1.0/users?$top=999&$select=id"
        served, pages, before = 0, 0, 0
        while link is not None:
            async with http.get(URL(link, encoded=True), headers=headers) as response:
                body = msgspec.json.decode(await response.read())
            served += len({user["id"] for user in body["value"]})
            link = body.get("@odata.nextLink")
            pages += 1
            if pages == 50:  # by now every buffer has its size
                before = await anyio.to_thread.run_sync(resident_bytes)
        grown = await anyio.to_thread.run_sync(resident_bytes) - before
    assert (served, pages) == (1_000_000, 1002)
    assert grown < 20_000_000


async def test_largest_page_leaves_the_loop_to_others() -> None:
    """While Defender answers 10,000 machines at once, no turn of the loop takes 20 ms of computing."""
    longest_s = 0.0

    async def watch() -> None:
        # Computing time, not the clock's: what else the machine does is not the emulator's fault.
        nonlocal longest_s
        began = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest_s = max(longest_s, now - began)
            began = now

    async with (
        Emulator(users=1, groups=0, machines=10_000) as emulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=emulator.ssl_context)) as http,
    ):
        headers = await sign_in(emulator, http, "https://api.securitycenter.microsoft.com")
        gc.collect()
        gc.disable()  # a collection looks at whatever other tests have left
        watching = asyncio.create_task(watch())
        try:
            async with http.get(f"{emulator.endpoint_url}/api/machines", headers=headers) as response:
                size = 0
                async for chunk in response.content.iter_any():
                    size += len(chunk)
        finally:
            gc.enable()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    assert size == int(response.headers["Content-Length"]) > 5_000_000
    assert longest_s < 0.020
