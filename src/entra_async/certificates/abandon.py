"""
Blocking work that may never return, in daemon threads: a file on a dead share, a key store that waits for a smart card.

A thread cannot be stopped. So a cancelled task abandons it; a daemon keeps no process from ending. Threads of a pool
would: they are waited for at exit, and few stuck ones block all other work.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ("run_abandonable",)

T = TypeVar("T")


async def run_abandonable(work: Callable[[], T]) -> T:
    """
    Return what *work* returns, or raise what it raises; it runs in a daemon thread of its own.

    A task that is cancelled stops waiting at once. What *work* returns after that is lost.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def complete(setter: Callable[[Any], None], outcome: object) -> None:
        if not future.done():
            setter(outcome)

    def call() -> tuple[Callable[[Any], None], object]:
        # By itself, so that its frame is over, and can be wiped, when the error is raised elsewhere.
        try:
            return future.set_result, work()
        except BaseException as error:  # noqa: BLE001 -- it is raised again in the task that waits
            return future.set_exception, _as_raisable(error)

    def run() -> None:
        setter, outcome = call()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(complete, setter, outcome)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="entra_async certificate", daemon=True).start()
    return await future


def _as_raisable(error: BaseException) -> Exception:
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    # A future takes no StopIteration, and SystemExit is not to end the loop of others.
    wrapped = RuntimeError(f"The work ended with {type(error).__name__}.")
    wrapped.__cause__ = error
    return wrapped
