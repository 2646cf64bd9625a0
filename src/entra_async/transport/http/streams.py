"""Bodies that are not held in memory at once: sent in pieces, and read as they arrive."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, final

from entra_async.errors import RequestTimeoutError
from entra_async.transport.http.deadlines import Deadlines

__all__ = ("BodyStream", "payload", "send_in_pieces", "stalled")

_PIECE: Final = 128 * 1024  # bytes; TLS encrypts a piece in one go
_LARGE_BYTES: Final = 1 << 20


def stalled(where: str, *, method: str) -> RequestTimeoutError:
    """
    Return the error for a transfer that moves no more.

    Args:
        where: What is shown of the URL.
        method: HTTP method.
    """
    message = f"{method} {where}: nothing moved for too long."
    hint = "Check the network, or raise Timeouts.idle_s, and Timeouts.response_s if the service needs longer."
    return RequestTimeoutError(message, method=method, url=where, hint=hint)


async def send_in_pieces(body: bytes, moved: Callable[[bool], None]) -> AsyncIterator[bytes]:
    """
    Yield *body* in pieces, each when the one before it is on its way.

    Args:
        body: All of it.
        moved: Called whenever something is on its way, with whether that was the last of it.
    """
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
        moved(start + _PIECE >= len(body))


def payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """Return a body as aiohttp takes it: it sends bytes in one piece, which holds up the loop if there are many."""
    return body if body is None or len(body) <= _LARGE_BYTES else io.BytesIO(body)


@final
class BodyStream:
    """
    The body of a response, read as it arrives. A connection and a slot of the pool belong to it until it is closed.

    Args:
        read: Gives the next bytes, none at the end.
        end: Gives connection and slot back.
        stalled: Makes the error for when nothing comes.
        deadlines: The pool's.
        idle_s: Seconds to wait for the next byte.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        end: Callable[[], None],
        *,
        stalled: Callable[[], RequestTimeoutError],
        deadlines: Deadlines,
        idle_s: float,
    ) -> None:
        self._read = read
        self._end: Callable[[], None] | None = end
        self._stalled = stalled
        self._deadlines = deadlines
        self._idle_s = idle_s

    async def read(self) -> bytes:
        """
        Return the next bytes, a few hundred KB at most; none at the end.

        Raises:
            RequestTimeoutError: If nothing comes for too long.
            TransportError: If the response breaks off.
            ClosedError: If the pool was closed.
        """
        task = self._deadlines.start(self._idle_s)
        try:
            return await self._read()
        except asyncio.CancelledError:
            if not self._deadlines.caused(task):
                raise
        finally:
            self._deadlines.running.pop(task, None)
        raise self._stalled()

    def close(self) -> None:
        """Give everything back; what was not read is lost. More than once does no harm."""
        end, self._end = self._end, None
        if end is not None:
            end()
