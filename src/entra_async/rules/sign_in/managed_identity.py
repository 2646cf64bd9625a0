"""
The managed identity endpoints of Azure hosts, and their token requests. Pure.

Every host has a local endpoint, named by environment variables, and each spells the same token request in its own way:

====================  ===========================================  ============================================
Host                  Environment variables                        A user-assigned identity is selected by
====================  ===========================================  ============================================
Service Fabric        IDENTITY_ENDPOINT, IDENTITY_HEADER,          the application manifest only
                      IDENTITY_SERVER_THUMBPRINT
App Service,          IDENTITY_ENDPOINT, IDENTITY_HEADER           client_id, mi_res_id, principal_id
Functions, Container
Apps, Automation
Azure Arc             IDENTITY_ENDPOINT, IMDS_ENDPOINT             client_id, msi_res_id, object_id
Azure ML              MSI_ENDPOINT, MSI_SECRET                     clientid
Cloud Shell           MSI_ENDPOINT                                 nothing: it is the person's own account
workload identity     AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID  client_id
virtual machine       none of these                                client_id, msi_res_id, object_id
====================  ===========================================  ============================================

A host ignores a parameter that it does not know, and issues a token for another identity. So a selection that a host
does not support is an error before anything is sent.

Sources:
    https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
    https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity#rest-endpoint-reference
    https://learn.microsoft.com/en-us/azure/azure-arc/servers/managed-identity-authentication
    https://learn.microsoft.com/en-us/azure/service-fabric/how-to-managed-identity-service-fabric-app-code
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode, urlsplit

from entra_async.errors import ConfigurationError, CredentialUnavailableError

__all__ = ("ARC_ENDPOINT", "HostKind", "IdentityHost", "WorkloadIdentity", "arc_host", "find_host")

ARC_ENDPOINT: Final = "http://localhost:40342/metadata/identity/oauth2/token"
"""The default endpoint of Azure Arc's agent."""

_IMDS: Final = "http://169.254.169.254"
_IMDS_PATH: Final = "/metadata/identity/oauth2/token"
_THUMBPRINT: Final = re.compile(r"[0-9A-Fa-f]{40}")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class HostKind(Enum):
    """The kinds of hosts that have a managed identity endpoint."""

    VIRTUAL_MACHINE = "the instance metadata service (IMDS) of a virtual machine"
    APP_SERVICE = "App Service"
    ARC = "the agent of Azure Arc"
    SERVICE_FABRIC = "Service Fabric"
    AZURE_ML = "Azure Machine Learning"
    CLOUD_SHELL = "Azure Cloud Shell"


_LIKE_IMDS: Final = MappingProxyType(
    {"client_id": "client_id", "resource_id": "msi_res_id", "principal_id": "object_id"}
)
_SELECTORS: Final[Mapping[HostKind, Mapping[str, str]]] = {
    HostKind.VIRTUAL_MACHINE: _LIKE_IMDS,
    HostKind.ARC: _LIKE_IMDS,
    HostKind.APP_SERVICE: {"client_id": "client_id", "resource_id": "mi_res_id", "principal_id": "principal_id"},
    HostKind.AZURE_ML: {"client_id": "clientid"},
    HostKind.CLOUD_SHELL: {},
    HostKind.SERVICE_FABRIC: {},
}
_API_VERSIONS: Final[Mapping[HostKind, str]] = {
    HostKind.VIRTUAL_MACHINE: "2018-02-01",
    HostKind.ARC: "2020-06-01",
    HostKind.APP_SERVICE: "2019-08-01",
    HostKind.AZURE_ML: "2017-09-01",
    HostKind.SERVICE_FABRIC: "2019-07-01-preview",
}


@dataclass(frozen=True, slots=True)
class IdentityHost:
    """
    A managed identity endpoint.

    Attributes:
        kind: The kind of host.
        endpoint: Its URL.
        headers: Sent with every token request; they may hold the secret of the local endpoint.
        thumbprint: SHA-1 of the only certificate to trust, or ``None``.
    """

    kind: HostKind
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    thumbprint: str | None = None

    def select(self, identity_id: str | None, identity_type: str) -> Mapping[str, str]:
        """
        Return the parameter that selects an identity, or none for the host's own.

        Args:
            identity_id: Which, or ``None``.
            identity_type: ``client_id``, ``resource_id`` or ``principal_id``.

        Raises:
            ConfigurationError: If the host would ignore it.
        """
        if identity_id is None:
            return _NONE
        selectors = _SELECTORS[self.kind]
        if identity_type in selectors:
            return {selectors[identity_type]: identity_id}
        if selectors:
            message = f"{self.kind.value} finds no identity by {identity_type}."
            hint = f"Select it by {' or '.join(selectors)}."
            raise ConfigurationError(message, field="identity_type", hint=hint)
        message = f"{self.kind.value} has one identity; none can be selected in a request."
        hint = (
            "Leave identity_id out: the application manifest says which identity serves the service."
            if self.kind is HostKind.SERVICE_FABRIC
            else "Leave identity_id out: tokens are those of the person who opened the shell."
        )
        raise ConfigurationError(message, field="identity_id", hint=hint)

    def token_request(self, resource: str, selector: Mapping[str, str]) -> tuple[str, str, bytes | None]:
        """
        Return method, URL and body of the token request.

        Args:
            resource: The token's audience.
            selector: From :meth:`select`.
        """
        if self.kind is HostKind.CLOUD_SHELL:
            return "POST", self.endpoint, urlencode({"resource": resource}).encode()
        query = urlencode({"api-version": _API_VERSIONS[self.kind], "resource": resource, **selector})
        return "GET", f"{self.endpoint}{'&' if urlsplit(self.endpoint).query else '?'}{query}", None


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """
    A workload whose platform writes its assertion to a file, such as a pod of Kubernetes.

    Attributes:
        tenant_id: The tenant of the identity.
        client_id: The default identity of the workload, or ``None``.
        token_file: The file with the assertion. The platform renews it.
        authority: Root of the sign-in service, or ``None``.
    """

    tenant_id: str
    client_id: str | None
    token_file: str
    authority: str | None


