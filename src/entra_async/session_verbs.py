"""The verbs of a Session: each is that of one of its connections, found by the name of the service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any, Unpack

from entra_async.connection import Connection
from entra_async.requests.verbs import InvokeOptions, StreamOptions
from entra_async.tokens.identity import Identity

__all__ = ("SessionVerbs",)


class SessionVerbs(ABC):
    """What can be done with every service that is signed in to."""

    @abstractmethod
    def connection(self, service: str | None = None) -> Connection:
        """Return the connection of that name, or the default one."""

    async def whoami(self, service: str | None = None) -> Identity:
        """
        Return who is signed in: :meth:`Connection.whoami` on the connection of that name, or the default one.

        Args:
            service: See :meth:`connection`.
        """
        return await self.connection(service).whoami()

    async def invoke(self, path: str, *, service: str | None = None, **options: Unpack[InvokeOptions]) -> Any:
        """
        Call a service: :meth:`Connection.invoke` on the connection of that name, or the default one.

        Args:
            path: Below the service's root, such as ``"users"``.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.invoke` takes beside the path.

        Returns:
            A dict, or a list of every item of a collection.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be sent.
            EntraError: Whatever :meth:`Connection.invoke` raises.
        """
        return await self.connection(service).invoke(path, **options)

    def stream(self, path: str, *, service: str | None = None, **options: Unpack[StreamOptions]) -> AsyncGenerator[Any]:
        """
        Yield every item of a collection: :meth:`Connection.stream` on the connection of that name, or the default one.

        Args:
            path: Below the service's root, such as ``"users"``.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.stream` takes beside the path.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be sent.
            EntraError: Whatever :meth:`Connection.stream` raises.
        """
        return self.connection(service).stream(path, **options)
