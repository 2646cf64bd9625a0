"""
What a request to Microsoft Graph costs, and which limit it counts for.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling-limits (identity and access service limits, identity and access
    reports, identity protection and conditional access)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from entra_async.testing.limits.service_limit import Priority, RequestCost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("graph_cost",)

_MY: Final = "users/*"  # "me/" costs what "users/{id}/" costs
_UNITS: Final[Mapping[str, int]] = {
    "GET users": 2,
    "GET applications": 2,
    "GET applications/*/extensionProperties": 2,
    "GET oauth2PermissionGrants": 2,
    "GET oauth2PermissionGrants/*": 2,
    "GET servicePrincipals/*/appRoleAssignments": 2,
    f"GET {_MY}/memberOf": 2,
    f"GET {_MY}/transitiveMemberOf": 2,
    f"GET {_MY}/ownedObjects": 2,
    f"GET {_MY}/licenseDetails": 2,
    "GET contracts": 3,
    "GET subscribedSkus": 3,
    "GET groups/*/members": 3,
    "GET groups/*/transitiveMembers": 5,
    "GET domains/*/domainNameReferences": 4,
}
_READING_POSTS: Final[Mapping[str, int]] = {  # by the last segment; they cost no write
    "getMemberGroups": 2,
    "getMemberObjects": 2,
    "getByIds": 3,
    "getObjectsById": 3,
    "isMemberOf": 4,
    "checkMemberGroups": 4,
    "checkMemberObjects": 4,
}
_WORKLOADS: Final[Mapping[tuple[str, ...], str]] = {
    ("auditLogs",): "reports",
    ("identityProtection",): "identity_protection",
    ("identity", "conditionalAccess"): "identity_protection",
    ("security", "runHuntingQuery"): "hunting",
    ("drives",): "files",
    ("planner",): "planner",
    ("me", "drive"): "files",
}
_PRIORITIES: Final[Mapping[str, Priority]] = {"low": "low", "high": "high"}  # whatever else it says is normal
_CHEAP_TOP: Final = 20


def graph_cost(
    method: str, path: Sequence[str], raw_query: str, priority: str | None, *, running_s: float = 0.0
) -> RequestCost:
    """
    Return what a request costs: at least one resource unit.

    Args:
        method: The HTTP method.
        path: The segments after the version, decoded.
        raw_query: The query string as it was sent.
        priority: The ``x-ms-throttle-priority`` header.
        running_s: Seconds a hunting query runs.
    """
    ranked: Priority = _PRIORITIES.get((priority or "").strip().lower(), "normal")
    workload = _workload(path)
    if workload != "directory":
        return RequestCost(workload=workload, running_s=running_s if workload == "hunting" else 0.0, priority=ranked)
    reading_post = _READING_POSTS.get(path[-1]) if method == "POST" and path else None
    units = reading_post or _UNITS.get(f"{method} {_pattern(path)}", 1)
    writes = int(method not in {"GET", "HEAD"} and reading_post is None)
    return RequestCost(workload=workload, units=max(1, units + _modifier(raw_query)), writes=writes, priority=ranked)


def _workload(path: Sequence[str]) -> str:
    if len(path) > 2 and path[0] == "users" and path[2] == "drive":
        return "files"
    return _WORKLOADS.get(tuple(path[:1])) or _WORKLOADS.get(tuple(path[:2])) or "directory"


def _pattern(path: Sequence[str]) -> str:
    """Return the path with ``*`` for keys, which is every second segment."""
    spelled = ["users", "*", *path[1:]] if path and path[0] == "me" else list(path)
    return "/".join("*" if place == 1 else segment for place, segment in enumerate(spelled))


def _modifier(raw_query: str) -> int:
    change = 0
    for pair in raw_query.split("&") if raw_query else ():
        name, _, value = (unquote_plus(part) for part in pair.partition("="))
        match name.removeprefix("$"):
            case "select":
                change -= 1
            case "expand":
                change += 1
            case "top" if value.isascii() and value.isdecimal() and len(value) < 19 and int(value) < _CHEAP_TOP:
                change -= 1
    return change
