"""A token request that has not finished yet."""

from __future__ import annotations

import asyncio
import copy
from typing import Final, Literal, NamedTuple, final

import anyio

from entra_async.errors import ClosedError, EntraError
from entra_async.tokens.token import Token

__all__ = ("InFlightRequest", "Rejection")

Reason = Literal["missing", "ahead", "expiring", "rejected"]


class Rejection(NamedTuple):
    """
    A service answered 401 to a token.

    Attributes:
        secret: The token that it rejected.
        claims: The claims challenge that the next one has to meet, a JSON text, or ``None``.
        lasting_claims: What had been demanded before, and still has to be requested.
    """

    secret: str
    claims: str | None
    lasting_claims: str | None = None


@final
class InFlightRequest:
    """
    One token request, and how many callers wait for its response.

    Attributes:
        reason: Why the token is requested.
        started: When, by the monotonic clock.
        interactive: Whether user interaction is allowed.
        finished: Set at its end, however it ends.
        token: The token it brought.
        error: Or why there is none.
        waiters: How many callers wait.
        superseded: Whether another request took its place.
    """

    __slots__ = (
        "_loop",
        "error",
        "finished",
        "interactive",
        "reason",
        "scope",
        "started",
        "superseded",
        "task",
        "token",
        "waiters",
    )

    def __init__(self, reason: Reason, *, started: float, interactive: bool) -> None:
        self.reason: Final = reason
        self.started: Final = started
        self.interactive: Final = interactive
        self.finished: Final = anyio.Event()
        self.scope: Final = anyio.CancelScope()
        self.task: asyncio.Task[None] | None = None
        self.token: Token | None = None
        self.error: BaseException | None = None
        self.waiters = 0
        self.superseded = False
        self._loop: Final = asyncio.get_running_loop()

    def is_of(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Return whether it runs in that event loop; one of a loop that has ended never finishes."""
        return self._loop is loop

    def result(self) -> Token:
        """
        Return the token.

        Raises:
            EntraError: A copy for each caller, since raising one in many tasks would grow its traceback with each.
            ClosedError: If the request was cancelled.
        """
        if self.token is not None:
            return self.token
        if isinstance(self.error, EntraError):
            raise copy.copy(self.error) from self.error
        if self.error is not None:
            raise self.error.with_traceback(None)
        message = "The Session was closed, or the service disconnected, while a token was requested."
        raise ClosedError(message, hint="Close it after the last call has ended.")
