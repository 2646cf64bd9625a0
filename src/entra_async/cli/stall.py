"""How long the event loop was kept from its work."""

from __future__ import annotations

import time
from typing import Final

import anyio

__all__ = ("StallMeter",)

_BEAT_S: Final = 0.005


class StallMeter:
    """A task that wants to run every few milliseconds, and notes the longest time it could not."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.perf_counter() + _BEAT_S
            await anyio.sleep(_BEAT_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - due)
