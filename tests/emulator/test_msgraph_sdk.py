"""Microsoft's own Graph SDK, unmodified, against the emulator."""

from __future__ import annotations

import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ClientSecretCredential

from entra_async.testing import Emulator

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kiota 1.16 uses its own deprecated names
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]  # it ships no types

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

# The SDK defines classes it deprecates itself, each when it is first used.
pytestmark = pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning")


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """Yield an emulator with few users: the SDK takes about 10 ms to parse one."""
    async with Emulator(users=12) as running:
        yield running


@asynccontextmanager
async def signed_in(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[GraphServiceClient]:
    """Yield the SDK's client, signed in with azure-identity."""
    credential = ClientSecretCredential(
        emulator.tenant_id,
        emulator.app.client_id,
        emulator.app.secret,
        authority=emulator.authority,
        disable_instance_discovery=True,
        transport=AioHttpTransport(session=http, session_owner=False),
    )
    # msgraph_core wraps the client's transport and never closes it, so it is closed here.
    transport = httpx.AsyncHTTPTransport(verify=emulator.ssl_context)
    async with credential, transport, httpx.AsyncClient(transport=transport) as client:
        provider = AzureIdentityAuthenticationProvider(
            credential, scopes=["https://graph.microsoft.com/.default"], allowed_hosts=["localhost"]
        )
        adapter = GraphRequestAdapter(provider, GraphClientFactory.create_with_default_middleware(client=client))
        adapter.base_url = f"{emulator.graph_url}/v1.0"
        yield GraphServiceClient(request_adapter=adapter)


async def test_sdk_reads_a_page_and_then_all(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The SDK gets a page of typed users, and following odata_next_link gives all 12, with one sign-in."""
    async with signed_in(emulator, http) as graph:
        query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(select=["id", "displayName"], top=5)
        page = await graph.users.get(RequestConfiguration(query_parameters=query))
        users: list[Any] = []
        pages = 0
        while page is not None:
            pages += 1
            users += page.value or []
            link = page.odata_next_link
            page = await graph.users.with_url(link).get() if link else None
    assert pages == 3
    assert users[0].display_name == "Ada Lovelace"
    assert len({user.id for user in users}) == len(users) == 12
    assert len(emulator.token_requests) == 1


async def test_sdk_reads_one_user_and_errors(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """One user comes with typed properties; a user that does not exist is an ODataError with Graph's code and ids."""
    async with signed_in(emulator, http) as graph:
        ada = await graph.users.by_user_id("ada@contoso.com").get()
        with pytest.raises(ODataError) as refused:
            await graph.users.by_user_id("nobody@contoso.com").get()
    assert ada is not None
    assert ada.id == emulator.user.id
    error = refused.value.error
    assert error is not None
    assert error.code == "Request_ResourceNotFound"
    assert error.inner_error is not None
    assert error.inner_error.request_id
