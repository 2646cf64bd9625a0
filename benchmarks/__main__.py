"""``python -m benchmarks``: run every comparison and print the ratios."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.clients import CONNECTIONS, BareLoop, EntraAsync
from benchmarks.layers import at_once, measure_layers, print_layers
from benchmarks.machine import describe_machine
from benchmarks.measure import Contender, Result, compare
from benchmarks.server import PAGE_SIZE, BenchServer

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL: Final = f"small GET over TLS, {CONNECTIONS} at a time"
PAGES: Final = f"users in pages of {PAGE_SIZE}"
PACKAGES: Final = ("entra-async", "aiohttp", "msal", "msgspec")


def read_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=4_000, help="small GETs a round (default: %(default)s)")
    parser.add_argument("--users", type=int, default=100_000, help="users in the directory (default: %(default)s)")
    parser.add_argument("--peers", action="store_true", help="measure azure-core and msgraph-sdk, too (slow)")
    parser.add_argument("--layers", action="store_true", help="measure every layer instead, in processor time")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, which the extra 'speed' brings")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return parser.parse_args()


async def measure(server: BenchServer, arguments: argparse.Namespace) -> dict[str, list[Result]]:
    """Return the results of each comparison, the bare loop first."""
    rounds, total, users = arguments.rounds, arguments.requests, arguments.users
    async with contextlib.AsyncExitStack() as stack:
        bare = await stack.enter_async_context(BareLoop.open(server))
        ours = await stack.enter_async_context(EntraAsync.open(server))
        small = [Contender(client.name, at_once(client.get_small, total), total) for client in (bare, ours)]
        pages = [Contender(client.name, client.count_users, users) for client in (bare, ours)]
        if arguments.peers:
            from benchmarks.peers import AzureCore, MsGraph

            azure = await stack.enter_async_context(AzureCore.open(server))
            msgraph = await stack.enter_async_context(MsGraph.open(server))
            small += [
                Contender(peer.name, at_once(peer.get_small, total // 10), total // 10) for peer in (azure, msgraph)
            ]
            first_users = min(users, msgraph.PAGES_READ * PAGE_SIZE)
            pages += [
                Contender(azure.name, azure.count_users, users),
                Contender(msgraph.name, msgraph.count_users, first_users),
            ]
        return {
            SMALL: await compare(small, rounds=rounds),
            f"{users:,} {PAGES}": await compare(pages, rounds=rounds),
        }


def print_report(results: dict[str, list[Result]]) -> None:
    """Print a table for each comparison."""
    for work, contenders in results.items():
        bare = contenders[0]
        print(f"\n{work}")
        print(
            f"  {'':20}{'per second':>12}{'ratio to bare':>15}{'lowest…highest':>16}"
            f"{'CPU a unit':>13}{'longest stall':>15}"
        )
        for result in contenders:
            ratios = sorted(result.ratios_to(bare))
            spread = f"{ratios[0]:.2f}…{ratios[-1]:.2f}"
            print(
                f"  {result.name:20}{result.rate:>12,.0f}{result.ratio_to(bare):>15.3f}{spread:>16}"
                f"{result.cpu_s_per_unit * 1e6:>10.1f} µs{result.stall_s * 1000:>12.1f} ms"
            )


def load_uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes its event loops."""
    made: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return made


def main() -> None:
    """Measure and report."""
    arguments = read_arguments()
    facts = describe_machine()
    peers = ("azure-core", "msgraph-sdk") if arguments.peers else ()
    versions = {name: version(name) for name in (*PACKAGES, *peers)}
    for name, value in {**facts, **versions}.items():
        print(f"{name}: {value}")
    runner = asyncio.Runner(loop_factory=load_uvloop() if arguments.uvloop else None)
    with BenchServer.start(arguments.users) as server, runner:
        if arguments.layers:
            work = measure_layers(server, rounds=arguments.rounds, requests=arguments.requests)
            print_layers(results := runner.run(work))
        else:
            print_report(results := runner.run(measure(server, arguments)))
    if arguments.json:
        report = {
            "machine": facts,
            "versions": versions,
            "results": {
                work: {
                    result.name: {
                        "per_second": result.rates,
                        "cpu_s_per_unit": result.cpu_s,
                        "ratio_to_bare": result.ratio_to(contenders[0]),
                        "longest_stall_s": result.stalls_s,
                    }
                    for result in contenders
                }
                for work, contenders in results.items()
            },
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
