"""Connecting, naming, choosing, closing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

import entra_async
from entra_async import ClientSecret, Service, Session
from entra_async.clouds import CLOUDS
from entra_async.errors import AuthenticationError, ClosedError, ConfigurationError
from entra_async.testing import Emulator

GUID = "11111111-1111-1111-1111-111111111111"
SECRET = ClientSecret(client_id=GUID, tenant_id="contoso.com", client_secret="s3cret")


async def test_one_sign_in_each_for_several_services(emulator: Emulator) -> None:
    """Several services in one call give several connections and one token request per audience."""
    async with emulator.session() as session:
        graph, beta, endpoint = await session.connect(
            emulator.client_secret, service=["Graph", "graphbeta", "Endpoint"]
        )
        names = list(session.connections)
        machines = await session.invoke("machines", service="Endpoint")
        user = await session.invoke("users/ada@contoso.com")

    assert names == ["Graph", "GraphBeta", "Endpoint"]
    assert (graph.name, beta.name, endpoint.name) == ("Graph", "GraphBeta", "Endpoint")
    assert len(machines) == 50
    assert user["displayName"] == "Ada Lovelace"
    assert len(emulator.token_requests) == 2  # Graph and its beta share a token


async def test_keywords_pick_the_provider(emulator: Emulator) -> None:
    """The keywords of the PowerShell command do what the provider does."""
    secret, certificate = emulator.client_secret, emulator.certificate
    async with emulator.session() as session:
        await session.connect(
            client_id=secret.client_id, tenant_id=secret.tenant_id, client_secret=secret.client_secret
        )
        by_certificate = await session.connect(
            client_id=certificate.client_id,
            tenant_id=certificate.tenant_id,
            certificate_path=certificate.path,
            certificate_password=certificate.password,
            service="Endpoint",
        )
        token = by_certificate.token

    assert token is not None
    assert token.client_id == certificate.client_id
    assert token.tenant_id == emulator.tenant_id
    assert token.audience == "https://api.securitycenter.microsoft.com"
    assert "Machine.Read.All" in token.scopes


@pytest.mark.parametrize(
    ("keywords", "field"),
    [
        ({}, "provider"),
        ({"client_id": GUID, "client_secret": "x"}, "tenant_id"),
        ({"tenant_id": "contoso.com", "client_secret": "x"}, "client_id"),
        (
            {"client_id": GUID, "tenant_id": "contoso.com", "client_secret": "x", "certificate_path": "a.pfx"},
            "certificate_path",
        ),
        (
            {"client_id": GUID, "tenant_id": "contoso.com", "client_secret": "x", "certificate_password": "p"},
            "certificate_password",
        ),
        (
            {"client_id": GUID, "tenant_id": "contoso.com", "certificate_path": "a.pfx", "certificate_data": b"x"},
            "certificate_data",
        ),
        ({"client_id": GUID, "tenant_id": "contoso.com", "certificate": object()}, "private_key"),
        ({"client_id": GUID, "tenant_id": "contoso.com", "client_secret": ""}, "client_secret"),
        ({"client_id": "app", "tenant_id": "contoso.com", "client_secret": "x"}, "client_id"),
        ({"client_id": GUID, "tenant_id": "no tenant", "client_secret": "x"}, "tenant_id"),
        ({"client_id": GUID, "tenant_id": "common", "client_secret": "x"}, "tenant_id"),
        ({"client_id": GUID, "tenant_id": "contoso.com", "client_secret": "x", "colour": "red"}, "colour"),
        ({"provider": SECRET, "client_id": GUID}, "client_id"),
        ({"provider": "a string"}, "provider"),
        ({"provider": SECRET, "service": "Exchange"}, "service"),
        ({"provider": SECRET, "service": []}, "service"),
        ({"provider": SECRET, "service": ["Graph", "Azure"], "name": "one"}, "name"),
        ({"provider": SECRET, "service": ["Graph", "Azure"], "service_url": "https://x.example"}, "service_url"),
        ({"provider": SECRET, "service_url": "http://x.example"}, "service_url"),
        ({"provider": SECRET, "resource": "api://x", "service": "Graph"}, "resource"),
        ({"provider": SECRET, "resource": " "}, "resource"),
        ({"provider": SECRET, "resource": "api://x", "make_default": True}, "make_default"),
        ({"provider": SECRET, "service": 5}, "service"),
        ({"provider": SECRET, "service": ""}, "service"),
        ({"provider": SECRET, "service": ["Graph", 5]}, "service"),
        ({"provider": SECRET, "service_url": ""}, "service_url"),
        ({"provider": SECRET, "name": 5}, "name"),
        ({"provider": SECRET, "parameters": "VaultName=x"}, "parameters"),
        ({"provider": SECRET, "parameters": {"Colour": "red"}}, "parameters"),
        ({"provider": SECRET, "service": "AzureKeyVault", "parameters": {"VaultName": "a/b"}}, "parameters"),
        ({"provider": SECRET, "cloud": "moon"}, "cloud"),
        ({"provider": SECRET, "authority": "http://login.example"}, "authority"),
    ],
)
async def test_a_wrong_mix_is_refused_before_any_call(emulator: Emulator, keywords: dict[str, Any], field: str) -> None:
    """What is missing, malformed or too much is named, with what to do, and nothing is sent."""
    async with emulator.session() as session:
        with pytest.raises(ConfigurationError) as caught:
            await session.connect(**keywords)

    assert caught.value.field == field
    assert caught.value.hint
    assert not emulator.requests


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"proxy": "not a proxy"}, "proxy"),
        ({"proxy": "socks5://user:hunter2@proxy.example:1080"}, "proxy"),
        ({"proxy": "http://"}, "proxy"),
        ({"proxy": 8080}, "proxy"),
        ({"ssl": False}, "ssl"),
        ({"cloud": "moon"}, "cloud"),
        ({"cloud": None}, "cloud"),
        ({"limits": 9}, "limits"),
        ({"timeouts": 5}, "timeouts"),
        ({"retry": 3}, "retry"),
        ({"listener": 5}, "listener"),
    ],
)
def test_a_session_refuses_what_it_cannot_use(options: dict[str, Any], field: str) -> None:
    """A Session says at once what is wrong, and does not repeat a proxy's password."""
    with pytest.raises(ConfigurationError) as caught:
        Session(**options)

    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)


