"""One limiter: requests wait in its queue until the service is likely to accept them, first come, first served."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, final

import anyio

from entra_async.config import Clock, Limits
from entra_async.errors import RequestError, RequestTimeoutError, ThrottledError
from entra_async.rules.http.urls import strip_query
from entra_async.rules.limits.rate_estimator import RateEstimator, Spacing
from entra_async.transport.http.messages import HTTPRequest
from entra_async.transport.http.slots import wait_for_turn, wake_next

__all__ = ("SLOT", "Limiter", "LimiterStats")

SLOT: Final = 20  # the weight of a request on the wire: so many are in one batch
_CATCH_UP_S: Final = 0.02  # timers are no better than that
_THROTTLED: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterStats:
    """
    The state of one limiter.

    Attributes:
        rate_per_s: What the service is believed to accept per second: requests, or resource units for the
            limit ``directory`` of Graph. ``None`` as long as nothing was throttled.
        paused_s: Seconds until requests go on after a 429; 0 if there is no pause.
        in_flight: Requests on the wire.
        waiting: Requests that wait.
        accepted: Responses other than 429, so far.
        throttled: Responses 429, so far.
    """

    rate_per_s: float | None
    paused_s: float
    in_flight: int
    waiting: int
    accepted: int
    throttled: int


@final
class Limiter:
    """
    Lets requests go one after the other: the first that waits watches the clock, the others wait for it.

    Args:
        name: What it is called.
        estimator: When the next one may go.
        clock: Where time and sleep come from.
        limits: What the user allows.
        queue_s: Seconds a request may wait for a slot.
        check_loop: Raises if the Session is open in another event loop.

    Attributes:
        name: What it is called.
        estimator: When the next one may go.
        accepted: Responses other than 429, so far.
        throttled: Responses 429, so far.
    """

    def __init__(
        self,
        name: str,
        *,
        estimator: RateEstimator,
        clock: Clock,
        limits: Limits,
        queue_s: float,
        check_loop: Callable[[], None] | None = None,
    ) -> None:
        self.name: Final = name
        self.estimator: Final = estimator
        self.accepted = 0
        self.throttled = 0
        self._clock = clock
        self._monotonic = clock.monotonic
        self._queue_s = queue_s
        self._check_loop = check_loop
        self._slots = min(limits.in_flight or limits.connections, limits.connections)
        self._capacity: Final = self._slots * SLOT
        self._distance_s = 0.0 if limits.requests_per_s is None else 1 / limits.requests_per_s
        self._ceiling = Spacing()
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._in_use = 0  # weight on the wire
        self._waiting = 0
        self._watched = False  # whether somebody watches the clock
        self._queue: deque[asyncio.Future[None]] = deque()
        self._slot_freed: asyncio.Future[None] | None = None
        self._sleep: anyio.CancelScope | None = None  # the sleep of who watches the clock

    def _bind(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # what is left of a loop that has ended waits for nothing
            if self._check_loop is not None:
                self._check_loop()
            self._begin(loop)
        return loop

    @property
    def stats(self) -> LimiterStats:
        """The state now."""
        rate = self.estimator.rate
        return LimiterStats(
            rate_per_s=None if rate == inf else rate,
            paused_s=max(0.0, self.estimator.paused_until - self._clock.monotonic()),
            in_flight=-(-self._in_use // SLOT),
            waiting=self._waiting,
            accepted=self.accepted,
            throttled=self.throttled,
        )

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost when it is forgotten but what was learned."""
        return not (self._in_use or self._waiting) and self._clock.monotonic() >= self.estimator.paused_until

    def try_enter(self, now: float, cost: float, weight: int) -> bool:
        """
        Let a request go if it need not wait, and return whether it may. Then :meth:`leave` ends it.

        Args:
            now: The moment, on the monotonic clock.
            cost: In units of the limit.
            weight: How much of a slot it takes, in parts of :data:`SLOT`.
        """
        if self._loop is not get_running_loop():
            self._bind()
        if self._watched or self._in_use + weight > self._capacity:
            return False
        if self.estimator.limiting or self._distance_s:
            if self._wait_s(now) > 0:
                return False
            self._start(now, cost, weight)
        else:
            self._in_use += weight
        return True

    def leave(self, weight: int) -> None:
        """Give back the slot of a request that has ended."""
        self._in_use -= weight
        if self._slot_freed is not None and not self._slot_freed.done():
            self._slot_freed.set_result(None)

    def leave_accepted(self, weight: int, sent_at: float, cost: float) -> bool:
        """
        Do what :meth:`leave` does, and take note of a success, if no more has to be done; return whether that is so.

        Args:
            weight: See :meth:`try_enter`.
            sent_at: When the request was sent, on the monotonic clock.
            cost: See :meth:`try_enter`.
        """
        estimator, slot_freed = self.estimator, self._slot_freed
        observed = estimator.observed
        if estimator.limiting or sent_at < observed.since or not (slot_freed is None or slot_freed.done()):
            return False
        self._in_use -= weight
        self.accepted += 1
        # The service saw it somewhere in between; on average in the middle.
        observed.accept((sent_at + self._monotonic()) / 2, cost)
        return True

    def wake(self) -> None:
        """Let who watches the clock look again: it need not wait as long as it meant to."""
        if self._sleep is not None:
            self._sleep.cancel()

    async def enter(
        self, request: HTTPRequest, cost: float, weight: int, *, first: bool, within_s: float, longest_s: float
    ) -> None:
        """
        Wait until a request may go, and let it go; :meth:`leave` ends it.

        Args:
            request: Which one: named in errors.
            cost: See :meth:`try_enter`.
            weight: See :meth:`try_enter`.
            first: Whether it goes before all that wait, since it was here before.
            within_s: Seconds it may wait.
            longest_s: Seconds of a pause that it may wait for.

        Raises:
            ThrottledError: If a pause lasts longer than that (at once), or its turn does not come in time.
            RequestTimeoutError: If no slot becomes free in time.
        """
        loop = self._bind()
        self._check_pause(request, min(within_s, longest_s))
        ends_at = self._clock.monotonic() + within_s
        self._waiting += 1
        try:
            with anyio.move_on_after(within_s):
                await self._wait_for_turn(loop, first=first)
                try:
                    await self._watch(request, cost, weight, ends_at, longest_s)
                finally:
                    self._end_turn()
                return
        finally:
            if self._loop is loop:  # else it was begun anew
                self._waiting -= 1
        raise self._too_late(request, weight)

    async def _wait_for_turn(self, loop: asyncio.AbstractEventLoop, *, first: bool) -> None:
        if not self._watched:
            self._watched = True
            return
        turn = loop.create_future()
        if first:
            self._queue.appendleft(turn)
        else:
            self._queue.append(turn)
        await wait_for_turn(turn, pass_on=self._end_turn)

    def _end_turn(self) -> None:
        if not wake_next(self._queue):
            self._watched = False

    async def _watch(self, request: HTTPRequest, cost: float, weight: int, ends_at: float, longest_s: float) -> None:
        while True:
            now = self._clock.monotonic()
            if now >= ends_at:
                raise self._too_late(request, weight)
            if self._is_full(weight):
                await self._wait_for_slot(request)
                continue
            wait_s = self._wait_s(now)
            if wait_s <= 0:
                self._start(now, cost, weight)
                return
            self._check_pause(request, min(ends_at - now, longest_s))
            try:
                with anyio.CancelScope() as self._sleep:
                    await self._clock.sleep(min(wait_s, ends_at - now))
            finally:
                self._sleep = None

    async def _wait_for_slot(self, request: HTTPRequest) -> None:
        self._slot_freed = asyncio.get_running_loop().create_future()
        with anyio.move_on_after(self._queue_s) as scope:
            await self._slot_freed
        if scope.cancelled_caught:
            raise self._no_slot(request)

    def _is_full(self, weight: int) -> bool:
        return self._in_use + weight > self._capacity

    def _wait_s(self, now: float) -> float:
        wait_s = self.estimator.wait_s(now)
        return max(wait_s, self._ceiling.wait_s(now, _CATCH_UP_S)) if self._distance_s else wait_s

    def _start(self, now: float, cost: float, weight: int) -> None:
        self._in_use += weight
        self.estimator.sent(now, cost)
        if self._distance_s:
            self._ceiling.take(now, self._distance_s)

    def _check_pause(self, request: HTTPRequest, longest_s: float) -> None:
        paused_s = self.estimator.paused_until - self._clock.monotonic()
        if paused_s > longest_s:
            where = strip_query(request.url)
            message = (
                f"{request.method} {where} was not sent: the service throttles requests for {paused_s:.3g} s more."
            )
            hint = "Come back later, or allow a longer wait with timeout= and RetryPolicy.max_retry_after_s."
            raise _throttled(message, hint, request, paused_s)

    def _too_late(self, request: HTTPRequest, weight: int) -> RequestError:
        if self._is_full(weight):
            return self._no_slot(request)
        message = f"{request.method} {strip_query(request.url)} was not sent: its turn did not come in time."
        hint = "The service, or Limits.requests_per_s, allows no more. Give timeout=, or start fewer calls at once."
        return _throttled(message, hint, request, None)

    def _no_slot(self, request: HTTPRequest) -> RequestTimeoutError:
        where = strip_query(request.url)
        message = f"{request.method} {where}: all {self._slots} slots of the pool were taken too long."
        hint = "Raise Limits.connections (and in_flight) or Timeouts.queue_s, or start fewer calls at once."
        return RequestTimeoutError(message, sent=False, method=request.method, url=where, hint=hint)


def _throttled(message: str, hint: str, request: HTTPRequest, retry_after_s: float | None) -> ThrottledError:
    error = ThrottledError(
        message, status=_THROTTLED, method=request.method, url=strip_query(request.url), attempts=0, hint=hint
    )
    error.retry_after_s = retry_after_s
    return error
