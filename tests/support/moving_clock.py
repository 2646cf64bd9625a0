"""A clock whose sleeps move the emulator's."""

from __future__ import annotations

from anyio.lowlevel import checkpoint

from entra_async.testing.clock import EmulatorClock


class MovingClock:
    """
    The emulator's time, moved on by whoever would sleep.

    Attributes:
        sleeps: Every wait requested, in seconds.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self.now = clock.now
        self.monotonic = clock.monotonic
        self.sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self._clock.move(seconds)
        await checkpoint()
