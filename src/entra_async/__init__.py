"""
Sign in to Microsoft Entra ID and call Microsoft Graph, Azure and Defender from asyncio.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from entra_async.calls.delta.state import DeltaState as DeltaState
    from entra_async.calls.delta.state import DeltaStore as DeltaStore
    from entra_async.calls.operations.operation import Operation as Operation
    from entra_async.calls.paging.stream import Stream as Stream
    from entra_async.calls.request import Request as Request
    from entra_async.calls.transfers.downloads import Download as Download
    from entra_async.clouds import Cloud as Cloud
    from entra_async.clouds import Endpoint as Endpoint
    from entra_async.config import Limits as Limits
    from entra_async.config import RetryPolicy as RetryPolicy
    from entra_async.config import Timeouts as Timeouts
    from entra_async.connection import Connection as Connection
    from entra_async.credentials.browser import Browser as Browser
    from entra_async.credentials.certificate import Certificate as Certificate
    from entra_async.credentials.client_secret import ClientSecret as ClientSecret
    from entra_async.credentials.custom_headers import CustomHeaders as CustomHeaders
    from entra_async.credentials.developer_tools import AzureCli as AzureCli
    from entra_async.credentials.developer_tools import AzureDeveloperCli as AzureDeveloperCli
    from entra_async.credentials.developer_tools import AzurePowerShell as AzurePowerShell
    from entra_async.credentials.device_code import DeviceCode as DeviceCode
    from entra_async.credentials.device_code import DeviceCodePrompt as DeviceCodePrompt
    from entra_async.credentials.federated import Federated as Federated
    from entra_async.credentials.federation.providers import FederationProvider as FederationProvider
    from entra_async.credentials.federation.providers import (
        register_federation_provider as register_federation_provider,
    )
    from entra_async.credentials.key_vault import KeyVault as KeyVault
    from entra_async.credentials.managed_identity import ManagedIdentity as ManagedIdentity
    from entra_async.credentials.on_behalf_of import OnBehalfOf as OnBehalfOf
    from entra_async.credentials.refresh_token import RefreshToken as RefreshToken
    from entra_async.credentials.static_token import StaticToken as StaticToken
    from entra_async.credentials.username_password import UsernamePassword as UsernamePassword
    from entra_async.errors import EntraError as EntraError
    from entra_async.pipeline.limiter import LimiterStats as LimiterStats
    from entra_async.pipeline.response import Response as Response
    from entra_async.rules.filters import Field as Field
    from entra_async.rules.filters import Filter as Filter
    from entra_async.rules.paging.changes import Change as Change
    from entra_async.services import Service as Service
    from entra_async.session import Session as Session
    from entra_async.telemetry.logs import LoggingListener as LoggingListener
    from entra_async.telemetry.otel import OpenTelemetryListener as OpenTelemetryListener
    from entra_async.tokens.identity import Identity as Identity
    from entra_async.tokens.sealing import key_from_environment as key_from_environment
    from entra_async.tokens.sealing import key_from_keyring as key_from_keyring
    from entra_async.tokens.sqlite_store import SQLiteStore as SQLiteStore
    from entra_async.tokens.stats import TokenStats as TokenStats
    from entra_async.tokens.store import MemoryStore as MemoryStore
    from entra_async.tokens.store import TokenStore as TokenStore
    from entra_async.tokens.token import Token as Token

__version__: Final = "0.1.0"

_HOMES: Final = {
    "AzureCli": "entra_async.credentials.developer_tools",
    "AzureDeveloperCli": "entra_async.credentials.developer_tools",
    "AzurePowerShell": "entra_async.credentials.developer_tools",
    "Browser": "entra_async.credentials.browser",
    "Certificate": "entra_async.credentials.certificate",
    "Change": "entra_async.rules.paging.changes",
    "ClientSecret": "entra_async.credentials.client_secret",
    "Cloud": "entra_async.clouds",
    "Connection": "entra_async.connection",
    "CustomHeaders": "entra_async.credentials.custom_headers",
    "DeltaState": "entra_async.calls.delta.state",
    "DeltaStore": "entra_async.calls.delta.state",
    "DeviceCode": "entra_async.credentials.device_code",
    "DeviceCodePrompt": "entra_async.credentials.device_code",
    "Download": "entra_async.calls.transfers.downloads",
    "Endpoint": "entra_async.clouds",
    "EntraError": "entra_async.errors",
    "Federated": "entra_async.credentials.federated",
    "FederationProvider": "entra_async.credentials.federation.providers",
    "Field": "entra_async.rules.filters",
    "Filter": "entra_async.rules.filters",
    "Identity": "entra_async.tokens.identity",
    "KeyVault": "entra_async.credentials.key_vault",
    "LimiterStats": "entra_async.pipeline.limiter",
    "Limits": "entra_async.config",
    "LoggingListener": "entra_async.telemetry.logs",
    "ManagedIdentity": "entra_async.credentials.managed_identity",
    "MemoryStore": "entra_async.tokens.store",
    "OnBehalfOf": "entra_async.credentials.on_behalf_of",
    "OpenTelemetryListener": "entra_async.telemetry.otel",
    "Operation": "entra_async.calls.operations.operation",
    "RefreshToken": "entra_async.credentials.refresh_token",
    "Request": "entra_async.calls.request",
    "Response": "entra_async.pipeline.response",
    "RetryPolicy": "entra_async.config",
    "SQLiteStore": "entra_async.tokens.sqlite_store",
    "Service": "entra_async.services",
    "Session": "entra_async.session",
    "StaticToken": "entra_async.credentials.static_token",
    "Stream": "entra_async.calls.paging.stream",
    "Timeouts": "entra_async.config",
    "Token": "entra_async.tokens.token",
    "TokenStats": "entra_async.tokens.stats",
    "TokenStore": "entra_async.tokens.store",
    "UsernamePassword": "entra_async.credentials.username_password",
    "key_from_environment": "entra_async.tokens.sealing",
    "key_from_keyring": "entra_async.tokens.sealing",
    "register_federation_provider": "entra_async.credentials.federation.providers",
}

__all__ = (  # noqa: PLE0604 - ruff does not see into the star
    "__version__",
    *_HOMES,
)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
