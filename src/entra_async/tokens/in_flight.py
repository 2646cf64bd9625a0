"""A question on its way to a token service."""

from __future__ import annotations

import asyncio
import copy
from typing import Final, Literal, NamedTuple, final

import anyio

from entra_async.errors import ClosedError, EntraError
from entra_async.tokens.token import Token

__all__ = ("InFlightRequest", "Refusal")

Reason = Literal["missing", "ahead", "expiring", "rejected"]


class Refusal(NamedTuple):
    """
    A service answered 401.

    Attributes:
        secret: The token it did not take.
        claims: What it demands of the next one, a JSON text, or ``None``.
        remembered: What had been demanded before, and is still to be asked for.
    """

    secret: str
    claims: str | None
    remembered: str | None = None


@final
class InFlightRequest:
    """
    One question, and how many wait for its answer.

    Attributes:
        reason: Why it is asked.
        started: When, on the clock that is never set back.
        silent: Whether a person may not be asked.
        landed: Set at its end, however it ends.
        token: The answer.
        error: Or why there is none.
        waiters: How many callers wait.
        diverted: Whether another question took its place.
    """

    __slots__ = (
        "_loop",
        "diverted",
        "error",
        "landed",
        "reason",
        "scope",
        "silent",
        "started",
        "task",
        "token",
        "waiters",
    )

    def __init__(self, reason: Reason, *, started: float, silent: bool) -> None:
        self.reason: Final = reason
        self.started: Final = started
        self.silent: Final = silent
        self.landed: Final = anyio.Event()
        self.scope: Final = anyio.CancelScope()
        self.task: asyncio.Task[None] | None = None
        self.token: Token | None = None
        self.error: BaseException | None = None
        self.waiters = 0
        self.diverted = False
        self._loop: Final = asyncio.get_running_loop()

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether it flies in that event loop; one of a loop that has ended never lands."""
        return self._loop is loop

    def result(self) -> Token:
        """
        Return the answer.

        Raises:
            EntraError: A copy for each caller, since raising one in many tasks would grow its traceback with each.
            ClosedError: If it was cancelled.
        """
        if self.token is not None:
            return self.token
        if isinstance(self.error, EntraError):
            raise copy.copy(self.error) from self.error
        if self.error is not None:
            raise self.error.with_traceback(None)
        message = "The Session was closed, or the service disconnected, while a token was asked for."
        raise ClosedError(message, hint="Close it after the last call has ended.")
