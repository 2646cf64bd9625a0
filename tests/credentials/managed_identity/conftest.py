"""What makes the test's process one on an Azure host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from entra_async.credentials.sources import identity_endpoint
from entra_async.testing import Emulator
from entra_async.testing.managed_identity.host import AzureHost, HostKind

HOSTS: tuple[HostKind, ...] = (
    "imds",
    "app_service",
    "container_apps",
    "arc",
    "service_fabric",
    "azure_ml",
    "cloud_shell",
)
VARIABLES = (
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_AUTHORITY_HOST",
)
ON = Callable[..., AbstractAsyncContextManager[AzureHost]]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start on a machine that is no Azure host, and whose IMDS would be on loopback, where nobody listens."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")


@pytest.fixture
def on(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> ON:
    """Return what makes this process one on a host for one block."""

    @asynccontextmanager
    async def enter(kind: HostKind, **options: Any) -> AsyncIterator[AzureHost]:
        async with emulator.managed_identity(kind, **options) as host:
            with monkeypatch.context() as patch:
                patch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
                for variable, value in host.environment.items():
                    patch.setenv(variable, value)
                patch.setattr(identity_endpoint, "_key_folder", lambda: host.key_folder)
                yield host

    return enter