async def test_a_missing_ca_file_is_named(emulator: Emulator) -> None:
    """A file of authorities that cannot be read is a configuration error, not a network one."""
    async with emulator.session(ssl="no-such-file.pem") as session:
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            await session.connect(emulator.client_secret)

    assert caught.value.field == "ssl"


async def test_the_default_service(emulator: Emulator) -> None:
    """Calls without service= go to Graph, or to what make_default chose, and back after it is disconnected."""
    async with emulator.session() as session:
        with pytest.raises(ConfigurationError, match="not connected") as caught:
            await session.invoke("users")
        await session.connect(emulator.client_secret, service="Endpoint", make_default=True)
        machines = await session.invoke("machines", query={"$top": 1}, paging=False)
        await session.disconnect()
        with pytest.raises(ConfigurationError, match="'Graph' is not connected"):
            await session.invoke("users")

    assert caught.value.field == "service"
    assert len(machines) == 1


async def test_names_hold_several_connections_of_one_service(emulator: Emulator) -> None:
    """Two applications at one service live beside each other under names of their own."""
    other = emulator.register_app(roles=["Group.Read.All"])
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        await session.connect(
            ClientSecret(client_id=other.client_id, tenant_id=emulator.domain, client_secret=other.secret),
            name="groups",
        )
        groups = await session.invoke("groups", service="groups")
        with pytest.raises(entra_async.EntraError, match="Insufficient privileges"):
            await session.invoke("users", service="groups")
        users = await session.invoke("users", query={"$top": 5}, paging=False)

    assert len(groups) == 20
    assert len(users) == 5


async def test_a_resource_gives_tokens_without_being_a_service(emulator: Emulator) -> None:
    """resource= signs in to anything, registers nothing, and calls with service_url= only."""
    async with emulator.session() as session:
        vault = await session.connect(emulator.client_secret, resource="https://vault.azure.net")
        graph = await session.connect(
            emulator.client_secret, resource="https://graph.microsoft.com", service_url=f"{emulator.graph_url}/v1.0"
        )
        user = await graph.invoke("users/ada@contoso.com")
        with pytest.raises(ConfigurationError) as caught:
            await vault.invoke("secrets")
        token = await vault.get_token()
        registered = dict(session.connections)

    assert token.audience == "https://vault.azure.net"
    assert user["givenName"] == "Ada"
    assert caught.value.field == "service_url"
    assert registered == {}


async def test_a_service_of_ones_own(emulator: Emulator) -> None:
    """A registered service has its URL parameters, default query and headers; it is replaced, not overwritten."""
    async with emulator.session() as session:
        service = Service(
            name="Directory",
            url=f"{emulator.graph_url}/%Version%",
            audience="https://graph.microsoft.com",
            headers={"ConsistencyLevel": "eventual"},
            query={"$top": 3},
            parameters={"Version": "v1.0 or beta"},
        )
        session.services.register(service)
        with pytest.raises(ConfigurationError, match="already"):
            session.services.register(service)
        await session.connect(emulator.client_secret, service="directory", parameters={"Version": "beta"})
        users = await session.invoke("users", service="Directory", paging=False)
        few = await session.invoke("users", service="Directory", query={"$top": 2}, paging=False)
        stable = await session.invoke("users", service="Directory", parameters={"version": "v1.0"}, raw=True)
        raw = session.services.replace("Directory", raw_only=True)
        await session.connect(emulator.client_secret, service="Directory", parameters={"Version": "v1.0"})
        response = await session.invoke("users", service="Directory")

    assert len(users) == 3
    assert len(few) == 2
    assert stable.url.endswith("/v1.0/users")
    assert raw.raw_only
    assert response.status == 200
    assert emulator.requests[-1].headers["consistencylevel"] == "eventual"


