"""
The national clouds: the authority, and the URL and audience of each service.

Sources:
    https://learn.microsoft.com/en-us/graph/deployments
    https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud
    https://learn.microsoft.com/en-us/defender-endpoint/gov
    https://learn.microsoft.com/en-us/defender-xdr/usgov
    https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-considerations (audiences)
    Azure CLI's cloud table for Azure Resource Manager and Key Vault
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from entra_async.errors import ConfigurationError

__all__ = ("CLOUDS", "Cloud", "Endpoint", "find_cloud")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One service in one cloud.

    Attributes:
        url: Root of the service, without a trailing slash; may hold ``%NAME%`` parameters.
        audience: The audience of its tokens. A trailing slash is part of it.
    """

    url: str
    audience: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """
    One Microsoft cloud. Tokens of one cloud are not valid in another.

    Attributes:
        name: The value of ``Session(cloud=…)``.
        authority: Root of the sign-in service, without a tenant.
        graph: Microsoft Graph, without the version.
        azure: Azure Resource Manager.
        key_vault: Key Vault; the URL holds ``%VAULTNAME%``.
        endpoint: Defender for Endpoint; ``None`` where the cloud has none.
        security: Defender XDR; ``None`` where the cloud has none.
        token_exchange_audience: The audience of federated credentials: of another issuer's assertions.
    """

    name: str
    authority: str
    graph: Endpoint
    azure: Endpoint
    key_vault: Endpoint
    endpoint: Endpoint | None
    security: Endpoint | None
    token_exchange_audience: str = "api://AzureADTokenExchange"


_GLOBAL: Final = Cloud(
    name="global",
    authority="https://login.microsoftonline.com",
    graph=Endpoint("https://graph.microsoft.com", "https://graph.microsoft.com"),
    azure=Endpoint("https://management.azure.com", "https://management.core.windows.net/"),
    key_vault=Endpoint("https://%VAULTNAME%.vault.azure.net", "https://vault.azure.net"),
    endpoint=Endpoint("https://api.securitycenter.microsoft.com/api", "https://api.securitycenter.microsoft.com"),
    security=Endpoint("https://api.security.microsoft.com/api", "https://api.security.microsoft.com"),
)
_US_GOV: Final = Cloud(
    name="usgov",
    authority="https://login.microsoftonline.us",
    graph=Endpoint("https://graph.microsoft.us", "https://graph.microsoft.us"),
    azure=Endpoint("https://management.usgovcloudapi.net", "https://management.core.usgovcloudapi.net/"),
    key_vault=Endpoint("https://%VAULTNAME%.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
    endpoint=Endpoint("https://api-gov.securitycenter.microsoft.us/api", "https://api-gov.securitycenter.microsoft.us"),
    security=Endpoint("https://api-gov.security.microsoft.us/api", "https://api-gov.security.microsoft.us"),
    token_exchange_audience="api://AzureADTokenExchangeUSGov",
)
_US_GOV_DOD: Final = replace(
    _US_GOV, name="usgovdod", graph=Endpoint("https://dod-graph.microsoft.us", "https://dod-graph.microsoft.us")
)
_CHINA: Final = Cloud(
    name="china",
    authority="https://login.chinacloudapi.cn",
    graph=Endpoint("https://microsoftgraph.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
    azure=Endpoint("https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn/"),
    key_vault=Endpoint("https://%VAULTNAME%.vault.azure.cn", "https://vault.azure.cn"),
    endpoint=None,
    security=None,
    token_exchange_audience="api://AzureADTokenExchangeChina",
)

CLOUDS: Final = MappingProxyType({cloud.name: cloud for cloud in (_GLOBAL, _US_GOV, _US_GOV_DOD, _CHINA)})
"""The clouds Microsoft runs, by name."""

# As Azure CLI, Az and Microsoft.Graph for PowerShell, and azure-identity name them.
_ALIASES: Final = {
    "azurechinacloud": "china",
    "azurecloud": "global",
    "azurepubliccloud": "global",
    "azureusgovernment": "usgov",
    "dod": "usgovdod",
    "gcc": "global",
    "gcchigh": "usgov",
    "public": "global",
    "usgovernment": "usgov",
}


def find_cloud(cloud: str | Cloud) -> Cloud:
    """
    Return the cloud of that name, in any case; a :class:`Cloud` is returned as it is.

    Args:
        cloud: ``"global"``, ``"usgov"``, ``"usgovdod"`` (or ``"dod"``), ``"china"``, or a :class:`Cloud`. The names of
            Azure CLI, such as ``"AzureUSGovernment"``, are understood, too.

    Raises:
        ConfigurationError: If there is no such cloud.
    """
    if isinstance(cloud, Cloud):
        return cloud
    name = cloud.lower().replace("_", "").replace("-", "").strip() if isinstance(cloud, str) else ""
    found = CLOUDS.get(_ALIASES.get(name, name))
    if found is None:
        message = f"There is no cloud {cloud!r}."
        raise ConfigurationError(
            message, field="cloud", hint=f"Use one of {', '.join(CLOUDS)}, or a Cloud of your own."
        )
    return found
