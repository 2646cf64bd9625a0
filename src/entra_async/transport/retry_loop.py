"""Send, look at what came back, wait, send again: the one loop that does so, for API calls and sign-ins alike."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import RequestTimeoutError, TransportError
from entra_async.rules.http.retry import Outcome, decide_delay_s, read_retry_after_s, waits_at_gate
from entra_async.transport.messages import HTTPRequest, HTTPResponse

__all__ = ("RetryLoop",)

_BAD: Final = 400
_THROTTLED: Final = 429
_MOMENT_S: Final = 0.001


class RetryLoop:
    """
    The attempts of one operation; its deadline is counted from now.

    Args:
        policy: How many, how long.
        clock: Where time and sleep come from.
        chance: Gives random numbers from 0 up to 1.

    Attributes:
        made: How many attempts were begun so far.
    """

    def __init__(self, *, policy: RetryPolicy, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._started = clock.monotonic()
        self.made = 0

    def left_s(self) -> float:
        """Return how many seconds of the deadline are left; at least a moment, so that what waits can end by itself."""
        return max(_MOMENT_S, self._policy.deadline_s - (self._clock.monotonic() - self._started))

    async def run(
        self,
        send: Callable[[], Awaitable[HTTPResponse]],
        *,
        request: HTTPRequest,
        idempotent: bool,
        judge: Callable[[HTTPResponse], Outcome] | None = None,
        gated: bool = False,
    ) -> HTTPResponse:
        """
        Return the last answer, whatever its status: nothing more is to be gained by sending again.

        Args:
            send: Makes one attempt, within :meth:`left_s`.
            request: What is sent: named in errors.
            idempotent: Whether acting twice is the same as acting once.
            judge: Reads an answer; by default its status and ``Retry-After``.
            gated: Whether *send* waits at a gate, which heard of the answer: what the service asked all to wait is
                then not waited here, and a 429 does not count among ``max_attempts``.

        Raises:
            TransportError: If the last attempt brought no complete answer; it carries the number of attempts.
            RequestTimeoutError: If the policy's deadline passed.
        """
        tries = 0
        while True:
            self.made += 1
            tries += 1
            answer: HTTPResponse | None = None
            failure: TransportError | None = None
            try:
                answer = await send()
            except TransportError as error:
                failure = error
            if answer is not None and answer.status < _BAD:
                return answer
            elapsed_s = self._clock.monotonic() - self._started
            if isinstance(failure, RequestTimeoutError) and elapsed_s >= self._policy.deadline_s:
                raise self._too_late(request)
            if answer is None:
                outcome = Outcome(None, sent=failure is None or failure.sent)
            else:
                outcome = judge(answer) if judge is not None else self._judge(answer)
            at_gate = gated and waits_at_gate(outcome)
            if at_gate and outcome.status == _THROTTLED:
                tries -= 1
            delay_s = decide_delay_s(
                outcome,
                idempotent=idempotent,
                attempt=tries,
                elapsed_s=elapsed_s,
                chance=self._chance(),
                policy=self._policy,
            )
            if delay_s is not None and at_gate:
                continue
            if delay_s is not None:
                await self._clock.sleep(delay_s)
            elif answer is not None:
                return answer
            elif failure is not None:
                failure.attempts = self.made
                raise failure

    def _too_late(self, request: HTTPRequest) -> RequestTimeoutError:
        where = request.where
        message = f"{request.method} {where}: no answer within {self._policy.deadline_s:g} s."
        hint = "Give the call more time with timeout=, or the Session with RetryPolicy.deadline_s."
        return RequestTimeoutError(message, method=request.method, url=where, attempts=self.made, hint=hint)

    def _judge(self, answer: HTTPResponse) -> Outcome:
        return Outcome(answer.status, retry_after_s=read_retry_after_s(answer.headers, now=self._clock.now()))
