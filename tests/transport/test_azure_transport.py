"""azure-core on the pool: its clients send within the same limits and with the same TLS trust."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import ModuleType

import pytest
from anyio import to_thread
from azure.core.exceptions import (
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import AsyncRetryPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ClientSecretCredential

from entra_async.config import Limits, Timeouts
from entra_async.errors import ClosedError, RequestTimeoutError, TransportError
from entra_async.telemetry.events import Event, RequestFinished
from entra_async.testing import Emulator
from entra_async.transport.http.pool import Pool
from tests.support.virtual_clock import VirtualClock


@pytest.fixture
async def azure() -> ModuleType:
    """Return the module, loaded as the SDK loads it: in a thread."""

    def load() -> ModuleType:
        from entra_async.transport import azure

        return azure

    return await to_thread.run_sync(load)


@pytest.fixture
def exchanges() -> list[Event]:
    """Return the events that the pool emits."""
    return []


@pytest.fixture
async def pool(emulator: Emulator, exchanges: list[Event]) -> AsyncIterator[Pool]:
    """Yield a pool that trusts the emulator."""
    pool = Pool(limits=Limits(), timeouts=Timeouts(), trust=emulator.ca_file, listener=exchanges.append)
    yield pool
    await pool.aclose()


async def test_an_azure_client_sends_through_the_pool(
    emulator: Emulator, azure: ModuleType, pool: Pool, exchanges: list[Event]
) -> None:
    """azure-identity, unmodified, signs in on the pool: its TLS trust holds, and it emits events."""
    transport = azure.AzureTransport(pool=pool, clock=VirtualClock())
    credential = ClientSecretCredential(
        emulator.tenant_id,
        emulator.app.client_id,
        emulator.app.secret,
        authority=emulator.authority,
        transport=transport,
    )
    async with credential:
        token = await credential.get_token("https://graph.microsoft.com/.default")

    assert token.token
    assert [(event.method, event.status) for event in exchanges if isinstance(event, RequestFinished)] == [
        ("POST", 200)
    ]
    assert emulator.token_requests[0].form["grant_type"] == "client_credentials"


async def test_its_waits_go_by_the_sessions_clock(emulator: Emulator, azure: ModuleType, pool: Pool) -> None:
    """azure-core's own retry policy waits by our clock, for the service's Retry-After."""
    clock = VirtualClock()
    emulator.faults.add("/v1.0/users", throttle=17)
    transport = azure.AzureTransport(pool=pool, clock=clock)
    pipeline: AsyncPipeline[HttpRequest, AsyncHttpResponse] = AsyncPipeline(transport, [AsyncRetryPolicy()])
    async with pipeline:
        result = await pipeline.run(HttpRequest("GET", f"{emulator.graph_url}/v1.0/users"))

    assert clock.sleeps == [17.0]
    assert result.http_response.status_code == 401  # no token was sent
    assert result.http_response.json()["error"]["code"] == "InvalidAuthenticationToken"


async def test_a_response_has_all_that_azure_core_reads(emulator: Emulator, azure: ModuleType, pool: Pool) -> None:
    """Status, reason, headers in any case, text, bytes and pieces of the body are there."""
    transport = azure.AzureTransport(pool=pool, clock=VirtualClock())
    url = f"{emulator.authority}/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"
    async with transport:
        response = await transport.send(HttpRequest("GET", url))
        async with response:
            pieces = [piece async for piece in response.iter_bytes()]
            raw = [piece async for piece in response.iter_raw()]

    assert (response.status_code, response.reason, response.url) == (200, "OK", url)
    assert response.headers["content-TYPE"] == response.content_type
    assert response.json()["token_endpoint"] in response.text()
    assert b"".join(pieces) == b"".join(raw) == response.content == await response.read()
    assert response.is_closed
    assert response.is_stream_consumed
    response.raise_for_status()
    refused = await transport.send(HttpRequest("GET", f"{emulator.graph_url}/v1.0/users"))
    with pytest.raises(HttpResponseError):
        refused.raise_for_status()


async def test_a_body_of_each_kind(emulator: Emulator, azure: ModuleType, pool: Pool) -> None:
    """A form, a JSON text and bytes arrive; what cannot be sent is refused."""
    transport = azure.AzureTransport(pool=pool, clock=VirtualClock())
    url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
    form = {"grant_type": "client_credentials", "client_id": emulator.app.client_id}
    await transport.send(HttpRequest("POST", url, data=form))
    await transport.send(HttpRequest("POST", url, json=form))
    await transport.send(HttpRequest("POST", url, content=b"grant_type=x"))
    with pytest.raises(TypeError):
        await transport.send(HttpRequest("POST", url, files={"a": b"b"}))

    assert emulator.token_requests[0].form["client_id"] == emulator.app.client_id
    assert len(emulator.token_requests) == 3


async def test_errors_are_those_that_azure_core_knows(emulator: Emulator, azure: ModuleType, pool: Pool) -> None:
    """Not sent, perhaps sent, and timed out are different errors, with ours as the cause."""
    transport = azure.AzureTransport(pool=pool, clock=VirtualClock())
    url = f"{emulator.graph_url}/v1.0/users"
    emulator.faults.add("/v1.0/users", reset="after")
    emulator.faults.add("/v1.0/users", delay_s=3600)
    with pytest.raises(ServiceRequestError) as not_sent:
        await transport.send(HttpRequest("GET", "https://127.0.0.1:9/"))
    with pytest.raises(ServiceResponseError) as lost:
        await transport.send(HttpRequest("GET", url))
    with pytest.raises(ServiceResponseTimeoutError) as late:
        await transport.send(HttpRequest("GET", url), read_timeout=0.2)
    await pool.aclose()
    with pytest.raises(ClosedError):
        await transport.send(HttpRequest("GET", url))

    assert isinstance(not_sent.value.__cause__, TransportError)
    assert isinstance(lost.value.__cause__, TransportError)
    assert isinstance(late.value.__cause__, RequestTimeoutError)
