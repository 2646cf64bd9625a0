"""
``python -m benchmarks.crawl``: read a large directory while a share of the requests goes wrong in every way there is.

The emulator runs in a process of its own. Every id has to come exactly once, which is told by their number and by the
sum of a hash of each; what is counted of memory and of stalls is this process's alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import describe_machine
from benchmarks.measure import StallMeter
from entra_async import ClientSecret, RetryPolicy, Session
from entra_async.telemetry.events import Event, PagingRestarted, RequestFinished
from entra_async.testing import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from entra_async.clouds import Cloud

PATH: Final = "/v1.0/users"
PAGE_SIZE: Final = 999
WARM_PAGES: Final = 20
MEBIBYTE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Directory:
    """What is to be read, and how to get at it."""

    cloud: Cloud
    ca_file: Path
    provider: ClientSecret
    users: int
    checksum: int


class Sum:
    """Counts ids, and sums a hash of each: the same for the same ids in any order, and for no others."""

    def __init__(self) -> None:
        self.count = 0
        self.value = 0

    def add(self, name: str) -> None:
        """Count one."""
        self.count += 1
        self.value += int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest())


async def _serve(arguments: argparse.Namespace, pipe: Connection) -> None:
    async with Emulator(users=arguments.users) as emulator:
        emulator.requests.keep = 0
        mix = emulator.faults.mix(PATH, share=arguments.share, seed=arguments.seed)
        for page in arguments.expire:
            emulator.graph.expire_page_tokens(at_page=page)
        expected = Sum()
        for index in range(arguments.users):
            expected.add(emulator.directory.user_id(index))
        pipe.send(Directory(emulator.cloud, emulator.ca_file, emulator.client_secret, expected.count, expected.value))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, pipe.recv)
        pipe.send({kind: fault.hits for kind, fault in mix.faults.items()})


def _run(arguments: argparse.Namespace, pipe: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        asyncio.run(_serve(arguments, pipe))


@contextlib.contextmanager
def serve(arguments: argparse.Namespace) -> Iterator[Connection]:
    """Run the emulator until the block ends."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_run, args=(arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(10)
        process.terminate()


def resident_bytes() -> int:
    """Return how much memory this process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def crawl(directory: Directory) -> dict[str, Any]:
    """Read everything, and return what was seen."""
    events: dict[type, int] = {}
    failed = 0

    def on_event(event: Event) -> None:
        nonlocal failed
        events[type(event)] = events.get(type(event), 0) + 1
        failed += isinstance(event, RequestFinished) and event.status != 200

    seen = Sum()
    grown = base = 0
    retry = RetryPolicy(max_attempts=8)
    async with Session(cloud=directory.cloud, ssl=directory.ca_file, listener=on_event, retry=retry) as session:
        graph = await session.connect(directory.provider)
        with StallMeter() as meter:
            started = time.perf_counter()
            async for user in graph.stream("users", query={"$select": "id,displayName,mail", "$top": PAGE_SIZE}):
                seen.add(user["id"])
                if not seen.count % PAGE_SIZE:
                    if seen.count == WARM_PAGES * PAGE_SIZE:
                        base = resident_bytes()
                    grown = max(grown, resident_bytes() - base) if base else 0
            elapsed_s = time.perf_counter() - started
    return {
        "users": seen.count,
        "each exactly once": (seen.count, seen.value) == (directory.users, directory.checksum),
        "seconds": round(elapsed_s, 1),
        "requests": events[RequestFinished],
        "restarts": events.get(PagingRestarted, 0),
        "memory grew by MiB": round(grown / MEBIBYTE, 1),
        "longest stall ms": round(meter.longest_s * 1000, 1),
        "of that own work ms, at most": round(meter.busiest_s * 1000, 1),
    }


def main() -> None:
    """Crawl and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crawl", description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000, help="users in the directory (default: %(default)s)")
    parser.add_argument(
        "--share", type=float, default=0.02, help="of the requests that go wrong (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="what chance goes by (default: %(default)s)")
    parser.add_argument("--expire", type=int, nargs="*", default=[], metavar="PAGE", help="pages whose token expires")
    arguments = parser.parse_args()
    for name, value in describe_machine().items():
        print(f"{name}: {value}")
    with serve(arguments) as emulator:
        report = asyncio.run(crawl(emulator.recv()))
        emulator.send(None)
        report["faults"] = {kind: hits for kind, hits in emulator.recv().items() if hits}
    for name, value in report.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
