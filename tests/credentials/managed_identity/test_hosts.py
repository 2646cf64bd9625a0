"""What only one kind of host has: Arc's keys, Service Fabric's certificate, Azure ML's times, a pod's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from entra_async.credentials.managed_identity import ManagedIdentity
from entra_async.errors import AuthenticationError, ConfigurationError, CredentialUnavailableError
from entra_async.rules.sign_in.managed_identity import arc_host
from entra_async.testing import Emulator
from entra_async.testing.entra.app_registrations import FederatedCredential
from entra_async.testing.managed_identity.host import AssignedIdentity, AzureHost
from tests.credentials.managed_identity.conftest import ON
from tests.support.virtual_clock import VirtualClock


def own(host: AzureHost) -> AssignedIdentity:
    assert host.system_assigned is not None
    return host.system_assigned


IMDS = "/metadata/identity/oauth2/token"
STRANGER = "22222222-2222-2222-2222-222222222222"


ARC_KEYS = [
    ("elsewhere", "outside of"),
    ("other_suffix", "outside of"),
    ("too_large", "at most 4096 bytes"),
    ("link", "at most 4096 bytes"),
    ("missing", "cannot be read"),
]


@pytest.mark.parametrize(("key_file", "text"), ARC_KEYS)
async def test_a_key_file_that_is_not_arcs_is_not_sent(key_file: Any, text: str, emulator: Emulator, on: ON) -> None:
    """A file elsewhere, too large, linked or missing is never read out to whoever answers on Arc's port."""
    async with on("arc") as host, emulator.session() as session:
        host.key_file = key_file
        with pytest.raises(AuthenticationError, match=text) as caught:
            await session.connect(ManagedIdentity())

    assert caught.value.status == 401
    assert [request.status for request in emulator.requests] == [401]


async def test_each_key_of_arc_is_good_for_one_token(emulator: Emulator, on: ON) -> None:
    """A second token takes a second key; a failed attempt takes a new one, too."""
    async with on("arc") as host, emulator.session(clock=VirtualClock()) as session:
        await session.connect(ManagedIdentity())
        emulator.faults.add(IMDS, service="arc", after=1, status=503)
        await session.connect(ManagedIdentity(), service="Azure")
        left = [name async for name in anyio.Path(host.key_folder).iterdir()]

    assert [request.status for request in emulator.requests] == [401, 200, 401, 503, 401, 200]
    assert len(left) == 1  # that of the failed attempt


async def test_an_old_agent_that_ignores_the_choice_is_caught(emulator: Emulator, on: ON) -> None:
    """A token for another identity than the requested one is not used."""
    async with on("arc", user_assigned=["web"]) as host, emulator.session() as session:
        host.confirms_identity = False
        host.strict = False
        with pytest.raises(AuthenticationError, match="did not confirm"):
            await session.connect(ManagedIdentity(identity_id=host.user_assigned[0].client_id))


async def test_an_installed_agent_is_found_without_its_variables(emulator: Emulator, on: ON, tmp_path: Path) -> None:
    """A service started without the agent's environment variables uses Arc all the same."""
    program = tmp_path / "himds"
    await anyio.Path(program).touch()
    async with on("arc") as host, emulator.session() as session:
        endpoint = host.environment["IDENTITY_ENDPOINT"]
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("IDENTITY_ENDPOINT")
            patch.delenv("IMDS_ENDPOINT")
            patch.setattr("entra_async.credentials.sources.identity_endpoint._agent_program", lambda: program)
            patch.setattr("entra_async.credentials.sources.identity_endpoint.arc_host", lambda: arc_host(endpoint))
            connection = await session.connect(ManagedIdentity())
            token = await connection.get_token()

    assert token.client_id == own(host).client_id


async def test_service_fabric_gets_no_secret_unless_its_certificate_is_the_one(emulator: Emulator, on: ON) -> None:
    """Whoever answers with another certificate than the one named never sees the request."""
    async with on("service_fabric"), emulator.session(clock=VirtualClock()) as session:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IDENTITY_SERVER_THUMBPRINT", "0" * 40)
            with pytest.raises(CredentialUnavailableError, match="not the one whose thumbprint"):
                await session.connect(ManagedIdentity())

    assert not emulator.requests


