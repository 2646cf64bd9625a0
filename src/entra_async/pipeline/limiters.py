"""
The limiters: one for each limit of a service, and every request of it passes there.

A 429 pauses its limiter once, for its ``Retry-After``; then requests go at the rate the service was seen to accept. A
throttled request goes back to the limiter, not to sleep by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from types import MappingProxyType
from typing import Final, final

from entra_async.config import Clock, Limits
from entra_async.pipeline.limiter import SLOT, Limiter, LimiterStats
from entra_async.rules.http.retry import Outcome, is_service_wide, read_retry_after_s
from entra_async.rules.limits.documented import DocumentedLimit, cost_of, shape_of
from entra_async.rules.limits.rate_estimator import RateEstimator
from entra_async.telemetry.events import Listener, Throttled, notify
from entra_async.transport.http.messages import HTTPResponse

__all__ = ("ConnectionLimiters", "Limiters")

_THROTTLED: Final = 429
_ERROR: Final = 400
_MOST_LIMITERS: Final = 4096
_MOST_SHAPES: Final = 512
# "only when the app has used more than 0.8 of its limit": https://learn.microsoft.com/en-us/graph/throttling-limits
_LOAD: Final = "x-ms-throttle-limit-percentage"
_UNITS: Final = "x-ms-resource-unit"
# What is left of Azure Resource Manager's limits; a page says that only the lowest counts:
# https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
_REMAINING: Final = "x-ms-ratelimit-remaining-"
_GRAPH: Final = frozenset({"graph", "graphbeta"})
_NEARLY_NONE: Final = 10


@final
class Limiters:
    """
    The limiters of a Session.

    Args:
        clock: Where time and sleep come from.
        limits: What the user allows at each limiter.
        queue_s: Seconds a request may wait for a slot.
        listener: Called when a limiter is paused.
        check_loop: Raises if the Session is open in another event loop.

    Attributes:
        clock: See above.
        limits: See above.
        forgotten: How many times limiters were forgotten: who has one looks it up anew.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        limits: Limits,
        queue_s: float,
        listener: Listener | None = None,
        check_loop: Callable[[], None] | None = None,
    ) -> None:
        self.clock: Final = clock
        self.limits: Final = limits
        self._queue_s = queue_s
        self._listener = listener
        self._check_loop = check_loop
        self._limiters: dict[tuple[str, str, str], Limiter] = {}
        self.forgotten = 0

    @property
    def stats(self) -> Mapping[str, LimiterStats]:
        """The state of each limiter, by name."""
        return MappingProxyType({limiter.name: limiter.stats for limiter in self._limiters.values()})

    def find(self, host: str, app: str, limit: str, documented: DocumentedLimit) -> Limiter:
        """
        Return the limiter of a limit.

        Args:
            host: The service's host.
            app: The application it is for.
            limit: Which one.
            documented: What is documented of it.
        """
        limiter = self._limiters.get((host, app, limit))
        if limiter is None:
            if len(self._limiters) >= _MOST_LIMITERS:
                idle = [key for key, limiter in self._limiters.items() if limiter.is_idle]
                for key in idle[: _MOST_LIMITERS // 2]:
                    del self._limiters[key]
                self.forgotten += 1
            estimator = (
                RateEstimator(rate=documented.rate, burst_s=documented.per_s)
                if documented.enforced
                else RateEstimator(documented=documented.rate)
            )
            limiter = self._limiters[host, app, limit] = Limiter(
                f"{host} {limit} as {app}",
                estimator=estimator,
                clock=self.clock,
                limits=self.limits,
                queue_s=self._queue_s,
                check_loop=self._check_loop,
            )
        return limiter

    def emit_paused(self, limiter: Limiter, pause_s: float) -> None:
        """Call the listener: a limiter was paused."""
        if self._listener is not None:
            notify(self._listener, Throttled(limiter.name, pause_s, limiter.waiting))


@final
class ConnectionLimiters:
    """
    The limiters that the requests of one connection pass.

    Args:
        limiters: The Session's.
        service: The name of the service.
        app: Returns the calling application; called once, at the first request.
        max_pause_s: The longest pause that a request waits for.
        weight: How much of a slot each request takes.

    Attributes:
        max_pause_s: See above.
        weight: See above.
        priority: Which of its requests Graph throttles first; ``None`` to leave that to Graph.
    """

    def __init__(
        self,
        limiters: Limiters,
        *,
        service: str,
        app: Callable[[], str],
        max_pause_s: float,
        weight: int = SLOT,
    ) -> None:
        self.max_pause_s: Final = max_pause_s
        self.weight: Final = weight
        self.priority: Final = limiters.limits.priority if service.lower() in _GRAPH else None
        self._limiters = limiters
        self._clock = limiters.clock
        self._service = service.lower()
        self._find_app = app
        self._app: str | None = None
        self._found: dict[tuple[str, ...] | None, tuple[Limiter, float]] = {}
        self._forgotten = 0

    def in_batches(self) -> ConnectionLimiters:
        """Return the same limiters for the requests of a batch, so many in one slot."""
        return ConnectionLimiters(
            self._limiters, service=self._service, app=self._find_app, max_pause_s=self.max_pause_s, weight=1
        )

    def find(self, method: str, url: str) -> tuple[Limiter, float]:
        """Return the limiter of a request, and what the request costs there in units."""
        shape = shape_of(method, url)
        found = self._found.get(shape)
        if found is not None and self._forgotten == self._limiters.forgotten:
            return found
        limit, cost, documented = cost_of(self._service, method, url)
        if self._app is None:
            self._app = self._find_app()
        found = self._limiters.find(url.split("/", 3)[2], self._app, limit, documented), cost
        if shape is not None:
            if self._forgotten != self._limiters.forgotten or len(self._found) >= _MOST_SHAPES:
                self._found.clear()
                self._forgotten = self._limiters.forgotten
            self._found[shape] = found
        return found

    def observe(self, limiter: Limiter, response: HTTPResponse, sent_at: float, cost: float) -> None:
        """
        Learn from a response.

        Args:
            limiter: The limiter of the request.
            response: What came back.
            sent_at: When the request was sent, on the monotonic clock.
            cost: What the request was taken to cost.
        """
        now, headers, estimator = self._clock.monotonic(), response.headers, limiter.estimator
        retry_after_s: float | None = None
        if response.status >= _ERROR:
            retry_after_s = read_retry_after_s(headers, now=self._clock.now())
            if response.status == _THROTTLED:
                limiter.throttled += 1
                if estimator.refused(sent_at, now, retry_after_s, cost):
                    self._limiters.emit_paused(limiter, estimator.paused_until - now)
                return
        limiter.accepted += 1
        near_limit = False
        if estimator.rate < inf:  # else it costs time, and nothing depends on it
            units = _number(headers.get(_UNITS))
            if units is not None and units != cost:
                estimator.correct(units - cost)
                cost = units
            near_limit = _is_near_limit(headers)
        if estimator.accepted(sent_at, now, cost, near_limit=near_limit):
            limiter.wake()
        # If the Retry-After is longer than anybody would wait, only this request gives up.
        if retry_after_s is not None and retry_after_s <= self.max_pause_s:
            outcome = Outcome(response.status, retry_after_s=retry_after_s)
            if is_service_wide(outcome) and estimator.pause(now, retry_after_s):
                self._limiters.emit_paused(limiter, retry_after_s)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdecimal() else None


def _is_near_limit(headers: Mapping[str, str]) -> bool:
    if _LOAD in headers:
        return True
    remaining = (_number(headers[name]) for name in headers if name.lower().startswith(_REMAINING))
    return any(number is not None and number < _NEARLY_NONE for number in remaining)
