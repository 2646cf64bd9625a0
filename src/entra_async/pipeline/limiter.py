"""One gate: where requests wait until the service is likely to accept them, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final, final

import anyio

from entra_async.config import Clock, Limits
from entra_async.errors import RequestError, RequestTimeoutError, ThrottledError
from entra_async.rules.http.urls import strip_query
from entra_async.rules.limits.rate_estimator import RateEstimator, Spacing
from entra_async.transport.messages import HTTPRequest

__all__ = ("PLACE", "Limiter", "LimiterStats")

PLACE: Final = 20  # shares of a request on the wire: so many travel in one batch
_CATCH_UP_S: Final = 0.02  # timers are no better than that
_THROTTLED: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterStats:
    """
    How it stands with one gate.

    Attributes:
        rate_per_s: What the service is believed to accept per second: requests, or resource units in the lane
            ``directory`` of Graph. ``None`` as long as nothing was refused.
        paused_s: Seconds until the gate opens again; 0 if it is open.
        in_flight: Requests on the wire.
        waiting: Requests that wait.
        accepted: Answers other than 429, so far.
        refused: Answers 429, so far.
    """

    rate_per_s: float | None
    paused_s: float
    in_flight: int
    waiting: int
    accepted: int
    refused: int


@final
class Limiter:
    """
    Lets requests go one after the other: the first that waits watches the clock, the others wait for it.

    Args:
        name: What it is called.
        pace: When the next one may go.
        clock: Where time and sleep come from.
        limits: What the user allows.
        queue_s: Seconds a request may wait for a place on the wire.

    Attributes:
        name: What it is called.
        pace: When the next one may go.
        accepted: Answers other than 429, so far.
        refused: Answers 429, so far.
    """

    def __init__(self, name: str, *, pace: RateEstimator, clock: Clock, limits: Limits, queue_s: float) -> None:
        self.name: Final = name
        self.pace: Final = pace
        self.accepted = 0
        self.refused = 0
        self._clock = clock
        self._queue_s = queue_s
        self._places = min(limits.in_flight or limits.connections, limits.connections)
        self._distance_s = 0.0 if limits.requests_per_s is None else 1 / limits.requests_per_s
        self._ceiling = Spacing()
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._held = 0  # shares on the wire
        self._waiting = 0
        self._led = False  # whether somebody watches the clock
        self._line: deque[asyncio.Future[None]] = deque()
        self._freed: asyncio.Future[None] | None = None
        self._nap: anyio.CancelScope | None = None  # the sleep of who watches the clock

    def _tie(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # what is left of a loop that has ended waits for nothing
            self._begin(loop)
        return loop

    @property
    def state(self) -> LimiterStats:
        """How it stands now."""
        rate = self.pace.rate
        return LimiterStats(
            rate_per_s=None if rate == inf else rate,
            paused_s=max(0.0, self.pace.paused_until - self._clock.monotonic()),
            in_flight=-(-self._held // PLACE),
            waiting=self._waiting,
            accepted=self.accepted,
            refused=self.refused,
        )

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost when it is forgotten but what was learned."""
        return not (self._held or self._waiting) and self._clock.monotonic() >= self.pace.paused_until

    def try_enter(self, cost: float, shares: int) -> bool:
        """
        Let a request go if it need not wait, and return whether it may. Then :meth:`leave` ends it.

        Args:
            cost: In units of the limit.
            shares: How much of a place on the wire it takes, in parts of :data:`PLACE`.
        """
        self._tie()
        if self._led or self._is_full(shares):
            return False
        now = self._clock.monotonic()
        if self._wait_s(now) > 0:
            return False
        self._go(now, cost, shares)
        return True

    def leave(self, shares: int) -> None:
        """Give back the place of a request that has ended."""
        self._held -= shares
        if self._freed is not None and not self._freed.done():
            self._freed.set_result(None)

    def wake(self) -> None:
        """Let who watches the clock look again: it need not wait as long as it was told."""
        if self._nap is not None:
            self._nap.cancel()

    async def enter(
        self, request: HTTPRequest, cost: float, shares: int, *, first: bool, within_s: float, longest_s: float
    ) -> None:
        """
        Wait until a request may go, and let it go; :meth:`leave` ends it.

        Args:
            request: Which one: named in errors.
            cost: See :meth:`try_enter`.
            shares: See :meth:`try_enter`.
            first: Whether it goes before all that wait, since it was here before.
            within_s: Seconds it may wait.
            longest_s: Seconds of a pause that it may wait for.

        Raises:
            ThrottledError: If the gate stays closed for longer than that (at once), or its turn does not come in time.
            RequestTimeoutError: If no place on the wire becomes free in time.
        """
        loop = self._tie()
        self._check_pause(request, min(within_s, longest_s))
        ends_at = self._clock.monotonic() + within_s
        self._waiting += 1
        try:
            with anyio.move_on_after(within_s):
                await self._take_lead(loop, first=first)
                try:
                    await self._watch(request, cost, shares, ends_at, longest_s)
                finally:
                    self._pass_lead()
                return
        finally:
            if self._loop is loop:  # else it was begun anew
                self._waiting -= 1
        raise self._too_late(request, shares)

    async def _take_lead(self, loop: asyncio.AbstractEventLoop, *, first: bool) -> None:
        if not self._led:
            self._led = True
            return
        turn = loop.create_future()
        if first:
            self._line.appendleft(turn)
        else:
            self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was its turn at that very moment
                self._pass_lead()
            raise

    def _pass_lead(self) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._led = False

    async def _watch(self, request: HTTPRequest, cost: float, shares: int, ends_at: float, longest_s: float) -> None:
        while True:
            now = self._clock.monotonic()
            if now >= ends_at:
                raise self._too_late(request, shares)
            if self._is_full(shares):
                await self._wait_for_place(request)
                continue
            wait_s = self._wait_s(now)
            if wait_s <= 0:
                self._go(now, cost, shares)
                return
            self._check_pause(request, min(ends_at - now, longest_s))
            try:
                with anyio.CancelScope() as self._nap:
                    await self._clock.sleep(min(wait_s, ends_at - now))
            finally:
                self._nap = None

    async def _wait_for_place(self, request: HTTPRequest) -> None:
        self._freed = asyncio.get_running_loop().create_future()
        with anyio.move_on_after(self._queue_s) as scope:
            await self._freed
        if scope.cancelled_caught:
            raise self._crowded(request)

    def _is_full(self, shares: int) -> bool:
        return self._held + shares > self._places * PLACE

    def _wait_s(self, now: float) -> float:
        wait_s = self.pace.wait_s(now)
        return max(wait_s, self._ceiling.wait_s(now, _CATCH_UP_S)) if self._distance_s else wait_s

    def _go(self, now: float, cost: float, shares: int) -> None:
        self._held += shares
        self.pace.sent(now, cost)
        if self._distance_s:
            self._ceiling.take(now, self._distance_s)

    def _check_pause(self, request: HTTPRequest, longest_s: float) -> None:
        paused_s = self.pace.paused_until - self._clock.monotonic()
        if paused_s > longest_s:
            where = strip_query(request.url)
            message = f"{request.method} {where} was not sent: the service asked to be left alone for {paused_s:.3g} s."
            hint = "Come back later, or allow a longer wait with timeout= and RetryPolicy.max_retry_after_s."
            raise _throttled(message, hint, request, paused_s)

    def _too_late(self, request: HTTPRequest, shares: int) -> RequestError:
        if self._is_full(shares):
            return self._crowded(request)
        message = f"{request.method} {strip_query(request.url)} was not sent: its turn did not come in time."
        hint = "The service, or Limits.requests_per_s, allows no more. Give timeout=, or start fewer calls at once."
        return _throttled(message, hint, request, None)

    def _crowded(self, request: HTTPRequest) -> RequestTimeoutError:
        where = strip_query(request.url)
        message = f"{request.method} {where}: all {self._places} places of the pool were taken too long."
        hint = "Raise Limits.connections (and in_flight) or Timeouts.queue_s, or start fewer calls at once."
        return RequestTimeoutError(message, sent=False, method=request.method, url=where, hint=hint)


def _throttled(message: str, hint: str, request: HTTPRequest, retry_after_s: float | None) -> ThrottledError:
    error = ThrottledError(
        message, status=_THROTTLED, method=request.method, url=strip_query(request.url), attempts=0, hint=hint
    )
    error.retry_after_s = retry_after_s
    return error
