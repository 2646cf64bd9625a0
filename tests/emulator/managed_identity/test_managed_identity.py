"""The Azure hosts, judged by Microsoft's own libraries, unmodified, and by plain requests that each break one rule."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import anyio
import jwt
import msal  # type: ignore[import-untyped]  # it ships no types
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError
from azure.identity.aio import (
    AzureCliCredential,
    AzureDeveloperCliCredential,
    AzurePowerShellCredential,
    ManagedIdentityCredential,
)
from blockbuster import BlockBuster

from entra_async.testing import Emulator
from entra_async.testing.managed_identity.host import AzureHost, HostKind

GRAPH = "https://graph.microsoft.com"
IMDS = "/metadata/identity/oauth2/token"
ON = Callable[..., AbstractAsyncContextManager[AzureHost]]


@pytest.fixture
def on(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ON:
    """Return what makes this process one on a host for one block, as far as Microsoft's libraries can tell."""

    @asynccontextmanager
    async def enter(kind: HostKind, **options: Any) -> AsyncIterator[AzureHost]:
        async with emulator.managed_identity(kind, **options) as host:
            for variable, value in host.environment.items():
                monkeypatch.setenv(variable, value)
            # Both have the folder of Arc's keys built in, and no other way to be led elsewhere.
            monkeypatch.setattr(
                "azure.identity._credentials.azure_arc._get_key_file_path", lambda: str(host.key_folder)
            )
            folders = {sys.platform: str(host.key_folder)}
            monkeypatch.setattr("msal.managed_identity._supported_arc_platforms_and_their_prefixes", folders)
            yield host

    return enter


def who(token: str) -> str:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return str(claims["appid"])


def own(host: AzureHost) -> str:
    assert host.system_assigned is not None
    return host.system_assigned.client_id


@pytest.mark.parametrize(
    "kind", ["imds", "app_service", "container_apps", "arc", "service_fabric", "azure_ml", "cloud_shell"]
)
async def test_azure_identity_signs_in(kind: HostKind, on: ON, blockbuster: BlockBuster) -> None:
    """azure-identity's ManagedIdentityCredential gets the host's own identity from every host."""
    if kind == "arc":
        blockbuster.deactivate()  # it reads the key file on the event loop
    async with on(kind) as host, ManagedIdentityCredential() as credential:
        token = await credential.get_token(f"{GRAPH}/.default")

    assert who(token.token) == own(host)
    assert token.expires_on > 0


@pytest.mark.parametrize("kind", ["imds", "app_service", "container_apps", "arc", "service_fabric", "azure_ml"])
async def test_msal_signs_in(kind: HostKind, on: ON) -> None:
    """So does msal's ManagedIdentityClient, which has every host but Cloud Shell."""

    def request_token() -> dict[str, Any]:
        with requests.Session() as http:
            http.trust_env = False
            client = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=http)
            result: dict[str, Any] = client.acquire_token_for_client(resource=GRAPH)
            return result

    async with on(kind) as host:
        result = await anyio.to_thread.run_sync(request_token)

    assert who(result["access_token"]) == own(host)


@pytest.mark.parametrize(
    ("kind", "name", "attribute"),
    [
        ("imds", "client_id", "client_id"),
        ("imds", "resource_id", "resource_id"),
        ("imds", "object_id", "principal_id"),
        ("app_service", "client_id", "client_id"),
        ("app_service", "resource_id", "resource_id"),
        ("app_service", "object_id", "principal_id"),
        ("arc", "client_id", "client_id"),
        ("arc", "resource_id", "resource_id"),
        ("arc", "object_id", "principal_id"),
        ("azure_ml", "client_id", "client_id"),
    ],
)
async def test_msal_chooses_an_identity(kind: HostKind, name: str, attribute: str, on: ON) -> None:
    """msal's names for a user-assigned identity are those that each host takes."""

    def request_token(identity: Any) -> dict[str, Any]:
        with requests.Session() as http:
            http.trust_env = False
            chosen = msal.UserAssignedManagedIdentity(**{name: getattr(identity, attribute)})
            client = msal.ManagedIdentityClient(chosen, http_client=http)
            result: dict[str, Any] = client.acquire_token_for_client(resource=GRAPH)
            return result

    async with on(kind, user_assigned=["web", "worker"]) as host:
        result = await anyio.to_thread.run_sync(request_token, host.user_assigned[1])

    assert who(result["access_token"]) == host.user_assigned[1].client_id


