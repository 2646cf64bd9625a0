"""Other libraries that do the same work, as their documentation says to use them: only measured with ``--peers``."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
import httpx
from azure.core import AsyncPipelineClient
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AsyncRetryPolicy, HeadersPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import HttpRequest
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph.graph_service_client import GraphServiceClient
from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]  # ships no types

from benchmarks.clients import CONNECTIONS, trust
from benchmarks.server import ACCESS_TOKEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.server import BenchServer

_SCOPE: Final = "https://graph.microsoft.com/.default"


class FixedToken:
    """A credential that holds a valid token, so that only the call itself is measured."""

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Return the token."""
        return AccessToken(ACCESS_TOKEN, int(time.time()) + 86_399)

    async def close(self) -> None:
        """Do nothing."""

    async def __aenter__(self) -> Self:
        """Do nothing."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""


class AzureCore:
    """The pipeline every Azure SDK for Python stands on, with its aiohttp transport."""

    name = "azure-core (aio)"

    def __init__(self, client: AsyncPipelineClient[HttpRequest, Any], base_url: str) -> None:
        self._client = client
        self._root = f"{base_url}/v1.0"

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: BenchServer) -> AsyncIterator[AzureCore]:
        """Open the pool until the block ends."""
        policies = [HeadersPolicy(), AsyncRetryPolicy(), AsyncBearerTokenCredentialPolicy(FixedToken(), _SCOPE)]
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trust(server))
        async with aiohttp.ClientSession(connector=connector) as session:
            transport = AioHttpTransport(session=session, session_owner=False)
            client: AsyncPipelineClient[HttpRequest, Any] = AsyncPipelineClient(
                server.base_url, policies=policies, transport=transport
            )
            async with client:
                yield cls(client, server.base_url)

    async def _get(self, url: str) -> Any:
        response = await self._client.send_request(HttpRequest("GET", url))
        response.raise_for_status()
        return response.json()

    async def get_small(self) -> None:
        """Fetch and decode one user."""
        await self._get(f"{self._root}/small")

    async def count_users(self) -> int:
        """Follow the links one after the other."""
        count = 0
        url: str | None = f"{self._root}/users"
        while url:
            page = await self._get(url)
            count += len(page["value"])
            url = page.get("@odata.nextLink")
        return count


class MsGraph:
    """Microsoft's own client for Graph; it reads only the first pages, for it takes its time."""

    name = "msgraph-sdk"
    PAGES_READ: Final = 2

    def __init__(self, client: GraphServiceClient) -> None:
        self._client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server: BenchServer) -> AsyncIterator[MsGraph]:
        """Open the pool until the block ends."""
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(verify=trust(server), limits=limits) as plain:
            http = GraphClientFactory.create_with_default_middleware(client=plain)
            authentication = AzureIdentityAuthenticationProvider(
                FixedToken(), scopes=[_SCOPE], allowed_hosts=["localhost"]
            )
            adapter = GraphRequestAdapter(authentication, client=http)
            adapter.base_url = f"{server.base_url}/v1.0"
            yield cls(GraphServiceClient(request_adapter=adapter))

    async def get_small(self) -> None:
        """Fetch and decode one user."""
        await self._client.users.by_user_id("0").get()

    async def count_users(self) -> int:
        """Follow the links of the first pages one after the other."""
        count = 0
        builder = self._client.users
        for _ in range(self.PAGES_READ):
            page = await builder.get()
            if page is None or page.value is None:
                break
            count += len(page.value)
            if page.odata_next_link is None:
                break
            builder = builder.with_url(page.odata_next_link)
        return count
