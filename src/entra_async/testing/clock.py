"""The emulator's time, which a test moves instead of waiting."""

from __future__ import annotations

import time

import anyio
import anyio.lowlevel

__all__ = ("EmulatorClock",)


class EmulatorClock:
    """
    Real time, plus however far it was moved.

    Everything the emulator dates or delays goes by this clock, and a Session can be given it too.
    """

    def __init__(self) -> None:
        self._moved_s = 0.0
        self._moved = anyio.Event()
        # Epoch time is derived from the monotonic clock, so that the two never drift apart.
        self._epoch_s = time.time() - time.monotonic()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._epoch_s + self.monotonic()

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic() + self._moved_s

    async def sleep(self, seconds: float) -> None:
        """
        Wait until that many seconds have passed, or the clock was moved past them.

        Args:
            seconds: How long; zero or less lets other tasks run once.
        """
        deadline = self.monotonic() + seconds
        await anyio.lowlevel.checkpoint()
        while (left := deadline - self.monotonic()) > 0:
            with anyio.move_on_after(left):
                await self._moved.wait()

    def move(self, seconds: float) -> None:
        """
        Move the clock forward and wake everyone whose time has come.

        Args:
            seconds: How far, never negative: ``monotonic()`` must not go back.

        Raises:
            ValueError: If *seconds* is negative.
        """
        if seconds < 0:
            message = f"The clock only moves forward, not by {seconds} seconds."
            raise ValueError(message)
        self._moved_s += seconds
        self._moved.set()
        self._moved = anyio.Event()