@pytest.mark.parametrize("kind", ["imds", "app_service"])
async def test_azure_identity_names_a_resource_id_as_no_host_does(kind: HostKind, on: ON) -> None:
    """azure-identity (aio) sends resource_id as it is: the strict host refuses, the real one answers for another."""
    async with on(kind, user_assigned=["web"]) as host:
        chosen = {"resource_id": host.user_assigned[0].resource_id}
        async with ManagedIdentityCredential(identity_config=chosen, retry_total=0) as credential:
            with pytest.raises((CredentialUnavailableError, ClientAuthenticationError)):
                await credential.get_token(f"{GRAPH}/.default")
        host.strict = False
        async with ManagedIdentityCredential(identity_config=chosen) as credential:
            token = await credential.get_token(f"{GRAPH}/.default")

    assert who(token.token) == own(host)


async def test_azure_identity_reports_no_identity(on: ON) -> None:
    """A virtual machine without an identity is what azure-identity takes for one."""
    async with on("imds", system_assigned=False), ManagedIdentityCredential() as credential:
        with pytest.raises(CredentialUnavailableError, match="Identity not found"):
            await credential.get_token(f"{GRAPH}/.default")


@pytest.mark.parametrize("name", ["az", "azd", "pwsh"])
async def test_azure_identity_uses_the_tools(name: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-identity's credentials for the developer's tools pass the fake ones."""
    credentials: dict[str, Any] = {
        "az": AzureCliCredential,
        "azd": AzureDeveloperCliCredential,
        "pwsh": AzurePowerShellCredential,
    }
    async with emulator.developer_tools() as tools:
        # It looks for the programs on the event loop, in a folder that can be read at once.
        monkeypatch.setattr("shutil.which", lambda program, **_: f"{tools}/{program}")
        monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
        async with credentials[name](tenant_id=emulator.tenant_id) as credential:
            token = await credential.get_token(f"{GRAPH}/.default")

    assert who(token.token) == emulator.app.client_id
    assert len(tools.calls) == 1


OK = {"api-version": "2018-02-01", "resource": GRAPH}
IMDS_RULES: list[tuple[dict[str, Any], int, str]] = [
    ({"headers": {}}, 400, "Required metadata header"),
    ({"headers": {"Metadata": "True"}}, 400, "Required metadata header"),
    ({"headers": {"Metadata": "true", "X-Forwarded-For": "10.0.0.1"}}, 400, "forwarded"),
    ({"params": {"resource": GRAPH}}, 400, "api-version"),
    ({"params": {**OK, "api-version": "2019-08-01"}}, 400, "api-version"),
    ({"params": {"api-version": "2018-02-01"}}, 400, "audience"),
    ({"params": {**OK, "resource": "https://nowhere.example"}}, 400, "AADSTS500011"),
    ({"params": [*OK.items(), ("resource", GRAPH)]}, 400, "twice"),
    ({"params": {**OK, "tenant": "x"}}, 400, "Unknown parameter"),
    ({"params": {**OK, "mi_res_id": "/x"}}, 400, "chooses nothing here"),
    ({"params": {**OK, "principal_id": "x"}}, 400, "chooses nothing here"),
    ({"params": {**OK, "client_id": "x", "object_id": "y"}}, 400, "More than one"),
    ({"params": {**OK, "client_id": "x"}}, 400, "Identity not found"),
    ({"method": "POST"}, 405, "GET"),
]


async def request_token(url: str, *, method: str = "GET", **options: Any) -> tuple[int, Any, str]:
    async with aiohttp.ClientSession() as http, http.request(method, url, ssl=False, **options) as response:
        challenge = response.headers.get("WWW-Authenticate", "")
        return response.status, await response.json(), challenge


@pytest.mark.parametrize(("broken", "status", "text"), IMDS_RULES, ids=str)
async def test_imds_insists_on_its_rules(broken: dict[str, Any], status: int, text: str, on: ON) -> None:
    """Each rule of IMDS, broken alone, is refused in its own words; the request that breaks none is answered."""
    right: dict[str, Any] = {"headers": {"Metadata": "true"}, "params": OK}
    async with on("imds") as host:
        url = host.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + IMDS
        refused = await request_token(url, **{**right, **broken})
        response = await request_token(url, **right)

    assert refused[0] == status
    assert text in refused[1]["error_description"]
    assert response[0] == 200
    assert {type(value) for value in response[1].values()} == {str}


@pytest.mark.parametrize(
    ("kind", "headers", "params", "status", "text"),
    [
        ("app_service", {}, {}, 401, "X-IDENTITY-HEADER"),
        ("app_service", {"X-IDENTITY-HEADER": "wrong"}, {}, 401, "X-IDENTITY-HEADER"),
        ("app_service", {"X-IDENTITY-HEADER": "secret"}, {"api-version": "2017-09-01"}, 400, "2019-08-01"),
        ("app_service", {"X-IDENTITY-HEADER": "secret"}, {"msi_res_id": "/x"}, 400, "chooses nothing here"),
        ("app_service", {"X-IDENTITY-HEADER": "secret"}, {"resource": "https://x"}, 500, "unexpected error"),
        ("azure_ml", {}, {}, 401, "secret"),
        ("azure_ml", {"secret": "secret"}, {"client_id": "x"}, 400, "chooses nothing here"),
        ("service_fabric", {}, {}, 401, "Secret header"),
        ("service_fabric", {"Secret": "secret"}, {"api-version": "2019-08-01"}, 400, "2019-07-01-preview"),
        ("service_fabric", {"Secret": "secret"}, {"client_id": "x"}, 400, "manifest"),
        ("service_fabric", {"Secret": "secret"}, {"token_sha256_to_refresh": "0" * 64}, 400, "names no token"),
        ("arc", {}, {}, 400, "metadata"),
        ("arc", {"Metadata": "true"}, {"api-version": "2018-02-01"}, 400, "2020-06-01"),
    ],
)
async def test_the_other_hosts_insist_on_theirs(
    kind: HostKind, headers: dict[str, str], params: dict[str, str], status: int, text: str, on: ON
) -> None:
    """A wrong or missing secret, version or selector is refused in the shape of each host."""
    versions = {"app_service": "2019-08-01", "azure_ml": "2017-09-01", "service_fabric": "2019-07-01-preview"}
    given = {"api-version": versions.get(kind, "2020-06-01"), "resource": GRAPH, **params}
    async with on(kind) as host:
        url = host.environment.get("IDENTITY_ENDPOINT") or host.environment["MSI_ENDPOINT"]
        sent = {name: host.secret if value == "secret" else value for name, value in headers.items()}
        found, body, _ = await request_token(url, params=given, headers=sent)

    assert found == status
    assert text in str(body)


async def test_a_key_of_arc_is_good_once(on: ON) -> None:
    """The challenge names a file without quotes; its content is taken once, and nothing else is."""
    headers = {"Metadata": "true"}
    async with on("arc") as host:
        url = host.environment["IDENTITY_ENDPOINT"]
        params = {"api-version": "2020-06-01", "resource": GRAPH}
        _, _, challenge = await request_token(url, params=params, headers=headers)
        path = anyio.Path(challenge.removeprefix("Basic realm="))
        key = await path.read_text()
        statuses = [
            (await request_token(url, params=params, headers={**headers, "Authorization": authorization}))[0]
            for authorization in (f"Bearer {key}", "Basic wrong", f"Basic {key}", f"Basic {key}")
        ]

    assert path.parent == anyio.Path(host.key_folder)
    assert statuses == [401, 401, 200, 401]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["account", "show"], 2, "misspelled"),
        (["account", "get-access-token", "--resourc", GRAPH], 2, "unrecognized"),
        (["account", "get-access-token", "--resource"], 2, "expected one argument"),
        (["account", "get-access-token", "--tenant", "a", "--subscription", "b"], 1, "only one of"),
        (["account", "get-access-token", "--output", "xml"], 2, "invalid choice"),
        (["account", "get-access-token", "--subscription", "Fabrikam"], 1, "not found"),
    ],
)
async def test_the_fake_az_insists_on_its_arguments(
    arguments: list[str], code: int, text: str, emulator: Emulator
) -> None:
    """What az refuses is refused, on standard error."""
    async with emulator.developer_tools() as tools:
        process = await asyncio.create_subprocess_exec(
            f"{tools}/az", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, complaint = await process.communicate()

    assert (process.returncode, output) == (code, b"")
    assert text in complaint.decode()
