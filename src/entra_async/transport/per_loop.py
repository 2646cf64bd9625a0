"""Objects that belong to one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar, final

__all__ = ("PerLoop",)

T = TypeVar("T")


@final
class PerLoop(Generic[T]):
    """
    A lock or a limiter, and a new one in the next event loop, which may be that of a forked process.

    A task that holds the old one ended with its loop, and would never release it.

    Args:
        make: Makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Final = make
        self._made: tuple[asyncio.AbstractEventLoop, T] | None = None

    def get(self) -> T:
        """Return the one of the running loop."""
        loop = asyncio.get_running_loop()
        if self._made is None or self._made[0] is not loop:
            self._made = loop, self._make()
        return self._made[1]
