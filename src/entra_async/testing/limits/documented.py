"""
The limits Microsoft documents for the services and workloads the emulator serves.

Left out are the ones that can't be reached here before another is: Graph's 130,000 requests in 10 seconds, and what an
app may do across all tenants.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling-limits
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-alerts
    https://learn.microsoft.com/en-us/defender-endpoint/api/run-advanced-query-api
    https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents
    https://learn.microsoft.com/en-us/defender-xdr/api-advanced-hunting (Graph's hunting is the same service)
"""

from __future__ import annotations

from typing import Any, Final, Literal

from entra_async.testing.limits.service_limit import ServiceLimit

__all__ = ("TenantSize", "documented_limits")

TenantSize = Literal["S", "M", "L"]
"""Fewer than 50 users, up to 500, or more."""

_UNITS_PER_10_S: Final = {"S": 3_500, "M": 5_000, "L": 8_000}
_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
# Each tenant has a share of the CPU per quarter of an hour "based on the tenant size"; no page says how much. This is
# the share of running time that Defender for Endpoint documents.
_HUNTING_CYCLE_S: Final = 900.0
_HUNTING_RUNNING_S: Final = 150.0


def documented_limits(tenant_size: TenantSize) -> dict[tuple[str | None, str | None], tuple[ServiceLimit, ...]]:
    """
    Return the limits by service and workload, with full buckets.

    Args:
        tenant_size: Decides how many resource units of the directory an app has.
    """
    hunting = (
        _limit(45, _MINUTE, per="tenant"),
        _limit(_HUNTING_RUNNING_S, _HUNTING_CYCLE_S, by="running_s", per="tenant"),
    )
    calls = ((100, _MINUTE), (1_500, _HOUR))
    return {
        ("graph", "directory"): (
            _limit(_UNITS_PER_10_S[tenant_size], 10.0, by="unit"),
            _limit(3_000, 150.0, by="write"),
            _limit(18_000, 300.0, by="write", per="tenant"),
        ),
        ("graph", "reports"): (_limit(5, 10.0),),
        ("graph", "identity_protection"): (_limit(1, 1.0, per="tenant", retry_after_form="absent"),),
        ("graph", "hunting"): hunting,
        # Graph and Defender XDR call the same service, and draw on the same buckets.
        ("security", "hunting"): hunting,
        ("security", "incidents"): (_limit(50, _MINUTE), _limit(1_500, _HOUR)),
        ("endpoint", "machines"): tuple(_limit(*call) for call in calls),
        ("endpoint", "alerts"): tuple(_limit(*call) for call in calls),
        ("endpoint", "hunting"): (
            _limit(45, _MINUTE, per="tenant"),
            _limit(1_500, _HOUR, per="tenant"),
            _limit(600, _HOUR, by="running_s", per="tenant"),
            _limit(10_800, _DAY, by="running_s", per="tenant"),
        ),
    }


def _limit(amount: float, per_s: float, **options: Any) -> ServiceLimit:
    return ServiceLimit(amount=amount, per_s=per_s, burst=amount, **options)
