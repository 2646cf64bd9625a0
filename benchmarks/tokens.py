"""
``python -m benchmarks.tokens``: what a token costs that is there, and who waits while a slow one is renewed.

Beside azure-identity (aio) and msal, in one run. azure-identity's look-up goes through all it holds, and both take
longer the more they hold to take up another one, so the peers are filled as far as that is bearable, and the table
says how far.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import msal  # type: ignore[import-untyped]  # it has no types
from azure.core.credentials import AccessTokenInfo
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport
from azure.identity.aio import ClientSecretCredential

from benchmarks.machine import describe_machine
from entra_async import Limits, Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entra_async import Connection

TENANT: Final = "11111111-1111-1111-1111-111111111111"
CLIENT: Final = "22222222-2222-2222-2222-222222222222"
SCOPE: Final = "https://graph.microsoft.com/.default"
PAUSE_S: Final = 0.005
REFRESH_IN_S: Final = 32  # azure-identity does not renew a token within half a minute of its last request


class Source:
    """A token service in the process: with a given latency."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.requests = 0

    async def respond(self) -> dict[str, Any]:
        self.requests += 1
        if self.latency_s and self.requests > 1:  # the first one is not what is measured
            await asyncio.sleep(self.latency_s)
        return {
            "token_type": "Bearer",
            "access_token": f"token-{self.requests}",
            "expires_in": 3600,
            "refresh_in": REFRESH_IN_S if self.latency_s else 1800,
        }

    async def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        """Return a token as azure-core's newer protocol has it: what entra_async asks here."""
        response, now = await self.respond(), int(time.time())
        return AccessTokenInfo(
            response["access_token"], now + response["expires_in"], refresh_on=now + response["refresh_in"]
        )

    async def get_token(self, *_: str, **__: Any) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """Hold nothing."""


class _Response(AsyncHttpResponse):
    def __init__(self, request: Any, body: bytes) -> None:
        super().__init__(request, None)
        self.status_code = 200
        self.headers = {"Content-Type": "application/json"}
        self.content_type = "application/json"
        self._body = body

    def body(self) -> bytes:
        return self._body

    async def load_body(self) -> None:
        """Have it already."""


class Transport(AsyncHttpTransport):  # type: ignore[type-arg]  # azure-core's own classes leave it open as well
    """Sends azure-identity's requests to the source, without a network."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def send(self, request: Any, **_: Any) -> _Response:
        return _Response(request, json.dumps(await self._source.respond()).encode())

    async def open(self) -> None:
        """Hold nothing."""

    async def close(self) -> None:
        """Hold nothing."""

    async def __aexit__(self, *_: object) -> None:
        """Hold nothing."""


def azure_credential(source: Source) -> ClientSecretCredential:
    """Return azure-identity's credential in front of the source."""
    return ClientSecretCredential(
        TENANT, CLIENT, "secret", transport=Transport(source), disable_instance_discovery=True
    )


class _MsalResponse:
    status_code = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __init__(self, body: dict[str, Any]) -> None:
        self.text = json.dumps(body)

    def raise_for_status(self) -> None:
        """Be a success."""


class MsalClient:
    """Sends msal's requests nowhere."""

    def get(self, url: str, **_: Any) -> _MsalResponse:
        root = url.partition("/v2.0/")[0]
        names = ("authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "issuer")
        return _MsalResponse({name: f"{root}/{name}" for name in names})

    def post(self, _: str, **__: Any) -> _MsalResponse:
        return _MsalResponse({"token_type": "Bearer", "access_token": "token", "expires_in": 3600})

    def close(self) -> None:
        """Hold nothing."""


async def fill(get_token: Callable[[str], Awaitable[object]], count: int, *, within_s: float) -> int:
    """Ask for tokens of other scopes until so many are held, or the time is over; return how many are held."""
    until = time.monotonic() + within_s
    for number in range(1, count):
        await get_token(f"https://service-{number}.example/.default")
        if time.monotonic() > until:
            return number + 1
    return count


async def measure(get_token: Callable[[str], Awaitable[object]], rounds: int, calls: int) -> float:
    """Return the median time of a look-up, in microseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(calls):
            await get_token(SCOPE)
        times.append((time.perf_counter() - started) / calls * 1e6)
    return statistics.median(times)


async def compare_look_ups(rounds: int, patience_s: float) -> None:
    """Print what a cached token costs with few and many held."""
    print("| tokens held | entra_async | azure-identity aio | msal |\n|---|---|---|---|")
    for count in (1, 1_000, 100_000):
        async with Session(limits=Limits(tokens=200_000)) as session, azure_credential(Source()) as azure:
            ours = await session.connect(Source())
            application = msal.ConfidentialClientApplication(
                CLIENT,
                client_credential="secret",
                authority=f"https://login.microsoftonline.com/{TENANT}",
                instance_discovery=False,
                http_client=MsalClient(),
            )

            async def get_msal_token(scope: str, application: Any = application) -> object:
                return application.acquire_token_for_client([scope])

            cells = []
            for get_token, calls in ((ours.get_token, 100_000), (azure.get_token, 200), (get_msal_token, 500)):
                await get_token(SCOPE)
                cached = await fill(get_token, count, within_s=patience_s)
                note = "" if cached == count else f" (with {cached:,})"
                cells.append(f"{await measure(get_token, rounds, calls):.2f} µs{note}")
            print(f"| {count:,} | {' | '.join(cells)} |", flush=True)


async def watch(get_token: Callable[[str], Awaitable[object]], for_s: float) -> list[float]:
    """
    Return how long each of many callers took, in milliseconds.

    They come at a steady pace, whether or not those before them have been served: a caller that is held up
    must not keep others from being counted.
    """
    took: list[float] = []

    async def call() -> None:
        started = time.perf_counter()
        await get_token(SCOPE)
        took.append((time.perf_counter() - started) * 1e3)

    until = time.monotonic() + for_s
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < until:
            group.create_task(call())
            await asyncio.sleep(PAUSE_S)
    return sorted(took)


async def compare_refreshes(latency_s: float) -> None:
    """Print how long callers waited while a token service took its time to renew a valid token."""
    ours_source, azure_source = Source(latency_s), Source(latency_s)
    async with Session() as session, azure_credential(azure_source) as azure:
        ours: Connection = await session.connect(ours_source)
        await azure.get_token(SCOPE)
        await asyncio.sleep(REFRESH_IN_S - 1)
        results = {}
        for name, get_token, source in (
            ("entra_async", ours.get_token, ours_source),
            ("azure-identity aio", azure.get_token, azure_source),
        ):
            results[name] = await watch(get_token, latency_s + 3), source.requests - 1
    print(f"\nA token service that takes {latency_s:g} s to renew a token that is valid, a caller each 5 ms:\n")
    print("| | callers | renewals | p50 | p99 | longest |\n|---|---|---|---|---|---|")
    for name, (took, renewals) in results.items():
        p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
        print(f"| {name} | {len(took):,} | {renewals} | {p50:.3f} ms | {p99:.3f} ms | {took[-1]:.1f} ms |")


async def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokens", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each measurement (default: %(default)s)")
    parser.add_argument("--latency", type=float, default=5.0, help="seconds of the slow token service")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to fill a cache (default: %(default)s)")
    arguments = parser.parse_args()
    print(describe_machine(), "\n")
    await compare_look_ups(arguments.rounds, arguments.patience)
    await compare_refreshes(arguments.latency)


if __name__ == "__main__":
    asyncio.run(main())
