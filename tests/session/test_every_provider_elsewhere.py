"""A connection of every provider as the credential of SDKs that are not ours: Key Vault's and Microsoft Graph's."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, cast

import aiohttp
import httpx
import pytest
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ClientSecretCredential
from azure.keyvault.secrets.aio import SecretClient

from entra_async import (
    AzureCli,
    AzureDeveloperCli,
    AzurePowerShell,
    Browser,
    ClientSecret,
    Connection,
    DeviceCode,
    DeviceCodePrompt,
    Federated,
    KeyVault,
    ManagedIdentity,
    OnBehalfOf,
    RefreshToken,
    StaticToken,
    UsernamePassword,
)
from entra_async.testing import Emulator
from entra_async.testing.entra.app_registrations import App, FederatedCredential
from tests.emulator.key_vault.test_key_vault import AzureNames

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kiota uses its own deprecated names
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]  # it ships no types

# The SDK uses and defines classes that it deprecates itself, some of them when they are first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
]

VAULT = "https://vault.azure.net/user_impersonation"


class Bench:
    """What the providers of this module need around them."""

    def __init__(self, emulator: Emulator, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self.stack = stack
        self.monkeypatch = monkeypatch
        self.http: aiohttp.ClientSession

    def person_app(self) -> App:
        return self.emulator.register_app(
            public_client=True,
            redirect_uris=["http://localhost"],
            delegated=["User.Read", "User.Read.All", VAULT],
            admin_consent=True,
        )

    @property
    def ids(self) -> dict[str, Any]:
        return {"client_id": self.person_app().client_id, "tenant_id": self.emulator.tenant_id}

    async def browser(self) -> Any:
        return Browser(**self.ids, opener=self.emulator.browser.sign_in)

    async def device_code(self) -> Any:
        async def enter(prompt: DeviceCodePrompt) -> None:
            await self.emulator.browser.enter_device_code(prompt.user_code)
            self.emulator.clock.move(10)

        return DeviceCode(**self.ids, prompt=enter)

    async def password(self) -> Any:
        user = self.emulator.user
        return UsernamePassword(**self.ids, username=user.user_principal_name, password=user.password)

    async def refresh_token(self) -> Any:
        session = await self.stack.enter_async_context(self.emulator.session())
        return RefreshToken.of(await session.connect(await self.password()))

    async def on_behalf_of(self) -> Any:
        api = self.emulator.register_app(
            exposes=["access_as_user"], delegated=["User.Read", "User.Read.All", VAULT], admin_consent=True
        )
        app = self.emulator.register_app(
            public_client=True, delegated=[f"{api.identifier_uri}/access_as_user"], admin_consent=True
        )
        user = self.emulator.user
        password = UsernamePassword(
            client_id=app.client_id,
            tenant_id=self.emulator.tenant_id,
            username=user.user_principal_name,
            password=user.password,
        )
        session = await self.stack.enter_async_context(self.emulator.session())
        caller = await (await session.connect(password, resource=api.identifier_uri)).get_token()
        return OnBehalfOf(
            client_id=api.client_id,
            tenant_id=self.emulator.tenant_id,
            client_secret=api.secret,
            user_assertion=caller.token,
        )

    async def client_secret(self) -> Any:
        return self.emulator.client_secret

    async def certificate(self) -> Any:
        return self.emulator.certificate

    async def key_vault(self) -> Any:
        app = self.emulator.app
        self.emulator.vault.set_secret("app", app.secret)
        return KeyVault(
            client_id=app.client_id,
            tenant_id=self.emulator.tenant_id,
            vault_name=self.emulator.vault.name,
            secret_name="app",
            credential=self.azure_identity_credential(),
        )

    async def federated(self) -> Any:
        issuer = self.emulator.external_issuer
        trust = FederatedCredential(issuer=issuer.issuer, subject="ci")
        app = self.emulator.register_app(federated_credentials=[trust])
        return Federated(
            client_id=app.client_id, tenant_id=self.emulator.tenant_id, assertion=lambda: issuer.mint(subject="ci")
        )

    async def managed_identity(self) -> Any:
        host = await self.stack.enter_async_context(self.emulator.managed_identity("app_service"))
        for name, value in host.environment.items():
            self.monkeypatch.setenv(name, value)
        return ManagedIdentity()

    async def tools(self) -> None:
        tools = await self.stack.enter_async_context(self.emulator.developer_tools())
        self.monkeypatch.setenv("PATH", str(tools))

    async def azure_cli(self) -> Any:
        await self.tools()
        return AzureCli()

    async def azure_developer_cli(self) -> Any:
        await self.tools()
        return AzureDeveloperCli()

    async def azure_powershell(self) -> Any:
        await self.tools()
        return AzurePowerShell()

    def azure_identity_credential(self) -> ClientSecretCredential:
        app = self.emulator.app
        return ClientSecretCredential(
            self.emulator.tenant_id,
            app.client_id,
            app.secret,
            authority=self.emulator.authority,
            disable_instance_discovery=True,
            transport=AioHttpTransport(session=self.http, session_owner=False),
        )

    async def azure_identity(self) -> Any:
        return self.azure_identity_credential()


NAMES = [
    "client_secret",
    "certificate",
    "key_vault",
    "federated",
    "managed_identity",
    "azure_cli",
    "azure_developer_cli",
    "azure_powershell",
    "azure_identity",
    "browser",
    "device_code",
    "password",
    "refresh_token",
    "on_behalf_of",
]


@pytest.fixture
async def bench(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        bench = Bench(emulator, stack, monkeypatch)
        connector = aiohttp.TCPConnector(ssl=emulator.ssl_context, resolver=AzureNames(emulator))
        bench.http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        yield bench


async def read_secret(bench: Bench, connection: Connection) -> str | None:
    bench.emulator.vault.set_secret("db", "the value")
    transport = AioHttpTransport(session=bench.http, session_owner=False)
    url = f"https://{bench.emulator.vault.host}"
    async with SecretClient(url, cast("Any", connection), transport=transport) as client:
        return (await client.get_secret("db")).value


async def read_user(bench: Bench, connection: Connection) -> str | None:
    transport = httpx.AsyncHTTPTransport(verify=bench.emulator.ssl_context)
    async with transport, httpx.AsyncClient(transport=transport) as client:
        provider = AzureIdentityAuthenticationProvider(
            cast("Any", connection), scopes=["https://graph.microsoft.com/.default"], allowed_hosts=["localhost"]
        )
        adapter = GraphRequestAdapter(provider, GraphClientFactory.create_with_default_middleware(client=client))
        adapter.base_url = f"{bench.emulator.graph_url}/v1.0"
        user = await GraphServiceClient(request_adapter=adapter).users.by_user_id("ada@contoso.com").get()
        return None if user is None else user.display_name


@pytest.mark.parametrize("name", NAMES)
async def test_other_sdks_take_the_connection(name: str, bench: Bench) -> None:
    """azure-keyvault-secrets and msgraph-sdk, as they are, read with the connection of every provider."""
    build: Callable[[], Awaitable[Any]] = getattr(bench, name)
    provider = await build()
    async with bench.emulator.session() as session:
        connection = await session.connect(provider)
        secret = await read_secret(bench, connection)
        user = await read_user(bench, connection)

    assert secret == "the value"
    assert user == "Ada Lovelace"


async def test_a_static_token_is_a_credential_of_its_one_resource(bench: Bench) -> None:
    """A token made elsewhere serves msgraph-sdk, which requests the resource it is made for."""
    async with bench.emulator.session() as session:
        made = await (await session.connect(bench.emulator.client_secret, name="made")).get_token()
        connection = await session.connect(StaticToken(token=made.token))
        assert await read_user(bench, connection) == "Ada Lovelace"
    assert isinstance(bench.emulator.client_secret, ClientSecret)
