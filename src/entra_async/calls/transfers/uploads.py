"""
Upload sessions: a file goes up in chunks, one after the other, and goes on where it was after a lost connection.

The URL of a session is pre-authenticated, so no token goes there, and no log shows it.

Source:
    https://learn.microsoft.com/en-us/graph/api/driveitem-createuploadsession
    https://learn.microsoft.com/en-us/graph/outlook-large-attachments
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, final

import anyio
import msgspec

from entra_async.calls.context import CallContext
from entra_async.calls.transfers.contents import Content
from entra_async.calls.transfers.upload_plan import Progress, UploadPlan
from entra_async.errors import DecodeError, EntraError, GoneError, NotFoundError, RequestError, TransportError
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import decode_json
from entra_async.rules.http.links import check_https_link
from entra_async.rules.http.ranges import ExpectedRange, chunk_length, read_expected_range
from entra_async.rules.http.urls import strip_path
from entra_async.transport.http.messages import HTTPResponse

__all__ = ("upload_content",)

_LOGGER: Final = logging.getLogger("entra_async")
_OK: Final = 200
_ACCEPTED: Final = 202
_RANGE_NOT_SATISFIABLE: Final = 416
_MAX_IDLE: Final = 3  # responses after which no more bytes have arrived
_CANCEL_S: Final = 10.0
_ATTACHMENT: Final = re.compile(r"/Attachments\('([^']+)'\)", re.IGNORECASE)


async def upload_content(
    context: CallContext, content: Content, plan: UploadPlan, *, progress: Progress | None, timeout_s: float | None
) -> Any:
    """
    Send the content, and return what the service made of it.

    Args:
        context: The connection.
        content: What is sent.
        plan: What goes where.
        progress: Called with the bytes that have arrived.
        timeout_s: Seconds each chunk may take in all.

    Raises:
        ContentChangedError: If the content changed meanwhile. Nothing is left of the upload.
        EntraError: Whatever the pipeline raises.
    """
    if content.size < plan.smallest:
        whole = plan.whole(await content.read(0, content.size))
        response = await context.pipeline.send(whole, timeout_s=timeout_s)
        if progress is not None:
            progress(content.size, content.size)
        return response.json()
    restarted = False
    while True:
        session = await _open_session(context, content, plan, progress, timeout_s)
        try:
            return await session.send()
        except (NotFoundError, GoneError) as error:
            if session.last_is_unconfirmed:
                item = await _find(context, content, plan, error, timeout_s)
                if item is not None:
                    return item
            if restarted or not content.rewindable:
                error.hint = "The upload session has ended before its time. Upload the file again."
                raise
            restarted = True
            _LOGGER.warning("An upload session has ended before its time: the upload begins anew.")
            if progress is not None:
                progress(0, content.size)
        except BaseException:
            await session.cancel()
            raise


async def _open_session(
    context: CallContext, content: Content, plan: UploadPlan, progress: Progress | None, timeout_s: float | None
) -> _UploadSession:
    # A session nobody uses expires by itself, so a second one does no harm.
    response = await context.pipeline.send(plan.create, timeout_s=timeout_s, idempotent=True)
    body = response.json()
    url = body.get("uploadUrl") if isinstance(body, Mapping) else None
    if not isinstance(url, str):
        message = f"POST {response.url} made no upload session."
        raise DecodeError(message, method="POST", url=response.url, attempts=response.attempts)
    url = check_https_link(url, source=plan.create.url)
    return _UploadSession(
        context,
        content,
        url,
        begin=read_expected_range(body) or ExpectedRange(0, None),
        chunk_size=plan.chunk_size,
        progress=progress,
        timeout_s=timeout_s,
    )


async def _find(
    context: CallContext, content: Content, plan: UploadPlan, error: RequestError, timeout_s: float | None
) -> Any | None:
    """Return the item if the last chunk arrived and its response was lost; ``None`` if all can be sent anew."""
    if plan.replaces:
        return None
    if plan.item is not None:
        try:
            item = (await context.pipeline.send(plan.item, timeout_s=timeout_s)).json()
        except NotFoundError:
            return None
        if isinstance(item, Mapping) and item.get("size") == content.size:
            return item
    message = f"PUT {error.url}: the last chunk was sent, but its response was lost: the file may be there, or not."
    hint = "Look for it before you upload it again."
    raise TransportError(message, method="PUT", url=error.url, attempts=error.attempts, hint=hint) from None


@final
class _UploadSession:
    """One upload session; ``last_is_unconfirmed`` is whether the last chunk was sent and its response lost."""

    def __init__(
        self,
        context: CallContext,
        content: Content,
        url: str,
        *,
        begin: ExpectedRange,
        chunk_size: int,
        progress: Progress | None,
        timeout_s: float | None,
    ) -> None:
        self.last_is_unconfirmed = False
        self._preauthenticated = context.preauthenticated
        self._content = content
        self._url = url
        self._wanted = begin
        self._chunk_size = chunk_size
        self._progress = progress
        self._timeout_s = timeout_s
        self._chunk = b""
        self._unconfirmed = False

    async def send(self) -> Any:
        total = self._content.size
        idle = 0
        while True:
            wanted = self._wanted
            length = chunk_length(wanted, total=total, chunk_size=self._chunk_size)
            if length == 0:
                self._fail(f"wants bytes from {wanted.start} on of {total}")
            self._chunk = b""  # lets go of the last one before the next one is read
            self._chunk = await self._content.read(wanted.start, length)
            response = await self._send_chunk()
            body = _decode(response.body)
            following = read_expected_range(body)
            end = wanted.start + length
            if following is None and end == total and response.status != _ACCEPTED:
                self._report(total)
                return body if isinstance(body, Mapping) else _read_location(response)
            if following is None and (response.status != _ACCEPTED or end == total):
                self._fail(f"answered {response.status} after {end} of {total} bytes")
            self._wanted = following or ExpectedRange(end, None)
            idle = idle + 1 if self._wanted.start <= wanted.start else 0
            if idle == _MAX_IDLE:
                self._fail(f"wants the bytes from {self._wanted.start} on again and again")
            self._report(self._wanted.start)

    async def _send_chunk(self) -> Response:
        self._unconfirmed = False
        try:
            return await self._preauthenticated.run(self._attempt, "PUT", self._url, timeout_s=self._timeout_s)
        finally:
            self.last_is_unconfirmed = self._unconfirmed and self._wanted.start + len(self._chunk) == self._content.size

    async def _attempt(self, within_s: float) -> HTTPResponse:
        # Whether a chunk whose response was lost has arrived, only the service knows.
        if self._unconfirmed:
            response = await self._get_state(within_s)
            if response.status != _OK:
                return response
            wanted = read_expected_range(_decode(response.body))
            if wanted is None:
                message = f"GET {strip_path(self._url)}: every byte is there, but the file is not made yet."
                raise TransportError(message, url=strip_path(self._url))
            if wanted.start != self._wanted.start:
                return response
        self._unconfirmed = True
        start, end = self._wanted.start, self._wanted.start + len(self._chunk)
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{end - 1}/{self._content.size}",
        }
        response = await self._preauthenticated.send(
            "PUT", self._url, within_s=within_s, headers=headers, body=self._chunk
        )
        return await self._get_state(within_s) if response.status == _RANGE_NOT_SATISFIABLE else response

    async def _get_state(self, within_s: float) -> HTTPResponse:
        return await self._preauthenticated.send(
            "GET", self._url, within_s=within_s, headers={"Accept": "application/json"}
        )

    async def cancel(self) -> None:
        """Cancel the session. Whether that succeeds matters little: a session expires."""
        with anyio.move_on_after(_CANCEL_S, shield=True):
            try:
                await self._preauthenticated.send("DELETE", self._url, within_s=_CANCEL_S, headers={})
            except EntraError:
                _LOGGER.debug("An upload session could not be ended: it expires.")

    def _report(self, arrived: int) -> None:
        if self._progress is not None:
            self._progress(arrived, self._content.size)

    def _fail(self, what: str) -> NoReturn:
        where = strip_path(self._url)
        message = f"PUT {where}: the upload session {what}."
        raise DecodeError(message, method="PUT", url=where)


def _decode(body: bytes) -> Any:
    try:
        return decode_json(body) if body else None
    except msgspec.DecodeError:
        return None


def _read_location(response: Response) -> dict[str, str]:
    # Outlook names the attachment in a header only.
    location = response.headers.get("Location", "")
    match = _ATTACHMENT.search(location)
    return {"id": match[1]} if match else {}
