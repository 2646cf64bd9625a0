"""A clock whose sleeps end at once."""

from __future__ import annotations

import time

from anyio.lowlevel import checkpoint


class VirtualClock:
    """
    Keeps its own time: a sleep moves it forward and returns after one turn of the loop.

    Attributes:
        sleeps: Every wait requested, in seconds.
    """

    def __init__(self) -> None:
        self.moved_s = 0.0
        self.sleeps: list[float] = []

    def now(self) -> float:
        return time.time() + self.moved_s

    def monotonic(self) -> float:
        return time.monotonic() + self.moved_s

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.moved_s += seconds
        await checkpoint()
