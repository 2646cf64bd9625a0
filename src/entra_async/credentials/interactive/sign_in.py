"""A user's sign-in: while it runs, and as it is stored."""

from __future__ import annotations

import asyncio
from typing import Final, final

import anyio
import msgspec

from entra_async.errors import AuthenticationError

__all__ = ("RunningSignIn", "StoredSignIn")


class StoredSignIn(msgspec.Struct, array_like=True):
    """
    A stored sign-in.

    Attributes:
        sign_in: Its id. Access tokens are stored under it, so that no other user gets them.
        refresh_token: The newest one.
        user_id: Identifies the user.
        user_name: The user's name.
    """

    sign_in: str
    refresh_token: str
    user_id: str | None
    user_name: str | None


@final
class RunningSignIn:
    """A sign-in that runs; other token requests wait for its end."""

    def __init__(self) -> None:
        self.done: Final = anyio.Event()
        self.error: AuthenticationError | None = None
        self._loop: Final = asyncio.get_running_loop()

    def is_of_this_loop(self) -> bool:
        """Return whether it will end: one of a loop that has ended, or that a process was forked from, does not."""
        return self._loop is asyncio.get_running_loop()