async def test_service_fabric_gets_the_hash_of_the_revoked_token(emulator: Emulator, on: ON) -> None:
    """A claims challenge makes Service Fabric replace its cached token."""
    async with on("service_fabric"), emulator.session() as session:
        connection = await session.connect(ManagedIdentity())
        first = await connection.get_token()
        second = await connection.get_token(claims='{"access_token":{}}', enable_cae=True)

    assert first.token != second.token
    assert len(emulator.requests[-1].query["token_sha256_to_refresh"]) == 64
    assert emulator.requests[-1].query["xms_cc"] == "CP1"


@pytest.mark.parametrize("expiry", ["epoch", "linux", "windows"])
async def test_azure_ml_writes_times_in_three_ways(expiry: Any, emulator: Emulator, on: ON) -> None:
    """Each way in which Azure ML says when a token expires is the same moment."""
    async with on("azure_ml") as host, emulator.session() as session:
        host.expiry = expiry
        connection = await session.connect(ManagedIdentity())
        token = await connection.get_token()

    assert token.expires_on == token.claims["exp"]


SUBJECT = "system:serviceaccount:default:crawler"


@pytest.fixture
def pod(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> anyio.Path:
    """Make this process a pod whose cluster the emulator's app trusts; return the file that its platform writes."""
    file = tmp_path / "token"
    credential = FederatedCredential(issuer=emulator.external_issuer.issuer, subject=SUBJECT)
    emulator.app.federated_credentials.append(credential)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    monkeypatch.setenv("AZURE_TENANT_ID", emulator.tenant_id)
    monkeypatch.setenv("AZURE_CLIENT_ID", emulator.app.client_id)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{emulator.authority}/")
    return anyio.Path(file)


async def test_workload_identity_signs_in_with_what_the_platform_wrote(emulator: Emulator, pod: anyio.Path) -> None:
    """A pod signs in with the file its platform writes, which is read again for each token."""
    async with emulator.session() as session:
        await pod.write_text(emulator.external_issuer.mint(SUBJECT))
        connection = await session.connect(ManagedIdentity())
        await pod.write_text("changed")
        with pytest.raises(AuthenticationError):
            await session.connect(ManagedIdentity(), service="Azure")
        await pod.write_text(emulator.external_issuer.mint(SUBJECT))
        await session.connect(ManagedIdentity(), service="Azure")
        token = await connection.get_token()

    assert token.client_id == emulator.app.client_id
    assert len(emulator.token_requests) == 3


@pytest.mark.parametrize("content", [None, "", b"\xff"])
async def test_a_workload_without_its_file(content: Any, emulator: Emulator, pod: anyio.Path) -> None:
    """A file that is missing, empty or no text is named before anything is sent."""
    if content is not None:
        await pod.write_bytes(content.encode() if isinstance(content, str) else content)
    async with emulator.session() as session:
        with pytest.raises(CredentialUnavailableError, match="file") as caught:
            await session.connect(ManagedIdentity())

    assert "AZURE_FEDERATED_TOKEN_FILE" in str(caught.value)
    assert not emulator.requests


async def test_a_workload_identity_is_chosen_by_client_id(
    emulator: Emulator, pod: anyio.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """identity_id wins over AZURE_CLIENT_ID; without either, and by any other id, it is refused at once."""
    await pod.write_text(emulator.external_issuer.mint(SUBJECT))
    monkeypatch.delenv("AZURE_CLIENT_ID")
    async with emulator.session() as session:
        with pytest.raises(ConfigurationError, match="AZURE_CLIENT_ID"):
            await session.connect(ManagedIdentity())
        with pytest.raises(ConfigurationError, match="principal_id"):
            await session.connect(ManagedIdentity(identity_id=STRANGER, identity_type="principal_id"))
        assert not emulator.requests
        await session.connect(ManagedIdentity(identity_id=emulator.app.client_id))
