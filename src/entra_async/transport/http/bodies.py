"""Read bodies into memory, up to a limit that is checked while they arrive, decompressed."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Final, Protocol

from entra_async.errors import TransportError

if TYPE_CHECKING:
    from entra_async.transport.http.messages import HTTPRequest
    from entra_async.transport.http.streams import BodyStream

__all__ = ("read_body", "read_stream")

_TURN_BYTES: Final = 1 << 20  # so much may be decompressed before others have their turn


def _too_large(request: HTTPRequest, max_bytes: int) -> TransportError:
    """
    Return the error for a response that is not read to its end.

    Args:
        request: What was sent.
        max_bytes: The limit.
    """
    where = request.where
    message = f"{request.method} {where}: the response is larger than {max_bytes:,} bytes"
    if request.response_bytes:
        message = f"{message}, the limit of a token or discovery response."
        hint = "See what answers in the place of the token service: a proxy, say."
    else:
        message = f"{message} (Limits.response_bytes)."
        hint = "Get it with download() or stream(), which hold little of it in memory, or raise Limits.response_bytes."
    error = TransportError(message, method=request.method, url=where, hint=hint)
    error.max_attempts = 1
    return error


class _Content(Protocol):
    def is_eof(self) -> bool: ...
    async def readany(self) -> bytes: ...


class _Received(Protocol):
    """What is used of aiohttp's response."""

    @property
    def content(self) -> _Content: ...
    @property
    def content_length(self) -> int | None: ...
    async def read(self) -> bytes: ...
    def close(self) -> None: ...


async def read_body(response: _Received, request: HTTPRequest, max_bytes: int) -> bytes:
    """
    Return the body of a response, and give its connection back.

    Args:
        response: Its headers have arrived.
        request: What was sent.
        max_bytes: The limit.

    Raises:
        TransportError: If it is larger. The connection is closed.
    """
    content, buffer = response.content, io.BytesIO()
    turn = _TURN_BYTES
    try:
        if (response.content_length or 0) > max_bytes and not content.is_eof():
            raise _too_large(request, max_bytes)
        # Never read(): that has aiohttp decompress without a limit whatever has arrived.
        while piece := await content.readany():
            if buffer.tell() + len(piece) > max_bytes:
                raise _too_large(request, max_bytes)
            if buffer.write(piece) and buffer.tell() > turn:
                turn = buffer.tell() + _TURN_BYTES
                await asyncio.sleep(0)
    except BaseException:
        response.close()
        raise
    await response.read()  # nothing is left: it waits until the connection is given back
    return buffer.getvalue()


async def read_stream(stream: BodyStream, request: HTTPRequest, max_bytes: int) -> bytes:
    """
    Return the rest of a stream, and close it.

    Args:
        stream: The body as it arrives.
        request: What was sent.
        max_bytes: The limit.

    Raises:
        TransportError: If it is larger; else see :meth:`entra_async.transport.http.streams.BodyStream.read`.
    """
    buffer = io.BytesIO()
    try:
        while piece := await stream.read():
            if buffer.tell() + len(piece) > max_bytes:
                raise _too_large(request, max_bytes)
            buffer.write(piece)
    finally:
        stream.close()
    return buffer.getvalue()
