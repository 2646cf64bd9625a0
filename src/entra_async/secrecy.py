"""
Keep secrets out of tracebacks: clear the locals of the frames that an error came through.

Debuggers and error trackers print them, and tokens, passwords and headers are among them.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from traceback import walk_tb
from types import FrameType
from typing import Any, Final, TypeVar

__all__ = ("keeps_arguments_secret", "wipe_locals")

T = TypeVar("T", bound=type)

_WIPED: Final = frozenset({"entra_async", "aiohttp", "azure", "msal"})


def wipe_locals(error: BaseException) -> None:
    """
    Clear every finished frame of this package and its engines in the tracebacks of an error and its causes.

    Lines and function names stay in the traceback. Frames of other code are the caller's: they are not touched.
    """
    for link in _chain(error):
        for frame, _ in walk_tb(link.__traceback__):
            if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _WIPED and _is_over(frame):
                frame.clear()


def _is_over(frame: FrameType) -> bool:
    # An error may have come through a coroutine that handled it and goes on: up to Python 3.12, clearing its frame
    # would end it in the middle. A frame object refers to its code once the frame is its own: when it is over.
    code = frame.f_code
    return any(each is code for each in gc.get_referents(frame))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions


def keeps_arguments_secret(cls: T) -> T:
    """Make a class whose keyword arguments hold secrets show none of them in the traceback when it rejects one."""
    construct = cls.__init__  # type: ignore[misc]  # of the decorated class itself, and of no subclass

    @functools.wraps(construct)
    def __init__(self: Any, **arguments: Any) -> None:  # noqa: N807
        try:
            construct(self, **arguments)
        except Exception as error:
            arguments.clear()
            del self
            wipe_locals(error)
            raise

    cls.__init__ = __init__  # type: ignore[misc]
    return cls
