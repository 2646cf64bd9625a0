"""A context manager that starts once, when a block is entered, and stops when it is left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from entra_async.testing.wire.run_to_completion import run_to_completion

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ("SingleUseContext",)


class SingleUseContext(ABC):
    """
    Runs for one ``async with`` block.

    Neither a cancellation nor an error on the way in leaves anything behind.
    """

    def __init__(self) -> None:
        self._running: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        if self._running is not None:
            message = f"An {type(self).__name__} is used for one block; make another one."
            raise RuntimeError(message)
        self._running = AsyncExitStack()
        try:
            await run_to_completion(self._start(self._running))
        except BaseException:
            await run_to_completion(self._running.aclose())
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            await run_to_completion(self._running.aclose())

    def _check_entered(self) -> None:
        if self._running is None:
            name = type(self).__name__
            message = f"Enter the {name.lower()} first: async with {name}() as {name.lower()}."
            raise RuntimeError(message)

    @abstractmethod
    async def _start(self, running: AsyncExitStack) -> None:
        """Start everything; *running* ends it."""
