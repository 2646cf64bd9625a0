"""A connection is a credential: SDKs that are not ours take it as it is, and share its tokens."""

from __future__ import annotations

from typing import Any, cast

import anyio
import httpx
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import HttpRequest

from entra_async.testing import Emulator


async def test_azure_core_takes_a_connection(emulator: Emulator) -> None:
    """Fifty concurrent calls through azure-core's own bearer policy: one token request, and the same pool of tokens."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        policy = AsyncBearerTokenCredentialPolicy(cast("Any", graph), "https://graph.microsoft.com/.default")
        transport = AioHttpTransport(connection_verify=str(emulator.ca_file))
        statuses: list[int] = []
        async with AsyncPipeline[Any, Any](transport, [policy]) as pipeline:

            async def call() -> None:
                request = HttpRequest("GET", f"{emulator.graph_url}/v1.0/users/ada@contoso.com")
                response = await pipeline.run(request)
                statuses.append(response.http_response.status_code)

            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(call)

    assert statuses == [200] * 50
    assert len(emulator.token_requests) == 1


async def test_a_connection_has_the_protocols_shape(emulator: Emulator) -> None:
    """It is an AsyncTokenCredential by isinstance, and closing it as one closes nothing of the Session's."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        async with graph as credential:
            assert isinstance(credential, AsyncTokenCredential)
        assert await graph.invoke("users/ada@contoso.com")


async def test_httpx_can_be_given_the_token(emulator: Emulator) -> None:
    """Whatever takes a bearer token takes that of a connection."""
    async with emulator.session() as session, httpx.AsyncClient(verify=emulator.ssl_context) as http:
        graph = await session.connect(emulator.client_secret)
        token = await graph.get_token()
        headers = {"Authorization": f"{token.token_type} {token.token}"}
        response = await http.get(f"{emulator.graph_url}/v1.0/users/ada@contoso.com", headers=headers)

    assert response.json()["givenName"] == "Ada"
