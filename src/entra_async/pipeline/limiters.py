"""
Throttling is governed, not suffered: one gate for each limit of a service, and every request of it passes there.

A 429 closes its gate once, for as long as it asks; then requests go at the rate the service was seen to accept. What
is refused goes back to the gate, not to sleep by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from math import inf
from types import MappingProxyType
from typing import Final, final

from entra_async.config import Clock, Limits
from entra_async.pipeline.limiter import PLACE, Limiter, LimiterStats
from entra_async.rules.http.retry import Outcome, read_retry_after_s, waits_at_gate
from entra_async.rules.limits.documented import DocumentedLimit, charge_of
from entra_async.rules.limits.rate_estimator import RateEstimator
from entra_async.telemetry.events import Listener, Throttled, notify
from entra_async.transport.messages import HTTPRequest, HTTPResponse

__all__ = ("ConnectionLimiters", "Limiters")

_THROTTLED: Final = 429
_SECOND: Final = 2
_BAD: Final = 400
_MOST_GATES: Final = 4096
# "only when the app has used more than 0.8 of its limit": https://learn.microsoft.com/en-us/graph/throttling-limits
_LOAD: Final = "x-ms-throttle-limit-percentage"
_UNITS: Final = "x-ms-resource-unit"
# What is left of Azure Resource Manager's limits; a page says that only the lowest counts:
# https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
_REMAINING: Final = "x-ms-ratelimit-remaining-"
_PRIORITY: Final = "x-ms-throttle-priority"
_GRAPH: Final = frozenset({"graph", "graphbeta"})
_NEARLY_NONE: Final = 10


@final
class Limiters:
    """
    The gates of a Session.

    Args:
        clock: Where time and sleep come from.
        limits: What the user allows at each gate.
        queue_s: Seconds a request may wait for a place on the wire.
        listener: Hears when a gate is closed.
    """

    def __init__(self, *, clock: Clock, limits: Limits, queue_s: float, listener: Listener | None = None) -> None:
        self.clock: Final = clock
        self.limits: Final = limits
        self._queue_s = queue_s
        self._listener = listener
        self._gates: dict[tuple[str, str, str], Limiter] = {}

    @property
    def states(self) -> Mapping[str, LimiterStats]:
        """How it stands with each gate, by name."""
        return MappingProxyType({gate.name: gate.state for gate in self._gates.values()})

    def gate(self, host: str, app: str, lane: str, budget: DocumentedLimit) -> Limiter:
        """
        Return the gate of a limit.

        Args:
            host: Whose limit it is.
            app: Whom it is for.
            lane: Which one.
            budget: What is documented of it.
        """
        gate = self._gates.get((host, app, lane))
        if gate is None:
            if len(self._gates) >= _MOST_GATES:
                idle = [key for key, gate in self._gates.items() if gate.is_idle]
                for key in idle[: _MOST_GATES // 2]:
                    del self._gates[key]
            pace = (
                RateEstimator(rate=budget.rate, burst_s=budget.per_s)
                if budget.heeded
                else RateEstimator(documented=budget.rate)
            )
            gate = self._gates[host, app, lane] = Limiter(
                f"{host} {lane} as {app}",
                pace=pace,
                clock=self.clock,
                limits=self.limits,
                queue_s=self._queue_s,
            )
        return gate

    def closed(self, gate: Limiter, pause_s: float) -> None:
        """Tell the listener that a gate was closed."""
        if self._listener is not None:
            notify(self._listener, Throttled(gate.name, pause_s, gate.waiting))


@final
class ConnectionLimiters:
    """
    The gates that the requests of one connection pass.

    Args:
        governor: The Session's.
        service: The name of the service.
        app: Returns who calls; asked once, at the first request.
        max_pause_s: The longest pause that a request waits for.
        shares: How much of a place on the wire each request takes.

    Attributes:
        priority: Which of its requests Graph throttles first; ``None`` to leave that to Graph.
    """

    def __init__(
        self,
        governor: Limiters,
        *,
        service: str,
        app: Callable[[], str],
        max_pause_s: float,
        shares: int = PLACE,
    ) -> None:
        self._governor = governor
        self._clock = governor.clock
        self._service = service.lower()
        self._find_app = app
        self._app: str | None = None
        self._max_pause_s = max_pause_s
        self._shares = shares
        self.priority: Final = governor.limits.priority if self._service in _GRAPH else None

    def in_batches(self) -> ConnectionLimiters:
        """Return the same gates for requests that travel together, so many on one place of the wire."""
        return ConnectionLimiters(
            self._governor, service=self._service, app=self._find_app, max_pause_s=self._max_pause_s, shares=1
        )

    def rank(self, headers: dict[str, str]) -> None:
        """Add the Session's priority to the headers of a request that has none of its own."""
        if self.priority is not None and all(name.lower() != _PRIORITY for name in headers):
            headers[_PRIORITY] = self.priority

    async def through(
        self,
        request: HTTPRequest,
        send: Callable[[], Awaitable[HTTPResponse]],
        *,
        attempt: int,
        left_s: Callable[[], float],
    ) -> HTTPResponse:
        """
        Send a request when its gate lets it, and let the gate know of the answer.

        Args:
            request: What is sent.
            send: Sends it.
            attempt: Its number; the first is 1.
            left_s: Returns the seconds left of its time.

        Raises:
            ThrottledError: If the gate stays closed for too long; nothing was sent.
            RequestTimeoutError: If no place on the wire becomes free in time; nothing was sent.
            EntraError: Whatever *send* raises.
        """
        lane, cost, budget = charge_of(self._service, request.method, request.url)
        if self._app is None:
            self._app = self._find_app()
        gate = self._governor.gate(request.url.split("/", 3)[2], self._app, lane, budget)
        if not gate.try_enter(cost, self._shares):
            await gate.enter(
                request, cost, self._shares, first=attempt == _SECOND, within_s=left_s(), longest_s=self._max_pause_s
            )
        sent_at = self._clock.monotonic()
        try:
            answer = await send()
        finally:
            gate.leave(self._shares)
        self._note(gate, answer, sent_at, cost)
        return answer

    def _note(self, gate: Limiter, answer: HTTPResponse, sent_at: float, cost: float) -> None:
        now, headers, pace = self._clock.monotonic(), answer.headers, gate.pace
        retry_after_s: float | None = None
        if answer.status >= _BAD:
            retry_after_s = read_retry_after_s(headers, now=self._clock.now())
            if answer.status == _THROTTLED:
                gate.refused += 1
                if pace.refused(sent_at, now, retry_after_s, cost):
                    self._governor.closed(gate, pace.paused_until - now)
                return
        gate.accepted += 1
        near_limit = False
        if pace.rate < inf:  # else it costs time, and nothing depends on it
            units = _number(headers.get(_UNITS))
            if units is not None and units != cost:
                pace.correct(units - cost)
                cost = units
            near_limit = _is_near_limit(headers)
        if pace.accepted(sent_at, now, cost, near_limit=near_limit):
            gate.wake()
        # If it asks for longer than anybody would wait, only the one that heard it gives up.
        if retry_after_s is not None and retry_after_s <= self._max_pause_s:
            outcome = Outcome(answer.status, retry_after_s=retry_after_s)
            if waits_at_gate(outcome) and pace.pause(now, retry_after_s):
                self._governor.closed(gate, retry_after_s)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdecimal() else None


def _is_near_limit(headers: Mapping[str, str]) -> bool:
    if _LOAD in headers:
        return True
    remaining = (_number(headers[name]) for name in headers if name.lower().startswith(_REMAINING))
    return any(number is not None and number < _NEARLY_NONE for number in remaining)
