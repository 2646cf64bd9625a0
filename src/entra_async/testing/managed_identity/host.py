"""An Azure host with managed identities: a virtual machine, an app, an Arc machine, … on loopback."""

from __future__ import annotations

import hashlib
import secrets
import ssl
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from entra_async.testing.crypto.keys import make_key_pair
from entra_async.testing.managed_identity.endpoints import host_application
from entra_async.testing.server.listener import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from aiohttp import web

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.entra.tenant import App
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer, IssuedToken
    from entra_async.testing.faults.faults import Faults
    from entra_async.testing.wire.record import RequestLog

__all__ = ("AzureHost", "HostKind", "Identity", "run_host")

HostKind = Literal["imds", "app_service", "container_apps", "arc", "service_fabric", "azure_ml", "cloud_shell"]
"""What hands out tokens; also the name of the service in the record of requests and in faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    A managed identity. Its app is its service principal: change the app's roles to change what it may do.

    Attributes:
        resource_id: Its id in Azure Resource Manager.
        app: The service principal.
    """

    resource_id: str
    app: App

    @property
    def client_id(self) -> str:
        """Its client id."""
        return self.app.client_id

    @property
    def principal_id(self) -> str:
        """The object id of its service principal."""
        return self.app.object_id


@dataclass(slots=True, kw_only=True)
class AzureHost:
    """
    A running host. Change it while it runs.

    Attributes:
        kind: What it is.
        tokens: What issues the tokens.
        system_assigned: Its own identity, or ``None`` if it has none.
        user_assigned: The identities assigned to it.
        environment: The environment variables of a process on it.
        secret: What a process proves to be on it with, where the host wants that.
        strict: Refuse a selector that the real host passes over; else pass over it and answer for its own identity.
        key_folder: Arc: where the keys for its challenges lie.
        key_file: Arc: what is wrong with the key file it names: nothing (``"good"``), it lies in another folder, it is
            ``"too_large"``, ``"missing"``, has another suffix, or is a ``"link"`` to a file elsewhere.
        confirms_identity: Arc: whether it tells whom the token is for, as agents do that know user-assigned ones.
        expiry: Azure ML: how it writes the time a token expires.
    """

    kind: HostKind
    tokens: AccessTokenIssuer
    system_assigned: Identity | None
    user_assigned: list[Identity]
    environment: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    strict: bool = True
    key_folder: Path = Path()
    key_file: Literal["good", "elsewhere", "too_large", "missing", "other_suffix", "link"] = "good"
    confirms_identity: bool = True
    expiry: Literal["epoch", "linux", "windows"] = "epoch"
    keys: dict[str, Path] = field(default_factory=dict, repr=False)
    handed_out: set[str] = field(default_factory=set, repr=False)

    def issue(self, identity: Identity, resource: str) -> IssuedToken | None:
        """
        Return a token for an identity, or ``None`` if the tenant has no such resource.

        Args:
            identity: Whom for.
            resource: The resource, as it was asked for.
        """
        found = self.tokens.tenant.find_resource(resource)
        if found is None:
            return None
        token = self.tokens.issue_app_token(
            identity.app,
            client_authentication="2",  # the platform holds a certificate for it
            audience=resource,
            roles=identity.app.roles & found.roles,
            demanded={},
        )
        self.handed_out.add(hashlib.sha256(token.access_token.encode()).hexdigest())
        return token


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

    def identity(path: str) -> Identity:
        return Identity(resource_id=f"{group}/{path}", app=tokens.tenant.register_app(name=path))

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
        application: web.Application = host_application(host)
        listener = Listener(kind, application, tls=tls, requests=requests, faults=faults, clock=clock)
        async with listener:
            host.environment = _ENVIRONMENTS[kind](listener, host.secret, thumbprint)
            yield host


def _self_signed(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a TLS context with a certificate that nobody vouches for, and its SHA-1 thumbprint."""
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
