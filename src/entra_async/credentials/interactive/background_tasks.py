"""Background tasks of an interactive sign-in: they listen, show a prompt and watch the time while it waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ("run_with_background",)

T = TypeVar("T")


async def run_with_background(work: Callable[[], Awaitable[T]], *background: Callable[[], Awaitable[object]]) -> T:
    """
    Return what *work* returns; background tasks run meanwhile.

    They are cancelled when the work is done, and have ended when this returns. The first error of any cancels all the
    others and is raised as it is, not in a group.

    Args:
        work: The main coroutine function.
        background: Those that it needs meanwhile; each may return early.
    """
    results: list[T] = []
    failures: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def run(task: Callable[[], Awaitable[object]]) -> None:
            try:
                await task()
            except Exception as error:  # noqa: BLE001 - it is raised below, out of the group
                failures.append(error)
                group.cancel_scope.cancel()

        for each in background:
            group.start_soon(run, each)
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - it is raised below, out of the group
            failures.append(error)
        group.cancel_scope.cancel()
    if results:
        return results[0]
    raise failures[0]
