"""A person's sign-in: while it goes on, and what a store keeps of it."""

from __future__ import annotations

import asyncio
from typing import Final, final

import anyio
import msgspec

from entra_async.errors import AuthenticationError

__all__ = ("RunningSignIn", "StoredSignIn")


class StoredSignIn(msgspec.Struct, array_like=True):
    """
    What the store keeps of a sign-in.

    Attributes:
        sign_in: Stands for it. Access tokens are kept under it, so that nobody else finds them.
        refresh_token: The newest one.
        person: Who signed in.
        user_name: What that person is called.
    """

    sign_in: str
    refresh_token: str
    person: str | None
    user_name: str | None


@final
class RunningSignIn:
    """A sign-in that goes on; other questions wait for its end."""

    def __init__(self) -> None:
        self.done: Final = anyio.Event()
        self.error: AuthenticationError | None = None
        self._loop: Final = asyncio.get_running_loop()

    def goes_on(self) -> bool:
        """Return whether it will end: one of a loop that has ended, or that a process was forked from, does not."""
        return self._loop is asyncio.get_running_loop()
