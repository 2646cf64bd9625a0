"""A clock that waits for nobody: when no request is on its way, it moves to the next moment somebody waits for."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import anyio

from entra_async.testing import Emulator

_TURNS = 5  # of the loop: so long whoever was answered takes to ask again


class QuietClock:
    """
    The emulator's clock, which is moved while all who use this one sleep.

    Args:
        emulator: Whose clock it is: what the service refills and what the client waits for is the same time.

    Attributes:
        sleeps: Every wait requested, in seconds.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.sleeps: list[float] = []
        self._clock = emulator.clock
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self.now = emulator.clock.now
        self.monotonic = emulator.clock.monotonic

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._due, (self.monotonic() + seconds, next(self._numbers), woken))
        await woken

    @asynccontextmanager
    async def running(self, is_quiet: Callable[[], bool]) -> AsyncIterator[None]:
        """Move the clock whenever *is_quiet* for some turns of the loop."""

        async def move() -> None:
            quiet = 0
            while True:
                await asyncio.sleep(0)
                due = self._due[0][0] if self._due else None
                quiet = quiet + 1 if due is not None and is_quiet() else 0
                if due is not None and (quiet > _TURNS or due <= self.monotonic()):
                    self._clock.move(max(0.0, due - self.monotonic()))
                    while self._due and self._due[0][0] <= self.monotonic():
                        _, _, woken = heapq.heappop(self._due)
                        if not woken.done():
                            woken.set_result(None)
                    quiet = 0

        async with anyio.create_task_group() as group:
            group.start_soon(move)
            yield
            group.cancel_scope.cancel()
