"""The verbs for long-running operations, uploads and downloads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, Final, Unpack, cast

import msgspec

from entra_async.calls.operations.operation import Operation, begin_operation, resume_operation
from entra_async.calls.prepare import check_call
from entra_async.calls.request import (
    COMMON_OPTIONS,
    READ_OPTIONS,
    SEND_OPTIONS,
    CommonOptions,
    ReadOptions,
    Request,
    SendOptions,
    make_request,
)
from entra_async.calls.transfers.contents import Uploadable, open_content
from entra_async.calls.transfers.downloads import Download
from entra_async.calls.transfers.upload_plan import ConflictBehavior, Progress, plan_upload
from entra_async.calls.transfers.uploads import upload_content
from entra_async.calls.verbs import Verbs
from entra_async.errors import ConfigurationError
from entra_async.rules.http.paths import Path

__all__ = ("TransferVerbs",)

_UPLOAD_OPTIONS: Final = ("size", "name", "conflict_behavior", "chunk_size", "progress")


class TransferVerbs(Verbs):
    """The verbs for what takes longer than one response."""

    async def operation(
        self, path: Path | None = None, *, token: str | None = None, **options: Unpack[SendOptions]
    ) -> Operation:
        """
        Begin a long-running operation, or go on with one.

        ::

            operation = await arm.operation(path, method="PUT", body=machine)
            machine = await operation

        Azure's ``Azure-AsyncOperation``, ``Location`` and ``provisioningState`` are understood, and Graph's monitors,
        which are polled without the token if they are on another host. It is polled no sooner than the service says. If
        the first response is final, the operation has ended.

        Args:
            path: See :meth:`invoke`; ``None`` with a *token*.
            method: HTTP method; ``"POST"`` by default.
            query: See :meth:`invoke`.
            body: See :meth:`invoke`.
            headers: Sent with the first request only.
            content_type: See :meth:`invoke`.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds each request may take in all; ``result()`` takes how long to wait for the end.
            idempotent: See :meth:`invoke`.
            service: See :meth:`invoke`.
            token: :attr:`Operation.token` of one that was begun before, here or elsewhere: it is polled once.

        Returns:
            The operation: ``await`` it for its result.

        Raises:
            ConfigurationError: If an argument cannot be sent, or the token is of another service. Nothing was sent.
            UnsafeLinkError: If the service names no https URL to poll.
            EntraError: Whatever :meth:`invoke` raises.

        Sources:
            https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
            https://learn.microsoft.com/en-us/graph/long-running-actions-overview
        """
        request = make_request(
            path or "", cast("Mapping[str, Any]", options), SEND_OPTIONS, own=("token",), method="POST"
        )
        context = self._find(request.service)
        check_call(None, request.timeout)
        root = context.base_url.base(request.parameters)
        if (path is None) is (token is None):
            message = "operation() takes either a path or a token."
            raise ConfigurationError(message, field="token", hint="Give a path to begin one, a token to go on with it.")
        if path is None:
            await context.access.check(request.required_scopes)
            return await resume_operation(context, token, root=root, timeout_s=request.timeout)
        prepared = context.prepare(request)
        await context.access.check(request.required_scopes)
        return await begin_operation(context, request, prepared, root=root)

    async def upload(
        self,
        path: Path,
        content: Uploadable,
        *,
        size: int | None = None,
        name: str | None = None,
        conflict_behavior: ConflictBehavior | None = None,
        chunk_size: int | None = None,
        progress: Progress | None = None,
        **options: Unpack[CommonOptions],
    ) -> Any:
        """
        Upload a file to a drive, or attach one to a message or an event: ``await graph.upload(path, "report.pdf")``.

        An upload session takes it in chunks, of which one or two are in memory. After a lost connection, an error of
        the service or a 429, the session's expected ranges are requested, and the rest is sent. What fails or is
        cancelled leaves nothing behind. Neither the token nor a header of the service goes to the session's host.

        Args:
            path: The file in a drive, new (``"users/{id}/drive/root:/reports/2026.xlsx"``) or there already
                (``"drives/{id}/items/{id}"``); or ``"users/{id}/messages/{id}/attachments"``.
            content: Bytes, a path, a file opened in binary mode (sent from its position), or what yields bytes.
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
            service: See :meth:`invoke`.

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
        request = make_request(path, cast("Mapping[str, Any]", options), COMMON_OPTIONS, own=_UPLOAD_OPTIONS)
        context = self._find(request.service)
        check_call(None, request.timeout)
        if (
            name is None
            and isinstance(content, str | os.PathLike)
            and isinstance(request.path, str)
            and request.path.rstrip("/").endswith("/attachments")
        ):
            name = PurePath(content).name
        async with open_content(content, size) as opened:
            plan = plan_upload(
                context.prepare,
                request,
                size=opened.size,
                name=name,
                conflict_behavior=conflict_behavior,
                chunk_size=chunk_size,
            )
            await context.access.check(request.required_scopes)
            return await upload_content(context, opened, plan, progress=progress, timeout_s=request.timeout)

    def download(
        self, path: Path, *, to: str | os.PathLike[str] | None = None, **options: Unpack[ReadOptions]
    ) -> Download:
        """
        Download a file in pieces.

        ::

            await graph.download("users/{id}/drive/items/{id}/content", to="report.pdf")
            async with graph.download("users/{id}/drive/items/{id}/content") as download:
                async for piece in download: ...

        It goes on where it was after a lost connection. Less than the whole is an error, and parts of two versions are
        never put together: what changes midway is downloaded anew if it goes to a file, else it is an error.

        Args:
            path: What to GET, such as ``"users/{id}/drive/root:/report.pdf:/content"``.
            to: Where to write it: there as a whole or not at all. Without it nothing is kept, and no more than a few
                hundred KB are in memory.
            query: See :meth:`invoke`.
            headers: See :meth:`invoke`.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds it may take until the first byte; then it may take as long as something arrives.
            service: See :meth:`invoke`.

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
        request = make_request(path, cast("Mapping[str, Any]", options), READ_OPTIONS, own=("to",))
        context = self._find(request.service)
        given = request.headers
        if given is None or (isinstance(given, Mapping) and all(str(name).lower() != "accept" for name in given)):
            request = msgspec.structs.replace(request, headers={"Accept": "*/*", **(given or {})})
        return Download(context, request, context.prepare(request), to=to)


def _is_for_attachments(request: Request) -> bool:
    return isinstance(request.path, str) and request.path.rstrip("/").endswith("/attachments")
