"""The emulated Key Vault, judged by azure-keyvault-secrets as it is: challenge, paging, permissions, refusals."""

from __future__ import annotations

import base64
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.identity.aio import ClientSecretCredential
from azure.keyvault.secrets.aio import SecretClient
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from cryptography.x509 import load_pem_x509_certificate

from entra_async.testing import Emulator
from entra_async.testing.crypto.keys import make_key_pair
from entra_async.testing.entra.app_registrations import App

VALUE = "canary-5ecret-value"


class AzureNames(AbstractResolver):
    """What DNS is to Azure's names: leads the vault's name, at any port, to the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self._host = emulator.vault.host
        self._port = int(emulator.vault.url.rpartition(":")[2])

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        assert host in {self._host, "localhost"}
        port = self._port if host == self._host else port
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def secret_client(emulator: Emulator, app: App | None = None, **options: Any) -> AsyncIterator[SecretClient]:
    """Yield the client as Azure's users have it, at the vault's name in Azure, with its own credential and checks."""
    app = app or emulator.app
    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context, resolver=AzureNames(emulator))
    async with aiohttp.ClientSession(connector=connector) as session:
        transport = AioHttpTransport(session=session, session_owner=False)
        credential = ClientSecretCredential(
            tenant_id=emulator.tenant_id,
            client_id=app.client_id,
            client_secret=app.secret,
            authority=emulator.authority,
            disable_instance_discovery=True,
            transport=transport,
        )
        async with SecretClient(
            f"https://{emulator.vault.host}", credential, transport=transport, retry_backoff_factor=0.001, **options
        ) as client:
            yield client


async def test_the_clients_own_challenge_leads_to_the_secret(emulator: Emulator) -> None:
    """The first request has no token and is challenged; the client verifies the resource, signs in and reads."""
    emulator.vault.set_secret("db", "older")
    newest = emulator.vault.set_secret("db", VALUE, content_type="text/plain", tags={"owner": "ada"})
    async with secret_client(emulator) as client:
        secret = await client.get_secret("DB")
        again = await client.get_secret("db", newest.version)

    assert (secret.value, secret.properties.content_type, secret.properties.tags) == (
        VALUE,
        "text/plain",
        {"owner": "ada"},
    )
    assert secret.id == f"https://{emulator.vault.host}/secrets/db/{newest.version}"
    assert again.value == VALUE
    assert again.properties.created_on is not None
    assert int(again.properties.created_on.timestamp()) == newest.created
    statuses = [request.status for request in emulator.requests if request.service == "key_vault"]
    assert statuses == [401, 200, 200]
    assert len(emulator.token_requests) == 1


async def test_lists_are_paged_without_loss(emulator: Emulator) -> None:
    """Secrets and versions come in pages of 25 at most, each entry once and without its value."""
    for number in range(60):
        emulator.vault.set_secret(f"secret-{number:02}", VALUE)
    for _ in range(55):
        emulator.vault.set_secret("secret-00", VALUE)
    async with secret_client(emulator) as client:
        names = [each.name async for each in client.list_properties_of_secrets()]
        versions = [each.version async for each in client.list_properties_of_secret_versions("secret-00")]
        pages = [
            [each.name async for each in page]
            async for page in client.list_properties_of_secrets(max_page_size=7).by_page()
        ]
        nothing = [each async for each in client.list_properties_of_secret_versions("unknown")]

    assert names == [f"secret-{number:02}" for number in range(60)] == [name for page in pages for name in page]
    assert sorted(str(version) for version in versions) == sorted(
        each.version for each in emulator.vault.versions("secret-00")
    )
    assert len(set(versions)) == 56
    assert [len(page) for page in pages] == [7] * 8 + [4]
    assert nothing == []


@pytest.mark.parametrize("content_type", ["application/x-pkcs12", "application/x-pem-file"])
async def test_a_certificate_is_a_secret(content_type: str, emulator: Emulator) -> None:
    """A certificate's secret is a PFX in base64 or PEM text; without its key if that may not be exported."""
    pair = make_key_pair("vault.emulator")
    emulator.vault.set_certificate("app", pair, content_type=content_type)
    emulator.vault.set_certificate("hsm", pair, content_type=content_type, exportable=False)
    async with secret_client(emulator) as client:
        secret, public = await client.get_secret("app"), await client.get_secret("hsm")

    assert secret.properties.content_type == content_type
    assert secret.properties.key_id is not None
    assert secret.value is not None
    assert public.value is not None
    if content_type.endswith("pkcs12"):
        bundle = load_pkcs12(base64.b64decode(secret.value), None)
        assert bundle.key is not None
        assert bundle.cert is not None
        assert bundle.cert.certificate == pair.certificate
        assert load_pkcs12(base64.b64decode(public.value), None).key is None
    else:
        assert "PRIVATE KEY" in secret.value
        assert "PRIVATE KEY" not in public.value
        assert load_pem_x509_certificate(public.value.encode()) == pair.certificate


