"""The emulator comes quickly, keeps its doors shut to strangers, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import time
from pathlib import Path

import aiohttp
import anyio
import anyio.to_thread
import pytest

from entra_async.testing import Emulator


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def traces(folder: Path) -> tuple[set[str], list[str]]:
    """Return what is in the folder, and what is open: sockets, and files in it; blocks."""
    folders = {path.name for path in folder.iterdir()}
    files = Path("/proc/self/fd")
    if not files.exists():
        return folders, []
    opened = []
    for number in os.listdir(files):  # noqa: PTH208 -- Path.iterdir keeps one more open
        try:
            opened.append((files / number).readlink().as_posix())
        except FileNotFoundError:
            continue  # the listing itself
    return folders, sorted(name for name in opened if name.startswith(("socket:", folder.as_posix())))


async def connect_and_wait(emulator: Emulator) -> None:
    """Leave one idle connection and one request that is never answered."""
    emulator.faults.add("/slow", delay_s=3600)
    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with http.get(f"{emulator.graph_url}/v1.0/users") as response:
            await response.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.post(f"{emulator.authority}/slow")


@pytest.mark.parametrize("end", ["return", "error", "cancel", "timeout"])
async def test_nothing_is_left_behind(end: str, folder: Path) -> None:
    """However the block ends, with a request in the air, its tasks, sockets, ports and files are gone."""
    folders, opened = await anyio.to_thread.run_sync(traces, folder)
    assert not folders
    tasks = asyncio.all_tasks()
    port = 0

    async def run(client: anyio.abc.TaskGroup, scope: anyio.CancelScope) -> None:
        nonlocal port
        async with Emulator() as emulator:
            port = int(emulator.authority.rpartition(":")[2])
            client.start_soon(connect_and_wait, emulator)
            await emulator.requests.wait_for(path="/slow")
            assert await anyio.Path(emulator.ca_file).exists()
            assert emulator.ca_file.is_relative_to(folder)
            if end == "error":
                raise LookupError(end)
            if end == "cancel":
                scope.cancel()
                await anyio.sleep_forever()
            if end == "timeout":
                async with asyncio.timeout(0):
                    await asyncio.sleep(60)

    async with anyio.create_task_group() as client:
        try:
            with anyio.CancelScope() as scope:
                await run(client, scope)
        except (LookupError, TimeoutError):
            assert end in {"error", "timeout"}

    assert asyncio.all_tasks() == tasks
    with pytest.raises(OSError, match="onnect"):
        await anyio.connect_tcp("127.0.0.1", port)
    after_folders, after_opened = await anyio.to_thread.run_sync(traces, folder)
    assert not after_folders
    assert len(after_opened) <= len(opened)


async def test_failed_start_leaves_nothing_behind(folder: Path) -> None:
    """An emulator that is cancelled while it starts removes what it had made."""
    tasks = asyncio.all_tasks()
    for turns in range(0, 40, 4):
        emulator = Emulator()
        starting = asyncio.create_task(emulator.__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert asyncio.all_tasks() == tasks
    after, _ = await anyio.to_thread.run_sync(traces, folder)
    assert not after


async def test_it_starts_quickly() -> None:
    """A second emulator of a process is ready in well under 300 ms: slow keys are made once."""
    async with Emulator():
        pass
    started = time.perf_counter()
    async with Emulator() as emulator:
        assert time.perf_counter() - started < 0.3
        assert emulator.requests.count() == 0


@pytest.mark.parametrize(
    "name",
    [
        *("authority", "graph_url", "endpoint_url", "cloud", "ca_file", "ssl_context", "certificate"),
        *("certificate_app", "certificate_file"),
    ],
)
def test_nothing_is_there_before_the_block(name: str) -> None:
    """What exists only while the emulator runs says so when it is requested too early."""
    with pytest.raises(RuntimeError, match="Enter the emulator first"):
        getattr(Emulator(), name)
    with pytest.raises(RuntimeError, match="Enter the emulator first"):
        Emulator().session()


async def test_emulator_serves_one_block() -> None:
    """Entering the same emulator again is refused."""
    emulator = Emulator()
    async with emulator:
        pass
    with pytest.raises(RuntimeError, match="one block"):
        await emulator.__aenter__()


async def test_domain_is_known_in_any_case_of_letters() -> None:
    """A domain given with capitals is the tenant's in URLs and in the names of its users, however they are written."""
    async with (
        Emulator(domain="Contoso.COM", users=3) as emulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=emulator.ssl_context)) as http,
    ):
        form = {
            "grant_type": "client_credentials",
            "client_id": emulator.app.client_id,
            "client_secret": emulator.app.secret,
            "scope": "https://graph.microsoft.com/.default",
        }
        for domain in ("Contoso.COM", "contoso.com"):
            async with http.post(f"{emulator.authority}/{domain}/oauth2/v2.0/token", data=form) as response:
                assert response.status == 200
                headers = {"Authorization": f"Bearer {(await response.json())['access_token']}"}
            async with http.get(f"{emulator.graph_url}/v1.0/users/ada@{domain}", headers=headers) as response:
                assert response.status == 200


async def test_emulators_do_not_trust_each_other(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Two emulators are two tenants, each with its own authority of certificates and its own tokens."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        token = (await response.json())["access_token"]
    async with Emulator() as other:
        assert other.tenant_id != emulator.tenant_id
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(f"{other.graph_url}/v1.0/users")
        headers = {"Authorization": f"Bearer {token}"}
        async with http.get(f"{other.graph_url}/v1.0/users", headers=headers, ssl=other.ssl_context) as response:
            assert response.status == 401


async def test_each_service_is_an_origin_of_its_own(emulator: Emulator) -> None:
    """No two services share host and port, so a token sent to the wrong one is seen; audiences are the real ones."""
    cloud = emulator.cloud
    assert cloud.endpoint is not None
    assert cloud.security is not None
    endpoints = [cloud.graph, cloud.azure, cloud.key_vault, cloud.endpoint, cloud.security]
    origins = {"/".join(url.split("/")[:3]) for url in (cloud.authority, *(endpoint.url for endpoint in endpoints))}
    assert len(origins) == 6
    assert cloud.graph.audience == "https://graph.microsoft.com"
    assert cloud.endpoint.url == f"{emulator.endpoint_url}/api"


async def test_unknown_clients_are_rejected(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Plain HTTP, TLS before 1.2 and a foreign Host header get nowhere; 127.0.0.1 is as good as localhost."""
    path = f"/{emulator.tenant_id}/v2.0/.well-known/openid-configuration"
    with pytest.raises(aiohttp.ClientError):
        await http.post(emulator.authority.replace("https", "http") + path)
    async with http.get(emulator.authority + path, headers={"Host": "login.microsoftonline.com"}) as response:
        assert response.status == 421
    async with http.get(emulator.authority.replace("localhost", "127.0.0.1") + path) as response:
        assert response.status == 200
    assert [record.status for record in emulator.requests] == [421, 200]

    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(aiohttp.ClientError):
        await http.post(emulator.authority + path, ssl=old)


async def test_ready_made_user(emulator: Emulator) -> None:
    """The user is Ada of the directory; her password shows in no repr."""
    assert emulator.user.user_principal_name == "ada@contoso.com"
    assert emulator.user.password not in repr(emulator.user)
    assert emulator.app.secret not in repr(emulator.app)
