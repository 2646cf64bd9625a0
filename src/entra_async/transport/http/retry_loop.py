"""Send, judge what came back, wait, send again: the one loop that does so, for API calls and sign-ins alike."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import RequestTimeoutError, TransportError
from entra_async.rules.http.retry import Outcome, decide_delay_s, is_service_wide, read_retry_after_s
from entra_async.transport.http.messages import HTTPRequest, HTTPResponse

__all__ = ("RetryLoop",)

_ERROR: Final = 400
_THROTTLED: Final = 429
_MOMENT_S: Final = 0.001


class RetryLoop:
    """
    The attempts of one operation, within one deadline.

    Args:
        policy: How many, how long.
        clock: Where time and sleep come from.
        chance: Gives random numbers from 0 up to 1.
        started: When the operation began, on the monotonic clock; now by default.

    Attributes:
        made: How many attempts were begun so far.
        ends_at: When the deadline is, on the monotonic clock.
    """

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        clock: Clock,
        chance: Callable[[], float] = random.random,
        started: float | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._started = clock.monotonic() if started is None else started
        self.ends_at = self._started + policy.deadline_s
        self.made = 0

    def left_s(self) -> float:
        """Return how many seconds of the deadline are left; at least a moment, so that what waits can end by itself."""
        return max(_MOMENT_S, self.ends_at - self._clock.monotonic())

    async def run(
        self,
        send: Callable[[], Awaitable[HTTPResponse]],
        *,
        request: HTTPRequest,
        idempotent: bool,
        judge: Callable[[HTTPResponse], Outcome] | None = None,
        limited: bool = False,
        first: HTTPResponse | TransportError | None = None,
    ) -> HTTPResponse:
        """
        Return the last response, whatever its status: nothing more is to be gained by sending again.

        Args:
            send: Makes one attempt, within :meth:`left_s`.
            request: What is sent: named in errors.
            idempotent: Whether acting twice is the same as acting once.
            judge: Reads a response; by default its status and ``Retry-After``.
            limited: Whether *send* waits at a limiter, which knows of the response: what the service wants all to wait
                is then not waited here, and a 429 does not count among ``max_attempts``.
            first: How the first attempt ended, if it was made already.

        Raises:
            TransportError: If the last attempt brought no complete response; it carries the number of attempts.
            RequestTimeoutError: If the policy's deadline passed.
        """
        tries = 0
        while True:
            self.made += 1
            tries += 1
            outcome, first = first, None
            if outcome is None:
                try:
                    outcome = await send()
                except TransportError as error:
                    outcome = error
            if isinstance(outcome, HTTPResponse) and outcome.status < _ERROR:
                return outcome
            elapsed_s = self._clock.monotonic() - self._started
            if isinstance(outcome, RequestTimeoutError) and elapsed_s >= self._policy.deadline_s:
                raise self._too_late(request)
            if isinstance(outcome, TransportError):
                judged = Outcome(None, sent=outcome.sent, max_attempts=outcome.max_attempts)
            else:
                judged = judge(outcome) if judge is not None else self._judge(outcome)
            paused = limited and is_service_wide(judged)
            if paused and judged.status == _THROTTLED:
                tries -= 1
            delay_s = decide_delay_s(
                judged,
                idempotent=idempotent,
                attempt=tries,
                elapsed_s=elapsed_s,
                chance=self._chance(),
                policy=self._policy,
            )
            if delay_s is None:
                if isinstance(outcome, HTTPResponse):
                    return outcome
                outcome.attempts = self.made
                raise outcome
            if not paused:
                await self._clock.sleep(delay_s)

    def _too_late(self, request: HTTPRequest) -> RequestTimeoutError:
        where = request.where
        message = f"{request.method} {where}: no answer within {self._policy.deadline_s:g} s."
        hint = "Give the call more time with timeout=, or the Session with RetryPolicy.deadline_s."
        return RequestTimeoutError(message, method=request.method, url=where, attempts=self.made, hint=hint)

    def _judge(self, response: HTTPResponse) -> Outcome:
        return Outcome(response.status, retry_after_s=read_retry_after_s(response.headers, now=self._clock.now()))
