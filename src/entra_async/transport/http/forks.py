"""What a forked process does with the pools of the one that it came from."""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

__all__ = ("follow_forks", "keep_for_ever")


class LeavesProcess(Protocol):
    """What is told of a fork."""

    def leave_process(self) -> None:
        """Leave everything to the process that this one was forked from."""
        ...


_FOLLOWING: Final[weakref.WeakSet[LeavesProcess]] = weakref.WeakSet()
_KEPT: Final[list[object]] = []


def follow_forks(pool: LeavesProcess) -> None:
    """Call ``pool.leave_process()`` in each process that is forked from this one, as long as the pool lives."""
    _FOLLOWING.add(pool)


def keep_for_ever(*objects: object) -> None:
    """Keep what cannot even be thrown away here, since that would try to close what is no longer there."""
    _KEPT.append(objects)


def _leave_process() -> None:
    for pool in list(_FOLLOWING):
        pool.leave_process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_process)
