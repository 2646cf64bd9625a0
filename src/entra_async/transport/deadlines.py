"""Deadlines of requests: one timer for all of a pool's, where asyncio and aiohttp have one for each."""

from __future__ import annotations

import asyncio
from asyncio import current_task
from math import inf
from time import monotonic
from typing import Any, Final, final

import msgspec

__all__ = ("Deadline", "Deadlines")


class Deadline(msgspec.Struct, eq=False):
    """
    The end of what the current task is doing. It cancels the task, as :func:`asyncio.timeout` does.

    Attributes:
        at: When that is, on the monotonic clock, in seconds.
        task: The task.
        cancelling: How many cancellations of the task were pending when it began.
        expired: Whether it has come.
    """

    at: float
    task: asyncio.Task[Any]
    cancelling: int
    expired: bool = False

    def expire(self) -> None:
        """Cancel the task."""
        self.expired = True
        self.task.cancel()

    def caused(self) -> bool:
        """
        Return whether a ``CancelledError`` that the task has just got comes from here and from nobody else.

        Ask once, and raise it again if not: the task is to end, then.
        """
        return self.expired and self.task.uncancel() <= self.cancelling


@final
class Deadlines:
    """
    All deadlines of one event loop. Its timer is set to the soonest, so that a request costs none of its own.

    Attributes:
        running: Those that have begun: ``running.discard(deadline)`` ends one, once what it was for is done.
    """

    def __init__(self) -> None:
        self.running: Final[set[Deadline]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def start(self, seconds: float) -> Deadline:
        """Begin a deadline for the current task."""
        task = current_task()
        assert task is not None
        deadline = Deadline(monotonic() + seconds, task, task.cancelling())
        self.running.add(deadline)
        if deadline.at < self._timer_at:
            self._set_timer(deadline.at)
        return deadline

    def move(self, deadline: Deadline, seconds: float) -> None:
        """Let a deadline come so many seconds from now."""
        deadline.at = monotonic() + seconds
        if deadline.at < self._timer_at:
            self._set_timer(deadline.at)

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
        for deadline in list(self.running):
            if deadline.at <= now:
                self.running.discard(deadline)
                deadline.expire()
            elif deadline.at < soonest:
                soonest = deadline.at
        if soonest < inf:
            self._set_timer(soonest)
