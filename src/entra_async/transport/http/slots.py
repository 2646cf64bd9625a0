"""A limit for how many things happen at once, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, final

from entra_async.errors import ClosedError

__all__ = ("Slots", "wait_for_turn", "wake_next")


async def wait_for_turn(turn: asyncio.Future[None], *, pass_on: Callable[[], None]) -> None:
    """
    Wait for one's turn.

    Args:
        turn: Ends when it has come.
        pass_on: Called if it comes at the very moment in which the wait is cancelled.
    """
    try:
        await turn
    except asyncio.CancelledError:
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            pass_on()
        raise


def wake_next(waiting: deque[asyncio.Future[None]]) -> bool:
    """Let the turn of who waits longest come; return whether somebody waited."""
    while waiting:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            return True
    return False


@final
class Slots:
    """
    So many slots. A semaphore whose fast path is an attribute: ``if slots.free: slots.free -= 1``.

    Args:
        count: How many.

    Attributes:
        free: How many may be taken at once; 0 while somebody waits.
        waiting: Those that do. While there is nobody, ``slots.free += 1`` gives one back.
    """

    __slots__ = ("free", "waiting")

    def __init__(self, count: int) -> None:
        self.free = count
        self.waiting: Final[deque[asyncio.Future[None]]] = deque()

    async def acquire(self) -> None:
        """Take a slot when one is free."""
        if self.free:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await wait_for_turn(turn, pass_on=self.release)

    def close(self) -> None:
        """Let those that wait fail: the Session is closed."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                message = "The Session was closed while a request waited for a slot."
                turn.set_exception(ClosedError(message, hint="Close the Session after the last call has ended."))

    def release(self) -> None:
        """Give a slot back, or on to who waits longest."""
        if not wake_next(self.waiting):
            self.free += 1