def arc_host(endpoint: str = ARC_ENDPOINT) -> IdentityHost:
    """Return the agent of Azure Arc on this machine."""
    return IdentityHost(HostKind.ARC, endpoint, {"Metadata": "true"})


def find_host(environment: Mapping[str, str]) -> IdentityHost | WorkloadIdentity:
    """
    Return the managed identity endpoint of this host. A variable that is empty counts as not set.

    Args:
        environment: The environment variables.

    Raises:
        ConfigurationError: If a variable has an invalid value.
        CredentialUnavailableError: If there is an endpoint, but not the other variables that it needs.
    """
    given = {name: value for name, value in environment.items() if value}
    endpoint, secret = given.get("IDENTITY_ENDPOINT"), given.get("IDENTITY_HEADER")
    thumbprint = given.get("IDENTITY_SERVER_THUMBPRINT")
    if endpoint is not None:
        _check_url(endpoint, "IDENTITY_ENDPOINT", https=bool(secret and thumbprint))
        if secret and thumbprint:
            return IdentityHost(
                HostKind.SERVICE_FABRIC, endpoint, {"Secret": secret}, thumbprint=_check_thumbprint(thumbprint)
            )
        if secret:
            # App Service wants the first; Automation, which looks the same, wants both.
            headers = {"X-IDENTITY-HEADER": secret, "Metadata": "true"}
            return IdentityHost(HostKind.APP_SERVICE, endpoint, headers)
        if "IMDS_ENDPOINT" in given:
            return arc_host(endpoint)
        message = "IDENTITY_ENDPOINT is set, but neither IDENTITY_HEADER (App Service) nor IMDS_ENDPOINT (Azure Arc)."
        hint = (
            "The host sets both; check that the process inherits them, and that IDENTITY_ENDPOINT is not set by hand."
        )
        raise CredentialUnavailableError(message, hint=hint)
    endpoint, secret = given.get("MSI_ENDPOINT"), given.get("MSI_SECRET")
    if endpoint is not None:
        _check_url(endpoint, "MSI_ENDPOINT")
        if secret:
            return IdentityHost(HostKind.AZURE_ML, endpoint, {"Secret": secret})
        headers = {"Metadata": "true", "Content-Type": "application/x-www-form-urlencoded"}
        return IdentityHost(HostKind.CLOUD_SHELL, endpoint, headers)
    if "AZURE_FEDERATED_TOKEN_FILE" in given and "AZURE_TENANT_ID" in given:
        return WorkloadIdentity(
            tenant_id=given["AZURE_TENANT_ID"],
            client_id=given.get("AZURE_CLIENT_ID"),
            token_file=given["AZURE_FEDERATED_TOKEN_FILE"],
            authority=given.get("AZURE_AUTHORITY_HOST"),
        )
    # The variable is azure-identity's and msal's: AKS Pod Identity takes the place of IMDS.
    root = given.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", _IMDS)
    _check_url(root, "AZURE_POD_IDENTITY_AUTHORITY_HOST")
    return IdentityHost(HostKind.VIRTUAL_MACHINE, root.rstrip("/") + _IMDS_PATH, {"Metadata": "true"})


def _check_url(url: str, variable: str, *, https: bool = False) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in (("https",) if https else ("http", "https")) and bool(parts.hostname)
        usable = usable and parts.port != 0 and not (parts.username or parts.password or parts.fragment)
    except ValueError:
        usable = False
    if not usable:
        message = f"The environment variable {variable} is no {'https ' if https else ''}URL."
        raise ConfigurationError(message, field=variable, hint="The host sets it; check what overwrites it.")


def _check_thumbprint(thumbprint: str) -> str:
    plain = "".join(character for character in thumbprint if character not in " :")
    if not _THUMBPRINT.fullmatch(plain):
        message = "The environment variable IDENTITY_SERVER_THUMBPRINT is no SHA-1 thumbprint."
        hint = "It has 40 hexadecimal digits; Service Fabric sets it."
        raise ConfigurationError(message, field="IDENTITY_SERVER_THUMBPRINT", hint=hint)
    return plain
