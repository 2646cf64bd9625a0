"""
The hard limits of the services, on the emulator's clock. Off until a test sets one.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling-limits
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, get_args

from entra_async.testing.limits.documented import TenantSize, documented_limits
from entra_async.testing.limits.service_limit import (
    Measure,
    RequestCost,
    RetryAfterForm,
    ServiceLimit,
    ThrottleDecision,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.clock import EmulatorClock

__all__ = ("RequestCost", "RetryAfterForm", "Throttle", "ThrottleDecision")

_WORKLOADS: Final[Mapping[str, tuple[str, ...]]] = {
    "graph": ("directory", "reports", "identity_protection", "hunting", "files", "planner"),
    "endpoint": ("machines", "alerts", "hunting"),
    "security": ("incidents", "hunting"),
}
_ONE_REQUEST: Final = RequestCost()


class Throttle:
    """
    Limits what each app may do. A request finds enough in the buckets or gets a 429; it never waits.

    A throttled request counts, too: a client that keeps sending stays throttled, one that waits as long as
    ``Retry-After`` says gets through.

    Args:
        clock: The emulator's clock: moving it refills the buckets.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._limits: dict[tuple[str | None, str | None], tuple[ServiceLimit, ...]] = {}

    def limit(
        self,
        requests: float,
        per_s: float,
        *,
        service: str | None = None,
        workload: str | None = None,
        by: Measure = "request",
        burst: float | None = None,
        retry_after_s: float | None = None,
        retry_after_form: RetryAfterForm = "integer",
        keep: bool = False,
    ) -> None:
        """
        Set the limit of each app from now on, in place of whatever limited the same service and workload.

        Args:
            requests: How many requests, or what *by* says, the bucket gains in *per_s* seconds.
            per_s: That many seconds.
            service: ``"graph"``, ``"endpoint"``, ``"security"`` or ``"key_vault"``; ``None`` for every service that has
                no limit of its own, with a bucket for each.
            workload: Only for this part of the service, which then no longer counts for the service's own limit:
                ``"directory"``, ``"reports"``, ``"identity_protection"``, ``"hunting"``, ``"files"`` or ``"planner"``
                of Graph, ``"machines"``, ``"alerts"`` or ``"hunting"`` of Defender for Endpoint, ``"incidents"`` or
                ``"hunting"`` of Defender XDR.
            by: What is counted: each ``"request"``, resource ``"unit"``, ``"write"``, or second a query runs
                (``"running_s"``).
            burst: What the bucket holds; *requests* unless given.
            retry_after_s: Always ask for this many seconds, enough or not; ``None`` asks for the time until there is
                enough.
            retry_after_form: How the header is written. An integer is rounded up and at least 1.
            keep: Go on with the buckets as full as they are, as a service does whose limit changes while it runs: call
                it again with half of *requests*, and later with all. Otherwise, or where the limit before counted
                something else, they are full.

        Raises:
            ValueError: If one of *requests*, *per_s* and *burst* is not a positive number, *retry_after_s* is negative
                or no number, or *workload*, *by* or *retry_after_form* is unknown.
        """
        capacity = requests if burst is None else burst
        if not all(0 < number < math.inf for number in (requests, per_s, capacity)):
            message = "requests, per_s and burst must be positive."
            raise ValueError(message)
        if capacity < 1:
            message = "burst must be at least 1, or every request would be throttled."
            raise ValueError(message)
        if retry_after_s is not None and not 0 <= retry_after_s < math.inf:
            message = f"retry_after_s must be a number of seconds, not {retry_after_s}."
            raise ValueError(message)
        _check_choice("retry_after_form", retry_after_form, get_args(RetryAfterForm))
        _check_choice("by", by, get_args(Measure))
        if workload is not None:
            _check_choice(f"workload of {service}", workload, _WORKLOADS.get(service or "", ()))
        limit = ServiceLimit(
            amount=requests,
            per_s=per_s,
            burst=capacity,
            by=by,
            retry_after_s=retry_after_s,
            retry_after_form=retry_after_form,
        )
        before = self._limits.get((service, workload), ()) if keep else ()
        for old in before:
            if (old.by, old.per) == (limit.by, limit.per):
                limit.take_over(old, self._clock.monotonic())
        self._limits[service, workload] = (limit,)

    def documented(self, *, tenant_size: TenantSize = "M") -> None:
        """
        Set the limits that Microsoft documents, in place of all others, with full buckets.

        Args:
            tenant_size: An app has 3,500 (``"S"``), 5,000 (``"M"``) or 8,000 (``"L"``) resource units of the directory
                per 10 seconds.

        Raises:
            ValueError: If *tenant_size* is unknown.
        """
        _check_choice("tenant_size", tenant_size, get_args(TenantSize))
        self._limits = documented_limits(tenant_size)

    def off(self) -> None:
        """Lift every limit."""
        self._limits.clear()

    def take(self, service: str, app_id: str, cost: RequestCost = _ONE_REQUEST) -> ThrottleDecision:
        """
        Count one request, whether or not it is then allowed.

        Args:
            service: The service.
            app_id: Client id of the app.
            cost: What the request costs, and in which workload.
        """
        limits = (
            self._limits.get((service, cost.workload))
            or self._limits.get((service, None))
            or self._limits.get((None, None), ())
        )
        now = self._clock.monotonic()
        decisions = [limit.take(_key(limit, service, app_id), cost, now) for limit in limits]
        throttled = [decision for decision in decisions if not decision.allowed]
        if throttled:
            return max(throttled, key=lambda decision: float(decision.retry_after or 0))
        load = max((decision.load for decision in decisions if decision.load is not None), default=None)
        return ThrottleDecision(allowed=True, load=load)


def _key(limit: ServiceLimit, service: str, app_id: str) -> str:
    return f"{service}/{app_id}" if limit.per == "app" else ""


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        message = f"{name} must be one of {', '.join(choices)}, not {value!r}."
        raise ValueError(message)
