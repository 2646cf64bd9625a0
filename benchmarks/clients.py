"""
The two that are compared in every run: a bare aiohttp loop, and this package.

Both decode with the same JSON library, read whole bodies, verify TLS against the same authority, hold at most as
many connections and send the same token.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
import msgspec

from benchmarks.server import ACCESS_TOKEN, CLIENT_ID, TENANT_ID
from entra_async import ClientSecret, Limits, Session
from entra_async.clouds import Cloud, Endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.server import BenchServer
    from entra_async import Connection

CONNECTIONS: Final = 64


class Client(Protocol):
    """One way to talk to the server."""

    @property
    def name(self) -> str:
        """What the report calls it."""
        ...

    async def get_small(self) -> None:
        """Fetch and decode one user."""
        ...

    async def count_users(self) -> int:
        """Fetch and decode every page, touch every user, and return how many there were."""
        ...


def trust(server: BenchServer) -> ssl.SSLContext:
    """Return a TLS context that trusts the server and nobody else."""
    return ssl.create_default_context(cafile=server.ca_file)


class BareLoop:
    """What one would write with aiohttp alone, without retries, token renewal or checks."""

    name = "bare aiohttp loop"

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self._root = f"{base_url}/v1.0"
        self._decode = msgspec.json.Decoder().decode

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: BenchServer) -> AsyncIterator[BareLoop]:
        """Open the pool until the block ends."""
        headers = {"Authorization": f"Bearer {ACCESS_TOKEN}", "Accept": "application/json"}
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trust(server))
        async with aiohttp.ClientSession(
            connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield cls(session, server.base_url)

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"{self._root}/{path}"

    async def get(self, url: str) -> bytes:
        """Return the body of a response."""
        async with self.session.get(url) as response:
            response.raise_for_status()
            return await response.read()

    async def post(self, path: str, value: object) -> Any:
        """Send JSON, and return what comes back."""
        headers = {"Content-Type": "application/json"}
        async with self.session.post(self.url(path), data=msgspec.json.encode(value), headers=headers) as response:
            response.raise_for_status()
            return self._decode(await response.read())

    async def _get(self, url: str) -> Any:
        async with self.session.get(url) as response:
            response.raise_for_status()
            return self._decode(await response.read())

    async def get_small(self) -> None:
        """Fetch and decode one user."""
        await self._get(f"{self._root}/small")

    async def count_users(self) -> int:
        """Follow the links one after the other."""
        count = 0
        url: str | None = f"{self._root}/users"
        while url:
            page = await self._get(url)
            for _user in page["value"]:
                count += 1
            url = page.get("@odata.nextLink")
        return count


@contextlib.asynccontextmanager
async def connected(server: BenchServer, *, connections: int = CONNECTIONS) -> AsyncIterator[Connection]:
    """Sign in with this package, and stay so until the block ends."""
    endpoint = Endpoint(server.base_url, "https://graph.microsoft.com")
    cloud = Cloud(
        name="bench",
        authority=server.base_url,
        graph=endpoint,
        azure=endpoint,
        key_vault=endpoint,
        endpoint=None,
        security=None,
    )
    provider = ClientSecret(client_id=CLIENT_ID, tenant_id=TENANT_ID, client_secret="not checked")
    async with Session(cloud=cloud, ssl=trust(server), limits=Limits(connections=connections)) as session:
        yield await session.connect(provider)


class EntraAsync:
    """Our package, with everything it does in its default settings."""

    name = "entra_async"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: BenchServer) -> AsyncIterator[EntraAsync]:
        """Sign in and stay so until the block ends."""
        async with connected(server) as connection:
            yield cls(connection)

    async def get_small(self) -> None:
        """Fetch and decode one user."""
        await self._connection.invoke("small")

    async def count_users(self) -> int:
        """Stream the collection."""
        count = 0
        async for _user in self._connection.stream("users"):
            count += 1
        return count
