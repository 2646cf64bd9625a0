"""
Every layer of the package beside a bare aiohttp loop that does the same: what each adds, in processor time.

The bare loop of a download writes to a file, that of an upload reads from one; both block the event loop for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from multidict import CIMultiDict

from benchmarks.clients import CONNECTIONS, BareLoop, connected, trust
from benchmarks.measure import Contender, Result, compare
from benchmarks.server import ACCESS_TOKEN, LARGE_BYTES
from entra_async import Limits, Timeouts
from entra_async.calls.prepare import prepare_path
from entra_async.rules.http.ranges import CHUNK
from entra_async.transport.http.messages import HTTPRequest
from entra_async.transport.http.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.server import BenchServer
    from entra_async import Connection

SMALL: Final = "small"
BATCH: Final = 20
TURNS: Final = 8
MEBIBYTE: Final = 2**20
BEARER: Final = {"Authorization": f"Bearer {ACCESS_TOKEN}", "Accept": "application/json"}


class User(msgspec.Struct, rename="camel"):
    """What typed pages are decoded into."""

    id: str
    display_name: str
    mail: str | None
    user_principal_name: str


class TypedPage(msgspec.Struct):
    """A page of them, as one would write it without this package."""

    value: list[User]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")


def at_once(call: Callable[[], Awaitable[object]], total: int) -> Callable[[], Awaitable[int]]:
    """Return work that makes *total* calls, :data:`CONNECTIONS` of them at any time."""

    async def work() -> int:
        numbers = iter(range(total))
        done = 0

        async def worker() -> None:
            nonlocal done
            for _number in numbers:
                await call()
                done += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(worker())
        return done

    return work


def small_layers(bare: BareLoop, pool: Pool, graph: Connection, total: int) -> list[Contender]:
    """Return the layers that a small GET passes, from the bare loop upwards."""
    context = graph.context
    prepared = prepare_path(context.base_url, SMALL)
    decode = msgspec.json.Decoder().decode
    headers = CIMultiDict(BEARER)

    async def by_pool() -> None:
        response = await pool.send(HTTPRequest("GET", prepared.url, headers.copy()), within_s=300.0)
        decode(response.body)

    async def by_pipeline() -> None:
        response = await context.pipeline.send(prepared)
        decode(response.body)

    async def by_invoke() -> None:
        await graph.invoke(SMALL)

    async def by_invoke_many() -> int:
        paths = (SMALL for _ in range(total))
        return len([None async for _ in graph.invoke_many(paths, concurrency=CONNECTIONS)])

    works = {
        bare.name: at_once(bare.get_small, total),
        "pool": at_once(by_pool, total),
        "pipeline": at_once(by_pipeline, total),
        "invoke": at_once(by_invoke, total),
        "invoke_many": by_invoke_many,
    }
    return [Contender(name, work, total) for name, work in works.items()]


def batches(bare: BareLoop, graph: Connection, total: int) -> list[Contender]:
    """Return the two ways to read *total* users in batches."""

    async def bare_batch() -> int:
        items = [{"id": str(number), "method": "GET", "url": "/users/0"} for number in range(BATCH)]
        bodies = iter(range(total // BATCH))
        done = 0

        async def worker() -> None:
            nonlocal done
            for _ in bodies:
                found = await bare.post("$batch", {"requests": items})
                done += sum(response["status"] == 200 for response in found["responses"])

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(worker())
        return done

    async def batch() -> int:
        return sum(isinstance(user, dict) for user in await graph.batch("users/0" for _ in range(total)))

    return [Contender(bare.name, bare_batch, total), Contender("batch", batch, total)]


def pages(bare: BareLoop, graph: Connection, users: int) -> list[Contender]:
    """Return the ways to read a collection."""

    async def by_item() -> int:
        return await count(graph.stream("users"))

    async def by_page() -> int:
        return sum([len(page) async for page in graph.stream("users").pages()])

    works = {bare.name: bare.count_users, "stream": by_item, "stream().pages()": by_page}
    return [Contender(name, work, users) for name, work in works.items()]


def typed_pages(bare: BareLoop, graph: Connection, users: int) -> list[Contender]:
    """Return the ways to read a collection into objects of a type."""
    decode = msgspec.json.Decoder(TypedPage).decode

    async def bare_typed() -> int:
        done, url = 0, bare.url("users")
        while url:
            page = decode(await bare.get(url))
            for _user in page.value:
                done += 1
            url = page.next_link or ""
        return done

    async def typed() -> int:
        return await count(graph.stream("users", type=User))

    return [Contender(bare.name, bare_typed, users), Contender("stream(type=…)", typed, users)]


async def count(items: Any) -> int:
    """Return how many there are."""
    done = 0
    async for _item in items:
        done += 1
    return done


def transfers(bare: BareLoop, graph: Connection, folder: Path) -> dict[str, list[Contender]]:
    """Return the ways to download and to upload a file."""
    target, source = folder / "target", folder / "source"
    source.write_bytes(bytes(LARGE_BYTES))

    async def bare_download() -> int:
        done = 0
        with target.open("wb") as file:
            async with bare.session.get(bare.url("large")) as response:
                response.raise_for_status()
                async for data in response.content.iter_any():
                    file.write(data)
                    done += len(data)
        return done // MEBIBYTE

    async def download() -> int:
        return await graph.download("large", to=target) // MEBIBYTE

    async def bare_upload() -> int:
        url = (await bare.post("drive/root:/large:/createUploadSession", {}))["uploadUrl"]
        start = 0
        with source.open("rb") as file:
            while data := file.read(CHUNK):
                headers = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{LARGE_BYTES}"}
                async with bare.session.put(url, data=io.BytesIO(data), headers=headers) as response:
                    response.raise_for_status()
                    await response.read()
                start += len(data)
        return start // MEBIBYTE

    async def upload() -> int:
        item = await graph.upload("drive/root:/large", source)
        return int(item["size"]) // MEBIBYTE

    total = LARGE_BYTES // MEBIBYTE
    return {
        "download to a file, per MiB": [
            Contender(bare.name, bare_download, total),
            Contender("download", download, total),
        ],
        "upload of a file, per MiB": [Contender(bare.name, bare_upload, total), Contender("upload", upload, total)],
    }


async def measure_layers(server: BenchServer, *, rounds: int, requests: int) -> dict[str, list[Result]]:
    """Return the results of each comparison, the bare loop first."""
    async with contextlib.AsyncExitStack() as stack:
        bare = await stack.enter_async_context(BareLoop.open(server))
        graph = await stack.enter_async_context(connected(server))
        pool = Pool(limits=Limits(connections=CONNECTIONS), timeouts=Timeouts(), trust=trust(server))
        stack.push_async_callback(pool.aclose)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return {
            name: await compare(contenders, rounds=rounds, turns=TURNS)
            for name, contenders in {
                f"small GET over TLS, {CONNECTIONS} at a time, per call": small_layers(
                    bare, pool, graph, requests // TURNS
                ),
                "$batch, per item": batches(bare, graph, requests // TURNS),
                "pages of 999 users, per user": pages(bare, graph, server.users),
                "typed pages of 999 users, per user": typed_pages(bare, graph, server.users),
                **transfers(bare, graph, folder),
            }.items()
        }


def print_layers(results: dict[str, list[Result]]) -> None:
    """Print a row a layer: processor time of a unit, and the ratio of the bare loop's to it, round by round."""
    for work, layers in results.items():
        print(f"\n{work}")
        print(f"  {'':20}{'CPU a unit':>14}{'bare : this':>14}{'lowest…highest':>18}")
        for layer in layers:
            ratios = sorted(layer.cpu_ratios_to(layers[0]))
            median = ratios[len(ratios) // 2]
            spread = f"{ratios[0]:.2f}…{ratios[-1]:.2f}"
            print(f"  {layer.name:20}{layer.cpu_s_per_unit * 1e6:>11.1f} µs{median:>14.3f}{spread:>18}")