def disabled(emulator: Emulator) -> None:
    emulator.vault.set_secret("db", VALUE, enabled=False)


def expired(emulator: Emulator) -> None:
    emulator.vault.set_secret("db", VALUE, expires_on=emulator.clock.now() - 1)


def not_yet(emulator: Emulator) -> None:
    emulator.vault.set_secret("db", VALUE, not_before=emulator.clock.now() + 60)


def no_access(emulator: Emulator) -> None:
    emulator.vault.set_secret("db", VALUE)
    emulator.vault.allow(emulator.app.client_id, ["list"])


def firewalled(emulator: Emulator) -> None:
    emulator.vault.set_secret("db", VALUE)
    emulator.vault.behaviour.firewalled = True


def deleted(emulator: Emulator) -> None:
    emulator.vault.set_secret("db", VALUE)
    emulator.vault.delete_secret("db")


def nothing(emulator: Emulator) -> None:
    emulator.vault.set_secret("another", VALUE)


REFUSALS: dict[str, tuple[Callable[[Emulator], None], int, str, str | None]] = {
    "disabled": (disabled, 403, "Forbidden", "SecretDisabled"),
    "expired": (expired, 403, "Forbidden", "SecretExpired"),
    "not yet valid": (not_yet, 403, "Forbidden", "SecretNotYetValid"),
    "no permission": (no_access, 403, "Forbidden", "AccessDenied"),
    "firewall": (firewalled, 403, "Forbidden", "ForbiddenByFirewall"),
    "deleted": (deleted, 404, "SecretNotFound", None),
    "unknown": (nothing, 404, "SecretNotFound", None),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_each_error_reaches_the_client(case: str, emulator: Emulator) -> None:
    """What a vault refuses is refused with its code, and the value is not in the response."""
    prepare, status, code, inner = REFUSALS[case]
    prepare(emulator)
    async with secret_client(emulator) as client:
        with pytest.raises(HttpResponseError) as caught:
            await client.get_secret("db")

    error = caught.value
    assert error.status_code == status
    assert isinstance(error, ResourceNotFoundError) == (status == 404)
    assert error.error is not None
    assert error.error.code == code
    assert (error.error.innererror or {}).get("code") == inner
    assert VALUE not in str(error)


async def test_states_change_while_it_runs(emulator: Emulator) -> None:
    """A deleted secret is recovered, a version disabled and enabled again, an expiry reached: at once."""
    version = emulator.vault.set_secret("db", VALUE, expires_on=emulator.clock.now() + 60)
    async with secret_client(emulator) as client:
        emulator.vault.delete_secret("db")
        with pytest.raises(ValueError, match="taken"):
            emulator.vault.set_secret("db", VALUE)
        emulator.vault.recover_secret("db")
        assert (await client.get_secret("db")).value == VALUE
        version.enabled = False
        with pytest.raises(HttpResponseError, match="disabled"):
            await client.get_secret("db")
        version.enabled = True
        emulator.clock.move(61)
        with pytest.raises(HttpResponseError, match="expired"):
            await client.get_secret("db")


async def test_nobody_may_write(emulator: Emulator) -> None:
    """No token may set, delete or list what is deleted."""
    emulator.vault.set_secret("db", VALUE)
    async with secret_client(emulator) as client:
        with pytest.raises(HttpResponseError, match="does not have secrets set permission"):
            await client.set_secret("db", "x")
        with pytest.raises(HttpResponseError, match="does not have secrets delete permission"):
            await client.delete_secret("db")
        with pytest.raises(HttpResponseError, match="does not have secrets get permission"):
            await client.get_deleted_secret("db")

    assert [each.value for each in emulator.vault.versions("db")] == [VALUE]


async def test_throttling_is_waited_out_by_the_client(emulator: Emulator) -> None:
    """Above the limit the vault answers 429 with its code; a injected one is retried by the client itself."""
    emulator.vault.set_secret("db", VALUE)
    emulator.faults.add("/secrets/db/*", after=1, throttle=0)
    async with secret_client(emulator) as client:
        assert (await client.get_secret("db")).value == VALUE
        emulator.throttle.limit(1, 10, service="key_vault")
        assert (await client.get_secret("db")).value == VALUE
    async with secret_client(emulator, retry_total=0) as client:
        with pytest.raises(HttpResponseError) as caught:
            await client.get_secret("db")

    assert caught.value.status_code == 429
    assert caught.value.error is not None
    assert caught.value.error.code == "Throttled"


async def test_a_revoked_token_is_challenged_for_claims(emulator: Emulator) -> None:
    """After a revocation the client's token is answered with claims; it requests a new one with them and goes on."""
    emulator.vault.set_secret("db", VALUE)
    async with secret_client(emulator) as client:
        await client.get_secret("db")
        emulator.clock.move(60)
        emulator.vault.behaviour.revoked_at = emulator.clock.now() - 1
        assert (await client.get_secret("db")).value == VALUE

    assert len(emulator.token_requests) == 2
    assert '"nbf"' in emulator.token_requests[1].form["claims"]


async def test_a_token_of_another_tenant_or_service_is_challenged(emulator: Emulator) -> None:
    """A token that was made for another service or tenant gets the challenge again, and the client gives up."""

    class Wrong:
        async def get_token(self, *_: str, **__: Any) -> Any:
            async with emulator.session() as session:
                return await (await session.connect(emulator.client_secret)).get_token()

        async def close(self) -> None:
            pass

    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context, resolver=AzureNames(emulator))
    async with aiohttp.ClientSession(connector=connector) as session:
        transport = AioHttpTransport(session=session, session_owner=False)
        client = SecretClient(f"https://{emulator.vault.host}", Wrong(), transport=transport)  # type: ignore[arg-type]
        with pytest.raises(ClientAuthenticationError, match="AKV10022"):
            await client.get_secret("db")


