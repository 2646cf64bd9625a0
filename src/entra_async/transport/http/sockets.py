"""The sockets of a pool, which can be closed whatever became of the connections on them."""

from __future__ import annotations

import asyncio
import os
import socket
import weakref
from contextlib import suppress
from typing import Any, Final, final

__all__ = ("Sockets",)

_TURNS: Final = 20  # of the loop


@final
class Sockets:
    """The sockets that a pool has opened and not closed yet."""

    def __init__(self) -> None:
        self._all: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def make(self, address: tuple[Any, ...]) -> socket.socket:
        """Return a new socket for an address: aiohttp's ``socket_factory``."""
        made = socket.socket(*address[:3])
        self._all.add(made)
        return made

    async def end(self) -> None:
        """
        Close those that are still open: call it when the client is closed.

        A connection that was closed in the middle of a response waits for the peer's close_notify (TLS), which may come
        after the event loop has ended, or never.
        """
        for _ in range(_TURNS):
            still_open = [each for each in self._all if each.fileno() >= 0]
            if not still_open:
                return
            for each in still_open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0)

    def leave(self) -> None:
        """
        Leave them to the process that this one was forked from.

        The connections are shared: a close_notify from here would end them over there as well.
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        for each in self._all:
            if each.fileno() >= 0:
                os.dup2(nowhere, each.fileno())
        os.close(nowhere)
