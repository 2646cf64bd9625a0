"""
Downloads: a file comes as it is, in pieces, and goes on where it was after a lost connection.

A drive responds with a redirect to a pre-authenticated URL: no token goes there, and a range is requested from that URL
only. Parts are put together only if a strong ETag shows that they are of one and the same content
(RFC 9110, section 15.3.7.3).

Source:
    https://learn.microsoft.com/en-us/graph/api/driveitem-get-content
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Generator
from typing import Any, Final, Self, final

from entra_async.calls.context import CallContext
from entra_async.calls.request import Request
from entra_async.calls.transfers.saving import saving
from entra_async.errors import (
    APIStatusError,
    ConfigurationError,
    ContentChangedError,
    DecodeError,
    RequestError,
    TransportError,
)
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.pipeline.response import Response
from entra_async.rules.http.links import check_https_link
from entra_async.rules.http.ranges import parse_content_range
from entra_async.rules.http.retry import Outcome, decide_delay_s
from entra_async.rules.http.urls import origin_of, strip_query
from entra_async.transport.http.streams import BodyStream

__all__ = ("Download",)

_PARTIAL: Final = 206
_CHANGED: Final = frozenset({412, 416})
_MAX_REDIRECTS: Final = 5
_RESTARTS: Final = 3
# The headers that a download sets itself.
_OURS: Final = frozenset({"range", "if-range", "if-match", "if-none-match", "if-modified-since", "accept-encoding"})


@final
class Download:
    """
    A download: ``async with`` it and iterate over its bytes, or ``await`` it if it was given a file to write.

    Made by :meth:`entra_async.Connection.download`.

    Attributes:
        size: Bytes in all, or ``None`` if the service does not say; known when it is entered.
        received: Bytes that have arrived.
        content_type: What it is, as the service says, or ``None``.
        etag: The version of the content, as the service says, or ``None``.
    """

    def __init__(
        self,
        context: CallContext,
        request: Request,
        prepared: PreparedRequest,
        *,
        to: str | os.PathLike[str] | None,
    ) -> None:
        for name in prepared.headers:
            if name.lower() in _OURS:
                message = f"The header {name!r} is set by the download."
                raise ConfigurationError(message, field="headers", hint="Leave it out.")
        self.size: int | None = None
        self.received = 0
        self.content_type: str | None = None
        self.etag: str | None = None
        self._context = context
        self._request = request
        self._prepared = prepared
        self._to = to
        self._stream: BodyStream | None = None
        self._where = ""
        self._direct = False  # whether the service sends the bytes itself
        self._skip = 0
        self._failures = 0

    def __repr__(self) -> str:
        return f"<Download {self.received} of {self.size} bytes>"

    def __await__(self) -> Generator[Any, Any, int]:
        return self._save().__await__()

    async def __aenter__(self) -> Self:
        if self._to is not None:
            message = "A download with to= is awaited, not entered."
            raise ConfigurationError(message, field="to", hint="Leave out to=, or write 'await graph.download(…)'.")
        await self._context.access.check(self._request.required_scopes)
        await self._open(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._stream is None:
                raise StopAsyncIteration
            try:
                data = await self._stream.read()
                if not data and self.size is not None and self.received < self.size:
                    raise self._incomplete()
            except TransportError as error:
                await self._resume(error)
                continue
            if not data:
                self._close()
                raise StopAsyncIteration
            if self._skip:
                skipped = min(self._skip, len(data))
                self._skip -= skipped
                data = data[skipped:]
            if data:
                self._failures = 0
                self.received += len(data)
                return data

    async def _save(self) -> int:
        if self._to is None:
            message = "The download has no file to write."
            raise ConfigurationError(message, field="to", hint="Give to=, or use it with 'async with'.")
        async with saving(self._to) as file:
            await self._context.access.check(self._request.required_scopes)
            for left in reversed(range(_RESTARTS)):
                try:
                    await self._open(0)
                    async for data in self:
                        await file.write(data)
                    break
                except (ContentChangedError, TransportError) as error:
                    # A whole new copy is as good; parts of different ones are of no use.
                    if not left or (isinstance(error, TransportError) and not self._must_restart):
                        raise
                    await file.restart()
                finally:
                    self._close()
        return self.received

    @property
    def _must_restart(self) -> bool:
        return self.received > 0 and not _is_strong(self.etag)

    async def _open(self, start: int) -> None:
        try:
            response = await self._get(start)
        except APIStatusError as error:
            if start and error.status in _CHANGED:
                raise self._changed() from None
            raise
        self._stream = response.stream
        try:
            self._check(response, start)
        except RequestError:
            self._close()
            raise

    async def _get(self, start: int) -> Response:
        part = {"Range": f"bytes={start}-", "If-Range": self.etag} if start and self.etag is not None else {}
        # Compressed bytes have other offsets.
        url, timeout_s = self._prepared.url, self._request.timeout
        own = self._prepared.headers.copy()
        own["Accept-Encoding"] = "identity"
        for _ in range(_MAX_REDIRECTS):
            headers = own.copy()
            headers.update(part if self._direct else {})
            response = await self._context.pipeline.send(
                PreparedRequest("GET", url, headers), timeout_s=timeout_s, follow=False, streamed=True
            )
            if response.stream is not None:
                self._direct = True
                return response
            url = check_https_link(response.headers.get("Location"), source=url)
            if origin_of(url) != origin_of(self._prepared.url):
                return await self._context.preauthenticated.get(
                    url,
                    headers={"Accept": "*/*", "Accept-Encoding": "identity", **part},
                    timeout_s=timeout_s,
                    streamed=True,
                )
        message = f"GET {strip_query(self._prepared.url)} was redirected more than {_MAX_REDIRECTS} times."
        raise RequestError(message, url=strip_query(self._prepared.url))

    def _check(self, response: Response, start: int) -> None:
        headers = response.headers
        self._where = response.url
        encoding = headers.get("Content-Encoding", "identity")
        part = parse_content_range(headers.get("Content-Range")) if response.status == _PARTIAL else None
        if encoding.lower() != "identity" or (response.status == _PARTIAL and (part is None or part.start != start)):
            message = f"GET {response.url} answered with other bytes than were requested."
            raise DecodeError(message, url=response.url, attempts=response.attempts)
        etag = headers.get("ETag")
        if start:
            total = self.size if part is None else part.total
            if etag != self.etag or total not in {None, self.size}:
                raise self._changed()
            self._skip = 0 if part is not None else start  # the range was ignored: the same bytes come again
            return
        length = headers.get("Content-Length", "")
        self.size = int(length) if length.isascii() and length.isdigit() else None
        self.received = self._skip = 0
        self.etag, self.content_type = etag, headers.get("Content-Type")

    async def _resume(self, error: TransportError) -> None:
        self._close()
        self._failures += 1
        delay_s = decide_delay_s(
            Outcome(None),
            idempotent=True,
            attempt=self._failures,
            elapsed_s=0.0,  # it may take as long as something arrives
            chance=random.random(),  # noqa: S311 - spreads load
            policy=self._context.preauthenticated.policy,
        )
        if delay_s is None:
            raise error
        if self._must_restart:
            error.hint = "The service gives no ETag to go on with; download it again, or with to=, which does so."
            raise error
        await self._context.clock.sleep(delay_s)
        await self._open(self.received)

    def _incomplete(self) -> TransportError:
        message = f"GET {self._where}: the response ended after {self.received} of {self.size} bytes."
        return TransportError(message, url=self._where)

    def _changed(self) -> ContentChangedError:
        message = f"GET {self._where}: the content changed after {self.received} bytes of it had arrived."
        return ContentChangedError(message, url=self._where, hint="Download it again.")

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _is_strong(etag: str | None) -> bool:
    return etag is not None and not etag.startswith("W/")
