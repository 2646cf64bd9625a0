"""Finding and encoding the objects of one page, yielding to the event loop every few milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import anyio.lowlevel
import msgspec

if TYPE_CHECKING:
    from entra_async.testing.directory.directory import Selection

__all__ = ("count", "encode_page", "find_page")

Test = Callable[[int], bool]

_YIELD_EVERY_S: Final = 0.004
_LOOK_AT_CLOCK_EVERY: Final = 64


class _Yielder:
    """Yields to other tasks when this one has kept the event loop for long enough."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + _YIELD_EVERY_S

    async def yield_if_due(self) -> None:
        if time.perf_counter() > self._until:
            await anyio.lowlevel.checkpoint()
            self._until = time.perf_counter() + _YIELD_EVERY_S


async def find_page(selection: Selection, test: Test | None, start: int, size: int) -> tuple[list[int], int | None]:
    """
    Return the numbers of the objects on one page, and the place where the next page begins.

    It looks one match further than the page, so that a page which is followed by nothing has no next one.

    Args:
        selection: The collection.
        test: The filter; ``None`` lets all pass.
        start: The place to begin at.
        size: How many objects a page holds.
    """
    yielder = _Yielder()
    found: list[int] = []
    for seen, position in enumerate(selection.after(start)):
        if not seen % _LOOK_AT_CLOCK_EVERY:
            await yielder.yield_if_due()
        index = selection.index_at(position)
        if index is None or (test is not None and not test(index)):
            continue
        if len(found) == size:
            return found, position
        found.append(index)
    return found, None


async def count(selection: Selection, test: Test | None) -> int:
    """
    Return how many objects there are.

    Args:
        selection: The collection.
        test: The filter; ``None`` lets all pass.
    """
    if test is None and selection.count is not None:
        return selection.count
    yielder = _Yielder()
    total = 0
    for seen, position in enumerate(selection.positions):
        if not seen % _LOOK_AT_CLOCK_EVERY:
            await yielder.yield_if_due()
        index = selection.index_at(position)
        total += index is not None and (test is None or test(index))
    return total


async def encode_page(
    head: Mapping[str, Any], indexes: Sequence[int], project: Callable[[int], Mapping[str, Any]]
) -> bytearray:
    """
    Return the JSON of a page, grown in place: joining megabytes at the end would hold up everybody else.

    Args:
        head: The members before ``value``, such as ``@odata.context``.
        indexes: Numbers of the objects.
        project: From a number to what the page says of the object.
    """
    yielder = _Yielder()
    page = bytearray(msgspec.json.encode(head)[:-1] + b',"value":[')
    for at in range(0, len(indexes), _LOOK_AT_CLOCK_EVERY):
        await yielder.yield_if_due()
        chunk = [project(index) for index in indexes[at : at + _LOOK_AT_CLOCK_EVERY]]
        page += (b"," if at else b"") + msgspec.json.encode(chunk)[1:-1]
    page += b"]}"
    return page
