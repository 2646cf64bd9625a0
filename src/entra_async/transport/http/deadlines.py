"""Deadlines of requests: one timer for all of a pool's, where asyncio and aiohttp have one for each."""

from __future__ import annotations

import asyncio
from asyncio import current_task
from math import inf
from time import monotonic
from typing import Any, Final, final

__all__ = ("Deadlines",)

_EXPIRED: Final = -inf


@final
class Deadlines:
    """
    The deadlines of tasks of one event loop, one for each task at a time.

    One that comes cancels its task, as :func:`asyncio.timeout` does. The timer is set to the soonest, so that a request
    costs none of its own.

    Attributes:
        running: When the deadline of each task is, on the monotonic clock, and how many cancellations of the task were
            pending when it began: ``running.pop(task, None)`` ends it, once what it was for is done.
    """

    def __init__(self) -> None:
        self.running: Final[dict[asyncio.Task[Any], tuple[float, int]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def start(self, seconds: float) -> asyncio.Task[Any]:
        """Begin a deadline for the current task, and return that."""
        task = current_task()
        assert task is not None
        at = monotonic() + seconds
        self.running[task] = at, task.cancelling()
        if at < self._timer_at:
            self._set_timer(at)
        return task

    def move(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Let the deadline of a task come so many seconds from now."""
        at, cancelling = self.running.get(task, (_EXPIRED, 0))
        if at != _EXPIRED:
            at = monotonic() + seconds
            self.running[task] = at, cancelling
            if at < self._timer_at:
                self._set_timer(at)

    def caused(self, task: asyncio.Task[Any]) -> bool:
        """
        Return whether a ``CancelledError`` that a task has just got comes from its deadline and from nobody else.

        Ask once, and raise it again if not: the task is to end, then.
        """
        at, cancelling = self.running[task]
        return at == _EXPIRED and task.uncancel() <= cancelling

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf

    def _set_timer(self, at: float) -> None:
        self.close()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - monotonic()), self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, inf
        now, soonest = monotonic(), inf
        for task, (at, cancelling) in list(self.running.items()):
            if at > now:
                soonest = min(soonest, at)
            elif at != _EXPIRED:
                self.running[task] = _EXPIRED, cancelling
                task.cancel()
        if soonest < inf:
            self._set_timer(soonest)
