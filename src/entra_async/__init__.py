"""
Sign in to Microsoft Entra ID and call Microsoft Graph, Azure and Defender from asyncio.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from entra_async.clouds import Cloud as Cloud
    from entra_async.clouds import Endpoint as Endpoint
    from entra_async.config import Limits as Limits
    from entra_async.config import RetryPolicy as RetryPolicy
    from entra_async.config import Timeouts as Timeouts
    from entra_async.connection import Connection as Connection
    from entra_async.credentials.certificate import Certificate as Certificate
    from entra_async.credentials.client_secret import ClientSecret as ClientSecret
    from entra_async.errors import EntraError as EntraError
    from entra_async.pipeline.response import Response as Response
    from entra_async.services import Service as Service
    from entra_async.session import Session as Session
    from entra_async.tokens.token import Token as Token

__version__: Final = "0.1.0"

_HOMES: Final = {
    "Certificate": "entra_async.credentials.certificate",
    "ClientSecret": "entra_async.credentials.client_secret",
    "Cloud": "entra_async.clouds",
    "Connection": "entra_async.connection",
    "Endpoint": "entra_async.clouds",
    "EntraError": "entra_async.errors",
    "Limits": "entra_async.config",
    "Response": "entra_async.pipeline.response",
    "RetryPolicy": "entra_async.config",
    "Service": "entra_async.services",
    "Session": "entra_async.session",
    "Timeouts": "entra_async.config",
    "Token": "entra_async.tokens.token",
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
