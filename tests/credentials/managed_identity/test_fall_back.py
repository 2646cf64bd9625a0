"""The fall-back to the Azure CLI: quick where there is no host, and never a change of account."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from entra_async.credentials.managed_identity import ManagedIdentity
from entra_async.errors import CredentialUnavailableError
from entra_async.testing import Emulator
from tests.credentials.managed_identity.conftest import ON
from tests.support.virtual_clock import VirtualClock

IMDS = "/metadata/identity/oauth2/token"


@pytest.mark.parametrize("silent", [False, True])
async def test_in_a_chain_an_absent_host_shows_within_a_second(
    silent: bool, emulator: Emulator, on: ON, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a fall-back, neither a host that refuses nor one that stays silent holds the sign-in up for a second."""
    monkeypatch.setenv("PATH", str(tmp_path))
    emulator.faults.add(IMDS, service="imds", times=None, delay_s=3600)
    async with on("imds"), emulator.session() as session:
        with pytest.MonkeyPatch.context() as patch:
            if not silent:
                patch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
            await session.connect(emulator.client_secret)  # so that the pool is open
            started = time.monotonic()
            with pytest.raises(CredentialUnavailableError, match=r"Neither.*no answer.*not installed"):
                await session.connect(ManagedIdentity(fall_back_to_azure_cli=True))
            elapsed_s = time.monotonic() - started

    assert elapsed_s <= 1.0


async def test_the_fall_back_is_used_where_there_is_no_identity(
    emulator: Emulator, on: ON, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off Azure, the Azure CLI's sign-in serves; and it stays, also when an identity appears later."""
    async with emulator.developer_tools() as tools, emulator.session() as session:
        monkeypatch.setenv("PATH", str(tools))
        connection = await session.connect(ManagedIdentity(fall_back_to_azure_cli=True))
        async with on("imds"):
            emulator.clock.move(7200)
            await connection.get_token()
        token = await connection.get_token()

    assert [call.name for call in tools.calls] == ["az", "az"]
    assert token.client_id == emulator.app.client_id
    assert not emulator.requests.count(service="imds")


async def test_the_identity_stays_where_there_is_one(
    emulator: Emulator, on: ON, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Azure the CLI is never called, also when the host fails later: the account must not change."""
    async with emulator.developer_tools() as tools, emulator.session(clock=VirtualClock()) as session:
        monkeypatch.setenv("PATH", str(tools))
        async with on("imds") as host:
            connection = await session.connect(ManagedIdentity(fall_back_to_azure_cli=True))
            host.system_assigned = None
            with pytest.raises(CredentialUnavailableError):
                await session.connect(ManagedIdentity(fall_back_to_azure_cli=True), service="Azure")
        token = await connection.get_token()

    assert token.client_id != emulator.app.client_id
    assert not tools.calls
