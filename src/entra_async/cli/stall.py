"""Measure how long the event loop was blocked."""

from __future__ import annotations

import time
from typing import Final

import anyio

__all__ = ("StallMeter",)

_INTERVAL_S: Final = 0.005


class StallMeter:
    """A task that is due every few milliseconds, and measures its longest delay."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.perf_counter() + _INTERVAL_S
            await anyio.sleep(_INTERVAL_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - due)
