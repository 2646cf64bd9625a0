"""Tasks that end with the Session at the latest: started, waited for, and cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Protocol, TypeVar

import anyio

from entra_async.errors import ClosedError

__all__ = ("StartTask", "cancel_all", "finish")

T = TypeVar("T")


class StartTask(Protocol):
    """How a task is started that somebody else ends, if need be."""

    def __call__(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start it."""
        ...


async def finish(task: asyncio.Task[T]) -> T:
    """
    Wait for a task and return its result. Whoever is cancelled meanwhile must cancel it.

    Raises:
        ClosedError: If the Session was closed and ended it.
    """
    try:
        return await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if task.cancelled() and (current is None or not current.cancelling()):
            message = "The Session was closed while a request was on its way."
            raise ClosedError(message, hint="Close the Session after the last call has ended.") from None
        raise


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, also when cancelled."""
    left = set(tasks)
    for task in left:
        task.cancel()
    if left:
        with anyio.CancelScope(shield=True):
            await asyncio.wait(left)
    for task in left:
        if not task.cancelled():
            task.exception()  # nobody is left to handle it
