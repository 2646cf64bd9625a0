"""
The documented limits: which one a request counts against, and its cost. Pure.

They are the starting point: the rate that a service was seen to accept overrides them, in both directions. Only a limit
that is so low that learning it costs more than keeping it spaces requests from the first one on.

Sources:
    https://learn.microsoft.com/en-us/graph/throttling-limits
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
    https://learn.microsoft.com/en-us/azure/key-vault/general/service-limits
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines (and other calls of Defender for Endpoint)
    https://learn.microsoft.com/en-us/defender-endpoint/api/run-advanced-query-api
    https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents
    https://learn.microsoft.com/en-us/defender-xdr/api-advanced-hunting
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Final, NamedTuple

__all__ = ("UNKNOWN", "Cost", "DocumentedLimit", "cost_of", "shape_of")


class DocumentedLimit(NamedTuple):
    """
    A limit as it is documented.

    Attributes:
        units: How many units are allowed.
        per_s: In how many seconds.
        enforced: Whether requests are spaced by it from the first one on, rather than from the first 429 on.
    """

    units: float
    per_s: float
    enforced: bool = False

    @property
    def rate(self) -> float:
        """Units per second."""
        return self.units / self.per_s


class Cost(NamedTuple):
    """
    A request's cost, and the limit it counts against.

    Attributes:
        limit: The limit's name; requests of different limits do not wait for each other.
        cost: In the limit's units.
        documented: The documented limit.
    """

    limit: str
    cost: float
    documented: DocumentedLimit


UNKNOWN: Final = DocumentedLimit(inf, 1.0)

# Of an app in a tenant of more than 500 users; those of smaller ones are 5,000 and 3,500.
_DIRECTORY: Final = DocumentedLimit(8_000, 10)
_GRAPH: Final = DocumentedLimit(130_000, 10)
_REPORTS: Final = DocumentedLimit(5, 10, enforced=True)
_ONE_PER_SECOND: Final = DocumentedLimit(1, 1, enforced=True)  # per tenant, for all apps; 429 without Retry-After
_HUNTING: Final = DocumentedLimit(45, 60, enforced=True)
_PRESENCE: Final = DocumentedLimit(1_500, 30)
_OUTLOOK: Final = DocumentedLimit(10_000, 600)

# Parts of "https://host/version/users/id"
_COLLECTION: Final = 5
_OBJECT: Final = 6

_MY: Final = "users/*"
_UNITS: Final[Mapping[str, int]] = {  # of reads; every other costs one
    "users": 2,
    "applications": 2,
    "applications/*/extensionProperties": 2,
    "oauth2PermissionGrants": 2,
    "oauth2PermissionGrants/*": 2,
    "servicePrincipals/*/appRoleAssignments": 2,
    f"{_MY}/memberOf": 2,
    f"{_MY}/transitiveMemberOf": 2,
    f"{_MY}/ownedObjects": 2,
    f"{_MY}/licenseDetails": 2,
    "contracts": 3,
    "groups/*/members": 3,
    "subscribedSkus": 3,
    "domains/*/domainNameReferences": 4,
    "groups/*/transitiveMembers": 5,
}
_READING_POSTS: Final[Mapping[str, int]] = {
    "getMemberGroups": 2,
    "getMemberObjects": 2,
    "getByIds": 3,
    "getObjectsById": 3,
    "isMemberOf": 4,
    "checkMemberGroups": 4,
    "checkMemberObjects": 4,
}
_DIRECTORY_ROOTS: Final = frozenset(
    {
        "administrativeUnits",
        "applications",
        "contacts",
        "contracts",
        "devices",
        "directory",
        "directoryObjects",
        "directoryRoleTemplates",
        "directoryRoles",
        "domains",
        "groupSettingTemplates",
        "groupSettings",
        "groups",
        "me",
        "oauth2PermissionGrants",
        "organization",
        "servicePrincipals",
        "subscribedSkus",
        "users",
    }
)
# What belongs to a mailbox; its limit is the mailbox's own.
_MAIL: Final = frozenset(
    {
        "calendar",
        "calendarGroups",
        "calendarView",
        "calendars",
        "contactFolders",
        "contacts",
        "events",
        "findMeetingTimes",
        "inferenceClassification",
        "mailFolders",
        "mailboxSettings",
        "messages",
        "outlook",
        "people",
        "sendMail",
    }
)
# What one object costs, and what is below it, does not depend on which one it is: except for mail.
_OF_OBJECTS: Final = frozenset({"applications", "devices", "groups", "servicePrincipals", "users"})
_FILES: Final = frozenset({"drive", "drives", "sites", "shares", "followedSites"})


def _graph(method: str, path: list[str], query: str) -> Cost:
    if len(path) > 1 and "(" in path[1]:  # users('ada@contoso.com')
        path[1:2] = path[1].split("(", 1)
    root = path[1] if len(path) > 1 else ""  # path[0] is the version
    index = {"users": 3, "groups": 3, "me": 2}.get(root, 0)
    below = path[index] if 0 < index < len(path) else ""
    match root:
        case "identityProtection":
            return Cost("identity protection", 1, _ONE_PER_SECOND)
        case "identity" if path[2:3] == ["conditionalAccess"]:
            return Cost("identity protection", 1, _ONE_PER_SECOND)
        case "auditLogs":
            return Cost("reports", 1, _REPORTS)
        case "security" if path[2:3] == ["runHuntingQuery"]:
            return Cost("hunting", 1, _HUNTING)
        case _ if root in _FILES or below in _FILES:
            return Cost("files", 1, UNKNOWN)
        case _ if below == "presence" or root == "communications":
            return Cost("presence", 1, _PRESENCE)
        case _ if below in _MAIL:
            return Cost(f"mail of {'me' if root == 'me' else path[2]}", 1, _OUTLOOK)
        case _ if root in _DIRECTORY_ROOTS:
            return Cost("directory", _units(method, path[1:], query), _DIRECTORY)
        case _:
            return Cost(root or "other", 1, _GRAPH)


def _units(method: str, path: list[str], query: str) -> int:
    units = 1
    if method == "GET":
        spelled = ["users", "*", *path[1:]] if path[0] == "me" else path
        if len(spelled) > 1:
            spelled = [spelled[0], "*", *spelled[2:]]
        units = _UNITS.get("/".join(spelled), 1)
    elif method == "POST":
        units = _READING_POSTS.get(path[-1].rpartition(".")[2], 1)
    if query:
        units += _modifier(query)
    return max(1, units)


def _modifier(query: str) -> int:
    change = 0
    for part in query.replace("%24", "$").split("&"):
        name, _, value = part.partition("=")
        match name.removeprefix("$").lower():
            case "select":
                change -= 1
            case "expand":
                change += 1
            case "top" if value.isdecimal() and len(value) < 3 and int(value) < 20:
                change -= 1
    return change


_ARM: Final = {"reads": DocumentedLimit(25, 1), "writes": DocumentedLimit(10, 1), "deletes": DocumentedLimit(10, 1)}


def _arm(method: str, path: list[str], _: str) -> Cost:
    kind = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(method, "writes")
    scope = path[1].lower() if len(path) > 1 and path[0].lower() == "subscriptions" else "the tenant"
    return Cost(f"{kind} of {scope}", 1, _ARM[kind])


_MINUTELY: Final = DocumentedLimit(100, 60, enforced=True)
_INCIDENTS: Final = DocumentedLimit(50, 60, enforced=True)


def _endpoint(_: str, path: list[str], __: str) -> Cost:
    # path[0] is "api". "100 calls per minute" is documented for each API.
    root = path[1].lower() if len(path) > 1 else ""
    if root in ("advancedqueries", "advancedhunting"):
        return Cost("hunting", 1, _HUNTING)
    return Cost(root or "other", 1, _MINUTELY)


def _security(_: str, path: list[str], __: str) -> Cost:
    root = path[1].lower() if len(path) > 1 else ""
    if root == "advancedhunting":
        return Cost("hunting", 1, _HUNTING)
    return Cost(root or "other", 1, _INCIDENTS if root == "incidents" else UNKNOWN)


_SECRETS: Final = DocumentedLimit(4_000, 10)


def _key_vault(_: str, __: list[str], ___: str) -> Cost:
    return Cost("vault", 1, _SECRETS)


_SERVICES: Final[Mapping[str, Callable[[str, list[str], str], Cost]]] = {
    "graph": _graph,
    "graphbeta": _graph,
    "azure": _arm,
    "azurekeyvault": _key_vault,
    "endpoint": _endpoint,
    "security": _security,
}
_ONE_LIMIT: Final = Cost("all", 1, UNKNOWN)


def cost_of(service: str, method: str, url: str) -> Cost:
    """
    Return a request's cost, and the limit it counts against.

    Args:
        service: The name of the service; a registered one has a single limit.
        method: In upper case.
        url: Absolute and escaped.

    Example:
        >>> cost_of("Graph", "GET", "https://graph.microsoft.com/v1.0/groups/1/members?$select=id")[:2]
        ('directory', 2)
        >>> cost_of("Azure", "DELETE", "https://management.azure.com/subscriptions/7/resourceGroups/x")[:2]
        ('deletes of 7', 1)
    """
    find_cost = _SERVICES.get(service.lower())
    if find_cost is None:
        return _ONE_LIMIT
    where, _, query = url.partition("?")
    return find_cost(method, where.split("/")[3:], query)


def shape_of(method: str, url: str) -> tuple[str, ...] | None:
    """
    Return what the cost of a request depends on, if that is the same for many: requests of one shape cost the same.

    It takes a fraction of the time of :func:`cost_of`.

    Args:
        method: In upper case.
        url: See :func:`cost_of`.

    Example:
        >>> shape_of("GET", "https://graph.microsoft.com/v1.0/users/ada@contoso.com/memberOf")
        ('GET', 'graph.microsoft.com', 'v1.0', 'users', '*', 'memberOf')
    """
    parts = url.split("/", 6)
    count = len(parts)
    if count == _COLLECTION:
        return None if "?" in parts[4] else (method, parts[2], parts[3], parts[4])
    if count < _COLLECTION or parts[4] not in _OF_OBJECTS:
        return None
    if count == _OBJECT or "?" in parts[5]:
        # What is posted to may be a function.
        return None if method == "POST" else (method, parts[2], parts[3], parts[4], "*?", url.partition("?")[2])
    rest = parts[6]
    if rest.partition("/")[0].partition("?")[0] in _MAIL:
        return None
    return method, parts[2], parts[3], parts[4], "*", rest
