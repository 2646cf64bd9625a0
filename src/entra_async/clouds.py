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

import json
import os
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write it to a JSON file, for :meth:`load` in another process. Blocks as long as that takes.

        Args:
            path: The file; replaced if there is one.
        """
        described = {"version": _VERSION, **asdict(self)}
        Path(path).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Cloud:
        """
        Read it from a JSON file that :meth:`save` wrote, or a person. Blocks as long as that takes.

        Args:
            path: The file.

        Raises:
            ConfigurationError: If the file cannot be read or describes no cloud; the message says where.
        """
        shown = os.fspath(path)
        try:
            with Path(path).open("rb") as file:
                text = file.read(_LARGEST + 1)
        except OSError as error:
            message = f"The cloud cannot be read from {shown!r}: {error.strerror}."
            raise ConfigurationError(message, field="path", hint="Give a file that Cloud.save() wrote.") from error
        try:
            described = json.loads(text) if len(text) <= _LARGEST else None
        except (ValueError, RecursionError):
            described = None
        try:
            return _read(described)
        except _UnreadableError as error:
            message = f"{shown!r} describes no cloud: {error}."
            hint = f"Cloud.save() writes such a file, of {', '.join(field.name for field in fields(cls))}."
            raise ConfigurationError(message, field="path", hint=hint) from None


class _UnreadableError(ValueError):
    """A file describes no cloud; the text says why."""


def _read(described: object) -> Cloud:
    if not isinstance(described, dict):
        message = "it holds no JSON object"
        raise _UnreadableError(message)
    if described.get("version", _VERSION) != _VERSION:
        message = f"its version is {described['version']!r}, and this release reads {_VERSION}"
        raise _UnreadableError(message)
    known = {field.name for field in fields(Cloud)}
    unknown = sorted(described.keys() - known - {"version"})
    if unknown:
        message = f"{unknown[0]!r} means nothing"
        raise _UnreadableError(message)
    values: dict[str, Any] = {}
    for name in sorted(known):
        value = described.get(name)
        if name in _ENDPOINTS:
            values[name] = _read_endpoint(name, value)
        elif value is not None or name != "token_exchange_audience":
            values[name] = _read_text(name, value, is_url=name == "authority")
    if values["authority"].count("/") > _SLASHES:
        message = "'authority' has a path; the tenant is no part of it"
        raise _UnreadableError(message)
    return Cloud(**values)


def _read_endpoint(name: str, value: object) -> Endpoint | None:
    if value is None and _ENDPOINTS[name]:
        return None
    if not isinstance(value, dict) or value.keys() != {"url", "audience"}:
        message = f"{name!r} is no object of 'url' and 'audience'"
        raise _UnreadableError(message)
    url = _read_text(f"{name}.url", value["url"], is_url=True)
    return Endpoint(url, _read_text(f"{name}.audience", value["audience"]))


def _read_text(name: str, value: object, *, is_url: bool = False) -> str:
    if not isinstance(value, str) or not value.strip():
        message = f"{name!r} is missing, or no text"
        raise _UnreadableError(message)
    if is_url and not _URL.fullmatch(value):
        message = f"{name!r} is not an https URL of host and path"
        raise _UnreadableError(message)
    return value.rstrip("/") if is_url else value


# Whether a cloud may lack the service.
_ENDPOINTS: Final = {"graph": False, "azure": False, "key_vault": False, "endpoint": True, "security": True}
# No user name, query or fragment: a token goes there.
_URL: Final = re.compile(r"https://[A-Za-z0-9.\-\[\]:%_]+(/[^\s?#@\\]*)?")
_VERSION: Final = 1
_SLASHES: Final = 2  # of https://
_LARGEST: Final = 1 << 20

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