async def token(emulator: Emulator) -> str:
    async with emulator.session() as session:
        return (await (await session.connect(emulator.client_secret, service="AzureKeyVault")).get_token()).token


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x.y.z", "Basic eA=="])
async def test_the_challenge_comes_before_anything_else(
    authorization: str | None, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """Without a good token every path answers the same 401, so nobody learns which secrets there are."""
    emulator.vault.set_secret("db", VALUE)
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/secrets/db?api-version=7.4", "/secrets/unknown", "/elsewhere"):
        async with http.get(emulator.vault.url + path, headers=headers) as response:
            body = await response.json()
            assert (response.status, body["error"]["code"]) == (401, "Unauthorized")
            assert response.headers["WWW-Authenticate"] == (
                f'Bearer authorization="https://login.microsoftonline.com/{emulator.tenant_id}", '
                'resource="https://vault.azure.net"'
            )
            assert response.headers["x-ms-keyvault-region"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/secrets/db", 400, "BadParameter"),
        ("/secrets/db?api-version=6.0", 400, "BadParameter"),
        ("/secrets/db?api-version=2025-13-01", 400, "BadParameter"),
        ("/secrets/d_b?api-version=7.4", 400, "BadParameter"),
        ("/secrets/db/xyz?api-version=7.4", 400, "BadParameter"),
        ("/secrets?api-version=7.4&maxresults=26", 400, "BadParameter"),
        ("/secrets?api-version=7.4&$skiptoken=forged", 400, "BadParameter"),
        ("/secrets/db/00000000000000000000000000000000?api-version=7.4", 404, "SecretNotFound"),
        ("/keys?api-version=7.4", 404, "NotFound"),
        ("/secrets/db/versions/x?api-version=7.4", 404, "NotFound"),
        ("/secrets/db?api-version=7.4", 200, None),
        ("/Secrets/DB/?api-version=2016-10-01", 200, None),
        ("/secrets/db/versions?api-version=2025-07-01", 200, None),
    ],
)
async def test_a_request_must_be_right(
    path: str, status: int, code: str | None, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The version is compulsory, names are checked, a link cannot be made up; case and a last slash don't matter."""
    emulator.vault.set_secret("db", VALUE)
    headers = {"Authorization": f"Bearer {await token(emulator)}", "x-ms-client-request-id": "mine"}
    async with http.get(emulator.vault.url + path, headers=headers) as response:
        body = await response.json()
        assert (response.status, body.get("error", {}).get("code")) == (status, code)
        assert response.headers["x-ms-client-request-id"] == "mine"


async def test_the_next_link_is_absolute_and_for_its_own_list(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """`nextLink` names the host it was asked at, keeps version and size, and is good for no other list."""
    emulator.vault.set_secret("db", VALUE)
    emulator.vault.set_secret("web", VALUE)
    headers = {"Authorization": f"Bearer {await token(emulator)}"}
    async with http.get(f"{emulator.vault.url}/secrets?api-version=7.4&maxresults=1", headers=headers) as response:
        link = (await response.json())["nextLink"]
    query = parse_qs(urlsplit(link).query)
    assert link.startswith(emulator.vault.url)
    assert (query["api-version"], query["maxresults"]) == (["7.4"], ["1"])
    async with http.get(link, headers=headers) as response:
        body = await response.json()
        assert ([each["id"][-3:] for each in body["value"]], body["nextLink"]) == (["web"], None)
    async with http.get(link.replace("/secrets", "/secrets/db/versions"), headers=headers) as response:
        assert response.status == 400