@pytest.mark.parametrize("name", CLOUDS)
def test_each_cloud_has_its_own_hosts(name: str) -> None:
    """No cloud but the global one sends a token for, or to, a host of the global one."""
    services = Session(cloud=name).services
    endings = {"global": (".com", ".net", ".com/"), "china": (".cn",)}.get(name, (".us", ".net"))
    hosts = [service.url.split("/")[2] for service in services.values()]

    assert services["graph"].url.endswith("/v1.0")
    assert all(host.endswith(endings) for host in hosts)
    if name != "global":
        known = Session().services
        assert not {s.audience for s in known.values()} & {s.audience for s in services.values()}
        assert not {s.url for s in known.values()} & {s.url for s in services.values()}


def test_known_hosts() -> None:
    """The national clouds' hosts are Microsoft's, with the audience of each."""
    gov, dod, china = (Session(cloud=name).services for name in ("USGov", "dod", "china"))

    assert gov["Graph"].url == "https://graph.microsoft.us/v1.0"
    assert gov["Azure"].audience == "https://management.core.usgovcloudapi.net/"
    assert gov["Azure"].scope == "https://management.core.usgovcloudapi.net//.default"
    assert gov["AzureKeyVault"].url == "https://%VAULTNAME%.vault.usgovcloudapi.net"
    assert gov["Endpoint"].url == "https://api-gov.securitycenter.microsoft.us/api"
    assert dod["GraphBeta"].url == "https://dod-graph.microsoft.us/beta"
    assert china["Graph"].audience == "https://microsoftgraph.chinacloudapi.cn"
    assert china["AzureKeyVault"].audience == "https://vault.azure.cn"
    with pytest.raises(ConfigurationError, match="'china'"):
        china.find("Endpoint")


async def test_use_after_close_is_an_error(emulator: Emulator) -> None:
    """A closed Session says that it is closed, whatever is asked of it."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
    await session.aclose()

    with pytest.raises(ClosedError):
        await session.connect(emulator.client_secret)
    with pytest.raises(ClosedError):
        await session.invoke("users")
    with pytest.raises(ClosedError):
        await graph.invoke("users")
    with pytest.raises(ClosedError):
        await graph.get_token()
    with pytest.raises(ClosedError):
        async with session:
            pass


async def test_another_event_loop_is_an_error(emulator: Emulator) -> None:
    """A Session that is open in one loop is not usable in another, and says so."""
    caught: list[BaseException] = []
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)

        def elsewhere() -> None:
            for call in (graph.invoke("users"), session.connect(emulator.client_secret), session.aclose()):
                try:
                    asyncio.run(call)
                except ClosedError as error:
                    caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        user = await graph.invoke("users/ada@contoso.com")

    assert len(caught) == 3
    assert "another event loop" in str(caught[0])
    assert user["surname"] == "Lovelace"


async def test_a_failed_sign_in_registers_nothing(emulator: Emulator) -> None:
    """A connection that cannot sign in is not there afterwards; the one it would have replaced is."""
    wrong = ClientSecret(client_id=emulator.app.client_id, tenant_id=emulator.tenant_id, client_secret="wrong")
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        with pytest.raises(AuthenticationError):
            await session.connect(wrong, service=["Graph", "Endpoint"])
        assert list(session.connections) == ["Graph"]
        assert await session.invoke("users/ada@contoso.com")


async def test_a_disconnected_connection_is_of_no_more_use(emulator: Emulator) -> None:
    """disconnect() forgets the token of that service, and the connection says so; others of the account stay."""
    async with emulator.session() as session:
        graph, endpoint = await session.connect(emulator.client_secret, service=["Graph", "Endpoint"])
        await session.disconnect("graph")
        for call in (graph.get_token(), graph.invoke("users")):
            with pytest.raises(ClosedError, match="disconnected"):
                await call
        with pytest.raises(ClosedError, match="disconnected"):
            await anext(graph.stream("users"))
        machines = await endpoint.invoke("machines")
        assert graph.token is None

    assert len(machines) == 50
    assert len(emulator.token_requests) == 2


async def test_the_same_token_by_any_name(emulator: Emulator) -> None:
    """Naming one's own tenant, or empty claims, costs no second token; bad claims and scopes are refused."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        tokens = {
            (await graph.get_token()).token,
            (await graph.get_token(tenant_id=emulator.tenant_id.upper(), claims="")).token,
            (await graph.get_token_info("https://graph.microsoft.com/.default", options={})).token,
        }
        for arguments in ({"claims": "{"}, {"claims": "[]"}, {"claims": 5}):
            with pytest.raises(ConfigurationError) as caught:
                await graph.get_token(**arguments)
            assert caught.value.field == "claims"
        with pytest.raises(ConfigurationError):
            await graph.get_token("two scopes")

    assert len(tokens) == 1
    assert len(emulator.token_requests) == 1


async def test_without_async_with(emulator: Emulator) -> None:
    """A Session opens at its first use and is closed by hand."""
    session = emulator.session()
    try:
        await session.connect(emulator.client_secret)
        assert await session.invoke("users/ada@contoso.com")
    finally:
        await session.aclose()
