"""The verbs for what takes long: operations, uploads and downloads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, TypedDict

from entra_async.calls.channel import Channel
from entra_async.calls.operations.operation import Operation, begin_operation, resume_operation
from entra_async.calls.prepare import check_call
from entra_async.calls.transfers.contents import Uploadable, open_content
from entra_async.calls.transfers.downloads import Download
from entra_async.calls.transfers.upload_plan import ConflictBehavior, Progress, plan_upload
from entra_async.calls.transfers.uploads import upload_content
from entra_async.errors import ConfigurationError

__all__ = ("DownloadOptions", "OperationOptions", "Transfers", "UploadOptions")


class _TransferOptions(TypedDict, total=False):
    headers: Mapping[str, str] | None
    parameters: Mapping[str, str] | None
    required_scopes: Iterable[str] | None
    timeout: float | None


class OperationOptions(_TransferOptions, total=False):
    """What :meth:`Connection.operation` takes beside the path."""

    method: str
    query: Mapping[str, object] | None
    body: Any
    content_type: str | None
    idempotent: bool | None
    token: str | None


class UploadOptions(_TransferOptions, total=False):
    """What :meth:`Connection.upload` takes beside the path and the content."""

    size: int | None
    name: str | None
    conflict_behavior: ConflictBehavior | None
    chunk_size: int | None
    progress: Progress | None


class DownloadOptions(_TransferOptions, total=False):
    """What :meth:`Connection.download` takes beside the path."""

    to: str | os.PathLike[str] | None
    query: Mapping[str, object] | None


class Transfers:
    """What can be done with a service that takes longer than an answer."""

    _channel: Channel

    async def operation(
        self,
        path: str | None = None,
        *,
        method: str = "POST",
        query: Mapping[str, object] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        parameters: Mapping[str, str] | None = None,
        required_scopes: Iterable[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - covers the waits between attempts, too
        idempotent: bool | None = None,
        token: str | None = None,
    ) -> Operation:
        """
        Begin a long-running operation, or go on with one.

        ::

            operation = await arm.operation(path, method="PUT", body=machine)
            machine = await operation

        Azure's ``Azure-AsyncOperation``, ``Location`` and ``provisioningState`` are understood, and Graph's monitors,
        which are asked without the token if they are on another host. It is asked after no sooner than the service
        wants. An answer that is final is an operation that is over.

        Args:
            path: See :meth:`invoke`; ``None`` with a *token*.
            method: HTTP method.
            query: See :meth:`invoke`.
            body: See :meth:`invoke`.
            headers: Sent with the first request only.
            content_type: See :meth:`invoke`.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds each request may take in all; how long to wait for the end is told to its ``result()``.
            idempotent: See :meth:`invoke`.
            token: :attr:`Operation.token` of one that was begun before, here or elsewhere: it is asked once how it
                stands.

        Returns:
            The operation: ``await`` it for its result.

        Raises:
            ConfigurationError: If an argument cannot be sent, or the token is of another service. Nothing was sent.
            UnsafeLinkError: If the service names no https URL to ask.
            EntraError: Whatever :meth:`invoke` raises.

        Sources:
            https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
            https://learn.microsoft.com/en-us/graph/long-running-actions-overview
        """
        check_call(None, timeout)
        channel = self._channel
        root = channel.base(parameters)
        if (path is None) is (token is None):
            message = "operation() takes either a path or a token."
            raise ConfigurationError(message, field="token", hint="Give a path to begin one, a token to go on with it.")
        if path is None:
            await channel.permit(required_scopes)
            return await resume_operation(channel, token, root=root, timeout_s=timeout)
        prepared = channel.prepare(
            path,
            method=method,
            query=query,
            headers=headers,
            body=body,
            content_type=content_type,
            parameters=parameters,
        )
        await channel.permit(required_scopes)
        return await begin_operation(channel, prepared, root=root, timeout_s=timeout, idempotent=idempotent)

    async def upload(
        self,
        path: str,
        content: Uploadable,
        *,
        size: int | None = None,
        name: str | None = None,
        conflict_behavior: ConflictBehavior | None = None,
        chunk_size: int | None = None,
        progress: Progress | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        required_scopes: Iterable[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - covers the waits between attempts, too
    ) -> Any:
        """
        Upload a file to a drive, or attach one to a message or an event: ``await graph.upload(path, "report.pdf")``.

        An upload session takes it in chunks, of which one or two are in memory. After a lost link, an error of the
        service or a pause it asked for, the service is asked what it has, and gets the rest. What fails or is cancelled
        leaves nothing behind. Neither the token nor a header of the service goes to the session's host.

        Args:
            path: The file in a drive, new (``"users/{id}/drive/root:/reports/2026.xlsx"``) or there already
                (``"drives/{id}/items/{id}"``); or ``"users/{id}/messages/{id}/attachments"``.
            content: Bytes, a path, a file opened in binary mode (sent from where it stands), or what yields bytes.
            size: Bytes in all; needed only where it cannot be measured.
            name: What an attachment is called; by default as the file whose path *content* is.
            conflict_behavior: ``"fail"``, ``"replace"`` or ``"rename"``, if there is a file of that name already; the
                service's own default is to fail.
            chunk_size: Bytes sent at once, a multiple of 327,680; by default 10 MiB, of an attachment 3.75 MiB.
            progress: Called with the bytes that have arrived and the bytes in all. The first number falls if the
                service lost some, and to 0 if the session ended before its time and the upload begins anew, which it
                does once.
            headers: Sent with the request that makes the session, such as ``If-Match``.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds each chunk may take in all, repetitions included; 300 by default.

        Returns:
            The item, as the service describes it; of a large attachment its ``id`` only.

        Raises:
            ConfigurationError: If the content cannot be read or measured, or an argument is unfit. Nothing was sent.
            ConflictError: If there is a file of that name.
            ContentChangedError: If the content changed, or ended early, while it was read.
            TransportError: If the link is lost for good; with ``sent`` if the file may be there all the same.
            EntraError: Whatever :meth:`invoke` raises.

        Sources:
            https://learn.microsoft.com/en-us/graph/api/driveitem-createuploadsession
            https://learn.microsoft.com/en-us/graph/outlook-large-attachments
        """
        check_call(None, timeout)
        if name is None and isinstance(content, str | os.PathLike) and path.rstrip("/").endswith("/attachments"):
            name = PurePath(content).name
        channel = self._channel
        async with open_content(content, size) as opened:
            plan = plan_upload(
                channel.prepare,
                path,
                size=opened.size,
                name=name,
                conflict_behavior=conflict_behavior,
                chunk_size=chunk_size,
                headers=headers,
                parameters=parameters,
            )
            await channel.permit(required_scopes)
            return await upload_content(channel, opened, plan, progress=progress, timeout_s=timeout)

    def download(
        self,
        path: str,
        *,
        to: str | os.PathLike[str] | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        required_scopes: Iterable[str] | None = None,
        timeout: float | None = None,
    ) -> Download:
        """
        Download a file in pieces.

        ::

            await graph.download("users/{id}/drive/items/{id}/content", to="report.pdf")
            async with graph.download("users/{id}/drive/items/{id}/content") as download:
                async for piece in download: ...

        It goes on where it was after a lost link. Less than the whole is never taken for it, and parts of two versions
        are never put together: what changes midway is downloaded anew if it goes to a file, else it is an error.

        Args:
            path: What to GET, such as ``"users/{id}/drive/root:/report.pdf:/content"``.
            to: Where to write it: there as a whole or not at all. Without it nothing is kept, and no more than a few
                hundred KB are in memory.
            query: See :meth:`invoke`.
            headers: See :meth:`invoke`.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds it may take until the first byte; then it may take as long as something arrives.

        Returns:
            The download: ``await`` it for the number of bytes that were written, or enter it.

        Raises:
            ConfigurationError: If an argument cannot be used. Nothing was sent.
            ContentChangedError: If the content changed midway.
            TransportError: If the link is lost for good, or the service gives nothing to go on with after it.
            EntraError: Whatever :meth:`invoke` raises.

        Source:
            https://learn.microsoft.com/en-us/graph/api/driveitem-get-content
        """
        check_call(None, timeout)
        accept = {} if any(str(name).lower() == "accept" for name in headers or ()) else {"Accept": "*/*"}
        prepared = self._channel.prepare(
            path, query=query, headers={**accept, **(headers or {})}, parameters=parameters
        )
        return Download(self._channel, prepared, to=to, required_scopes=required_scopes, timeout_s=timeout)
