"""The verbs of a Session: each is that of one of its connections, found by the name of the service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Any, TypeVar, Unpack

from entra_async.calls.background_tasks import StartTask
from entra_async.calls.delta.state import DeltaStore
from entra_async.calls.fan_out import Many, invoke_many
from entra_async.calls.operations.operation import Operation
from entra_async.calls.paging.stream import Stream
from entra_async.calls.request import Request, RequestLike
from entra_async.calls.transfers.contents import Uploadable
from entra_async.calls.transfers.downloads import Download
from entra_async.calls.transfers.transfers import DownloadOptions, OperationOptions, UploadOptions
from entra_async.calls.verbs import DeltaOptions, InvokeOptions, StreamOptions
from entra_async.connection import Connection
from entra_async.rules.paging.changes import Change
from entra_async.tokens.identity import Identity

__all__ = ("SessionVerbs",)

GivenT = TypeVar("GivenT", bound=RequestLike)


class SessionVerbs(ABC):
    """What can be done with every service that is signed in to."""

    @abstractmethod
    def connection(self, service: str | None = None) -> Connection:
        """Return the connection of that name, or the default one."""

    @property
    @abstractmethod
    def _start(self) -> StartTask:
        """Starts a task that ends with the Session at the latest."""

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

    def stream(self, path: str, *, service: str | None = None, **options: Unpack[StreamOptions]) -> Stream:
        """
        Give every item of a collection: :meth:`Connection.stream` on the connection of that name, or the default one.

        Args:
            path: Below the service's root, such as ``"users"``.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.stream` takes beside the path.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be sent.
            EntraError: Whatever :meth:`Connection.stream` raises.
        """
        return self.connection(service).stream(path, **options)

    def delta(
        self, path: str, *, state: DeltaStore, service: str | None = None, **options: Unpack[DeltaOptions]
    ) -> AsyncGenerator[Change]:
        """
        Give every change since *state* was saved: :meth:`Connection.delta` on the connection of that name.

        Args:
            path: A delta function, such as ``"users/delta"``.
            state: Where it is kept how far it came.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.delta` takes beside path and state.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be used.
            EntraError: Whatever :meth:`Connection.delta` raises.
        """
        return self.connection(service).delta(path, state=state, **options)

    async def batch(self, requests: Many[RequestLike], *, service: str | None = None) -> list[Any]:
        """
        Make many calls in few: :meth:`Connection.batch` on the connection of that name, or the default one.

        Args:
            requests: Requests, paths, or mappings of the names a :class:`~entra_async.Request` has.
            service: See :meth:`connection`.

        Returns:
            For each request, at its place, its result or its error.

        Raises:
            ConfigurationError: If the service is not connected or takes no batches, or a request cannot be sent.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        return await self.connection(service).batch(requests)

    def invoke_many(
        self,
        requests: Many[GivenT],
        *,
        ordered: bool = False,
        concurrency: int = 100,
        stop_on_error: bool = False,
    ) -> AsyncGenerator[tuple[GivenT, Any]]:
        """
        Make many calls at once, across services: :meth:`Connection.invoke_many`, each on the connection it names.

        Args:
            requests: Requests, paths, or mappings of the names a :class:`~entra_async.Request` has; ``service`` is the
                connection, the default one if left out.
            ordered: See :meth:`Connection.invoke_many`.
            concurrency: See :meth:`Connection.invoke_many`.
            stop_on_error: See :meth:`Connection.invoke_many`.

        Yields:
            The request, the very object that was given, and its result or its error.

        Raises:
            ConfigurationError: If *requests* or *concurrency* are of no use.
            ClosedError: If the Session is closed, or open in another event loop.
        """

        async def invoke(request: Request) -> Any:
            return await self.connection(request.service).invoke_request(request)

        return invoke_many(
            requests,
            invoke,
            start=self._start,
            concurrency=concurrency,
            ordered=ordered,
            stop_on_error=stop_on_error,
        )

    async def operation(
        self, path: str | None = None, *, service: str | None = None, **options: Unpack[OperationOptions]
    ) -> Operation:
        """
        Begin a long-running operation, or go on with one: :meth:`Connection.operation`.

        Args:
            path: Below the service's root; ``None`` with a *token*.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.operation` takes beside the path.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be sent.
            EntraError: Whatever :meth:`Connection.operation` raises.
        """
        return await self.connection(service).operation(path, **options)

    async def upload(
        self, path: str, content: Uploadable, *, service: str | None = None, **options: Unpack[UploadOptions]
    ) -> Any:
        """
        Upload a file: :meth:`Connection.upload` on the connection of that name, or the default one.

        Args:
            path: The file in a drive, or the attachments of a message or an event.
            content: Bytes, a path, a file opened in binary mode, or what yields bytes.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.upload` takes beside these.

        Returns:
            The item, as the service describes it.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be used.
            EntraError: Whatever :meth:`Connection.upload` raises.
        """
        return await self.connection(service).upload(path, content, **options)

    def download(self, path: str, *, service: str | None = None, **options: Unpack[DownloadOptions]) -> Download:
        """
        Download a file in pieces: :meth:`Connection.download` on the connection of that name, or the default one.

        Args:
            path: What to GET.
            service: See :meth:`connection`.
            options: Whatever :meth:`Connection.download` takes beside the path.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be used.
            EntraError: Whatever :meth:`Connection.download` raises.
        """
        return self.connection(service).download(path, **options)
