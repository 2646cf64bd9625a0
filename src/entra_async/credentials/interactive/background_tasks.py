"""Waiting for a person: while one task waits, others listen, show something, and watch the time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ("run_with",)

T = TypeVar("T")


async def run_with(work: Callable[[], Awaitable[T]], *companions: Callable[[], Awaitable[object]]) -> T:
    """
    Return what *work* returns, while its companions run beside it.

    The companions are cancelled when the work is done, and have ended when this returns. The first error of any
    ends all the others and is raised as it is, not in a group.

    Args:
        work: What it is about.
        companions: What the work cannot do without. One that returns is no longer needed.
    """
    results: list[T] = []
    failures: list[Exception] = []
    async with anyio.create_task_group() as group:

        async def run(companion: Callable[[], Awaitable[object]]) -> None:
            try:
                await companion()
            except Exception as error:  # noqa: BLE001 - it is raised below, out of the group
                failures.append(error)
                group.cancel_scope.cancel()

        for each in companions:
            group.start_soon(run, each)
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - it is raised below, out of the group
            failures.append(error)
        group.cancel_scope.cancel()
    if results:
        return results[0]
    raise failures[0]
