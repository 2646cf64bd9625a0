"""Serving the token endpoint of an Azure host on loopback, and what a process on that host finds in its environment."""

from __future__ import annotations

import hashlib
import ssl
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from entra_async.testing.crypto.keys import make_key_pair
from entra_async.testing.managed_identity.endpoints import host_application
from entra_async.testing.managed_identity.host import AssignedIdentity, AzureHost, HostKind
from entra_async.testing.server.listener import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer
    from entra_async.testing.faults.faults import Faults
    from entra_async.testing.wire.record import RequestLog

__all__ = ("run_host",)


@asynccontextmanager
async def run_host(
    kind: HostKind,
    *,
    tokens: AccessTokenIssuer,
    requests: RequestLog,
    faults: Faults,
    clock: EmulatorClock,
    system_assigned: bool,
    user_assigned: Iterable[str],
) -> AsyncIterator[AzureHost]:
    """
    Run a host for one block; :meth:`entra_async.testing.Emulator.managed_identity` says what the arguments mean.

    Args:
        kind: What it is.
        tokens: What issues the tokens.
        requests: Where arrivals are recorded.
        faults: What goes wrong on purpose.
        clock: The emulator's clock.
        system_assigned: Whether it has an identity of its own.
        user_assigned: Names of the identities assigned to it.
    """
    group = f"/subscriptions/{uuid.uuid4()}/resourceGroups/emulator/providers"

    def identity(path: str) -> AssignedIdentity:
        return AssignedIdentity(resource_id=f"{group}/{path}", app=tokens.tenant.register_app(name=path))

    host = AzureHost(
        kind=kind,
        tokens=tokens,
        system_assigned=identity("Microsoft.Compute/virtualMachines/host") if system_assigned else None,
        user_assigned=[identity(f"Microsoft.ManagedIdentity/userAssignedIdentities/{name}") for name in user_assigned],
    )
    async with anyio.TemporaryDirectory(prefix="entra-host-") as folder:
        host.key_folder = Path(folder) / "tokens"
        await anyio.Path(host.key_folder).mkdir()
        tls, thumbprint = None, ""
        if kind == "service_fabric":
            tls, thumbprint = await anyio.to_thread.run_sync(_self_signed, Path(folder))
        listener = Listener(kind, host_application(host), tls=tls, requests=requests, faults=faults, clock=clock)
        async with listener:
            host.environment = _ENVIRONMENTS[kind](listener, host.secret, thumbprint)
            yield host


def _self_signed(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a TLS context with a self-signed certificate, and its SHA-1 thumbprint."""
    pair = make_key_pair("servicefabric.emulator")
    file = folder / "service-fabric.pem"
    key = pair.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(key + pair.certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(file)
    der = pair.certificate.public_bytes(Encoding.DER)
    return context, hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()


def _imds(listener: Listener, _: str, __: str) -> dict[str, str]:
    # The address of the real one cannot be had on loopback; this is how both of Microsoft's libraries are led away.
    return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://127.0.0.1:{listener.port}"}


def _app_service(listener: Listener, secret: str, _: str) -> dict[str, str]:
    return {"IDENTITY_ENDPOINT": f"http://127.0.0.1:{listener.port}/msi/token/", "IDENTITY_HEADER": secret}


def _container_apps(listener: Listener, secret: str, _: str) -> dict[str, str]:
    return {"IDENTITY_ENDPOINT": f"{listener.url}/msi/token", "IDENTITY_HEADER": secret}


def _arc(listener: Listener, _: str, __: str) -> dict[str, str]:
    return {
        "IDENTITY_ENDPOINT": f"{listener.url}/metadata/identity/oauth2/token",
        "IMDS_ENDPOINT": listener.url,
    }


def _service_fabric(listener: Listener, secret: str, thumbprint: str) -> dict[str, str]:
    return {
        "IDENTITY_ENDPOINT": f"{listener.url}/metadata/identity/oauth2/token",
        "IDENTITY_HEADER": secret,
        "IDENTITY_SERVER_THUMBPRINT": thumbprint,
    }


def _azure_ml(listener: Listener, secret: str, _: str) -> dict[str, str]:
    return {"MSI_ENDPOINT": f"http://127.0.0.1:{listener.port}/MSI/auth", "MSI_SECRET": secret}


def _cloud_shell(listener: Listener, _: str, __: str) -> dict[str, str]:
    return {"MSI_ENDPOINT": f"{listener.url}/oauth2/token", "AZUREPS_HOST_ENVIRONMENT": "cloud-shell/1.0"}


_ENVIRONMENTS: dict[HostKind, Callable[[Listener, str, str], dict[str, str]]] = {
    "imds": _imds,
    "app_service": _app_service,
    "container_apps": _container_apps,
    "arc": _arc,
    "service_fabric": _service_fabric,
    "azure_ml": _azure_ml,
    "cloud_shell": _cloud_shell,
}
