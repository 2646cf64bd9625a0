"""
``python -m benchmarks.batch``: many small reads one by one, as ``$batch``, and in batches that form by themselves.

All three run in one process against one server that takes 50 ms for each response, a batch's too, and may hold as many
connections as the others.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Final

from benchmarks.clients import connected
from benchmarks.machine import describe_machine
from benchmarks.measure import Contender, Result, compare
from benchmarks.server import BenchServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entra_async import Connection

LATENCY_S: Final = 0.05
PATH: Final = "users/0"


def read_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=1_000, help="reads a round (default: %(default)s)")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[8, 16, 64], help="limits to measure at (default: %(default)s)"
    )
    return parser.parse_args()


def ways(graph: Connection, total: int, connections: int) -> list[Contender]:
    """Return the three ways to read *total* users."""
    batching = graph.batching()

    async def one_by_one() -> int:
        reads = graph.invoke_many((PATH for _ in range(total)), concurrency=connections)
        return sum([isinstance(user, dict) async for _, user in reads])

    async def batch() -> int:
        return sum(isinstance(user, dict) for user in await graph.batch(PATH for _ in range(total)))

    async def automatic() -> int:
        users = await asyncio.gather(*(batching.invoke(PATH) for _ in range(total)))
        return sum(isinstance(user, dict) for user in users)

    works: dict[str, Callable[[], Awaitable[int]]] = {
        "one by one": one_by_one,
        "batch()": batch,
        "batching()": automatic,
    }
    return [Contender(name, work, total) for name, work in works.items()]


async def measure(server: BenchServer, arguments: argparse.Namespace) -> dict[int, list[Result]]:
    """Return the results at each limit of connections."""
    results = {}
    for connections in arguments.connections:
        async with connected(server, connections=connections) as graph:
            results[connections] = await compare(ways(graph, arguments.requests, connections), rounds=arguments.rounds)
    return results


def main() -> None:
    """Measure and report."""
    arguments = read_arguments()
    for name, value in describe_machine().items():
        print(f"{name}: {value}")
    with BenchServer.start(1, latency_s=LATENCY_S) as server:
        results = asyncio.run(measure(server, arguments))
    for connections, contenders in results.items():
        print(f"\n{arguments.requests:,} reads, {connections} connections, {LATENCY_S * 1000:.0f} ms a response")
        print(
            f"  {'':14}{'wall time':>12}{'of one by one':>16}{'of batch()':>14}{'CPU a read':>14}{'longest stall':>16}"
        )
        single, explicit, _ = contenders
        for result in contenders:
            print(
                f"  {result.name:14}{arguments.requests / result.rate:>10.3f} s{1 / result.ratio_to(single):>16.3f}"
                f"{1 / result.ratio_to(explicit):>14.2f}{result.cpu_s_per_unit * 1e6:>11.0f} µs"
                f"{result.stall_s * 1000:>13.1f} ms"
            )


if __name__ == "__main__":
    main()
