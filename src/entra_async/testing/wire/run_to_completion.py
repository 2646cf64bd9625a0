"""Running work to its end although its task is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ("run_to_completion",)


async def run_to_completion(work: Coroutine[Any, Any, None]) -> None:
    """
    Run *work* to its end, and only then let a cancellation through.

    Work in a thread goes on when its task is cancelled, and what it makes would be left behind.

    Args:
        work: What to run; it gets a task of its own.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
        raise
