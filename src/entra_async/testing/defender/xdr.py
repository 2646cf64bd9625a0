"""
The emulated Defender XDR: incidents and hunting, under ``/api``.

Sources:
    https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents
    https://learn.microsoft.com/en-us/defender-xdr/api-get-incident
    https://learn.microsoft.com/en-us/defender-xdr/api-update-incidents
    https://learn.microsoft.com/en-us/defender-xdr/api-advanced-hunting
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.defender.pages import DefenderPages
from entra_async.testing.defender.responses import DefenderError, json_response, read_body, read_query
from entra_async.testing.defender.service import DefenderService, Permissions
from entra_async.testing.entra.resource_servers import ResourceServer
from entra_async.testing.limits.throttle import RequestCost
from entra_async.testing.odata.filter import Property
from entra_async.testing.odata.query import QueryError, parse_number, parse_query

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.security_records import SecurityRecords
    from entra_async.testing.entra.tokens.access import Access, Authorize
    from entra_async.testing.hunting.hunting import Hunting, HuntingResult
    from entra_async.testing.limits.throttle import Throttle

__all__ = ("DEFENDER_XDR", "defender_xdr_application")

_READ: Final = Permissions(
    frozenset({"Incident.Read.All", "Incident.ReadWrite.All"}), frozenset({"Incident.Read", "Incident.ReadWrite"})
)
_WRITE: Final = Permissions(frozenset({"Incident.ReadWrite.All"}), frozenset({"Incident.ReadWrite"}))
_HUNT: Final = Permissions(frozenset({"AdvancedHunting.Read.All"}), frozenset({"AdvancedHunting.Read"}))

DEFENDER_XDR: Final = ResourceServer(
    app_id="8ee8fdad-f234-4243-8f3b-15c294843740",
    # The documented one, and the older one that is still in use.
    identifiers=frozenset({"https://api.security.microsoft.com", "https://security.microsoft.com/mtp"}),
    roles=_READ.roles | _HUNT.roles,
    scopes=_READ.scopes | _HUNT.scopes,
)
"""Defender XDR as Entra ID knows it, with the permissions that the emulator knows."""

_LARGEST_PAGE: Final = 100
_LONGEST_QUERY_S: Final = 180.0
_COMPARED: Final = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})
_NAMED: Final = frozenset({"eq", "ne", "in", "null", "not"})
_FILTERS: Final[Mapping[str, Property]] = {  # not severity, as the page says
    "lastUpdateTime": Property("DateTimeOffset", _COMPARED),
    "createdTime": Property("DateTimeOffset", _COMPARED),
    "status": Property("String", _NAMED),
    "assignedTo": Property("String", _NAMED),
}
_STATUSES: Final = ("Active", "Resolved", "InProgress", "Redirected")
_DETERMINATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "TruePositive": (
        *("MultiStagedAttack", "MaliciousUserActivity", "CompromisedAccount", "Malware", "Phishing"),
        *("UnwantedSoftware", "Other"),
    ),
    "InformationalExpectedActivity": ("SecurityTesting", "LineOfBusinessApplication", "ConfirmedActivity", "Other"),
    "FalsePositive": ("Clean", "NoEnoughDataToValidate", "Other"),
}
_CHANGEABLE: Final = ("status", "assignedTo", "classification", "determination", "tags", "comment")


def defender_xdr_application(
    *, records: SecurityRecords, hunting: Hunting, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
) -> web.Application:
    """
    Return Defender XDR as an aiohttp application.

    Args:
        records: Whose incidents.
        hunting: Runs queries.
        authorize: Judges the access token of each request.
        clock: Dates the responses and what is changed.
        throttle: Consulted once per request, for the service ``"security"`` and the workload it belongs to.
    """
    return _Xdr(records, hunting, authorize=authorize, clock=clock, throttle=throttle).application()


class _Xdr(DefenderService):
    def __init__(self, records: SecurityRecords, hunting: Hunting, **common: Any) -> None:
        super().__init__("security", DEFENDER_XDR.audiences, **common)
        self._hunting = hunting
        self._incidents = DefenderPages(
            context="Incidents",
            objects=records.incidents,
            filters=_FILTERS,
            type_name="microsoft.mtp.api.Incident",
        )

    def cost(self, path: list[str]) -> RequestCost:
        if path[1:2] == ["advancedhunting"]:
            return RequestCost(workload="hunting", running_s=self._hunting.running_s)
        return RequestCost(workload="incidents")

    async def route(self, request: web.Request, path: list[str], access: Access) -> web.Response:
        match path, request.method:
            case ["api", "incidents"], "GET":
                _READ.check(access)
                return await self._list(request)
            case ["api", "incidents", key], "GET":
                _READ.check(access)
                return self._incidents.entity(request, self._find(request, key))
            case ["api", "incidents", key], "PATCH":
                _WRITE.check(access)
                return await self._update(request, self._find(request, key), access)
            case ["api", "advancedhunting", "run"], "POST":
                _HUNT.check(access)
                return await self._hunt(request)
            case ((["api", "incidents"] | ["api", "incidents", _] | ["api", "advancedhunting", "run"]), method):
                allowed = {"incidents": "GET", "advancedhunting": "POST"}[path[1]] + (
                    ", PATCH" if len(path) == 3 else ""
                )
                message = f"The requested resource does not support http method '{method}'."
                raise DefenderError(405, "MethodNotAllowed", message, headers={"Allow": allowed})
            case _:
                message = f"No HTTP resource was found that matches the request URI '{request.rel_url.raw_path}'."
                raise DefenderError(404, "NotFound", message)

    async def _list(self, request: web.Request) -> web.Response:
        options = parse_query(request.rel_url.raw_query_string, ("$filter", "$top", "$skip"))
        size = parse_number("$top", options.get("$top", str(_LARGEST_PAGE)))
        if not 1 <= size <= _LARGEST_PAGE:
            message = f"The value '{size}' of $top is not between 1 and {_LARGEST_PAGE}."
            raise QueryError(message)
        page = await self._incidents.page(
            request,
            options,
            size=size,
            skip=parse_number("$skip", options.get("$skip", "0")),
            names=tuple(self._incidents.objects.properties),
            next_links=False,  # the documentation knows only $skip
        )
        return page or json_response(
            {"@odata.context": self._incidents.link(request, "$metadata#Incidents"), "value": []}
        )

    def _find(self, request: web.Request, key: str) -> int:
        parse_query(request.rel_url.raw_query_string, ())
        index = self._incidents.objects.find(key)
        if index is None:
            message = f"Incident {key} was not found."
            raise DefenderError(404, "ResourceNotFound", message)
        return index

    async def _update(self, request: web.Request, index: int, access: Access) -> web.Response:
        incidents = self._incidents.objects
        changes = await read_body(request)
        if problem := _problem(changes, str(incidents.reader("classification")(index))):
            raise DefenderError(400, "InvalidRequestBody", problem)
        now = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        if (comment := changes.pop("comment", None)) is not None:
            author = str(access.claims.get("upn") or access.claims.get("appid"))
            existing = incidents.reader("comments")(index)
            changes["comments"] = [*existing, {"comment": comment, "createdBy": author, "createdTime": now}]
        incidents.update(index, {**changes, "lastUpdateTime": now})
        return self._incidents.entity(request, index)

    async def _hunt(self, request: web.Request) -> web.Response:
        parse_query(request.rel_url.raw_query_string, ())
        query = read_query(await read_body(request))
        return json_response(
            _hunting_json(await self._hunting.run(query, limit_s=_LONGEST_QUERY_S), self._hunting.running_s)
        )


def _hunting_json(result: HuntingResult, running_s: float) -> dict[str, Any]:
    cpu = f"0{timedelta(seconds=running_s)}"
    return {
        "Stats": {
            "ExecutionTime": running_s,
            "resource_usage": {"cpu": {"user": cpu, "kernel": "00:00:00", "total cpu": cpu}},
            "dataset_statistics": [{"table_row_count": len(result.rows)}],
        },
        "Schema": [{"Name": name, "Type": kind} for name, kind in result.columns.items()],
        "Results": result.rows,
    }


def _problem(changes: Mapping[str, Any], classification: str) -> str | None:
    """Return what is wrong with the changes to an incident that is classified like that."""
    if unknown := changes.keys() - set(_CHANGEABLE):
        return f"'{min(unknown)}' can not be changed; {', '.join(_CHANGEABLE)} can. Names are case-sensitive."
    if not changes:
        return "Nothing is to be changed."
    for name, value in changes.items():
        is_right = _is_tags(value) if name == "tags" else isinstance(value, str)
        if not is_right and not (name == "assignedTo" and value is None):
            return f"The value of '{name}' is of the wrong type."
    if changes.get("status", "Active") not in _STATUSES:
        return f"'{changes['status']}' is no status."
    if "classification" in changes and changes["classification"] not in _DETERMINATIONS:
        return f"'{changes['classification']}' is no classification."
    fitting = _DETERMINATIONS.get(changes.get("classification", classification), ())
    if "determination" in changes and changes["determination"] not in fitting:
        return f"'{changes['determination']}' is no determination of the incident's classification."
    return None


def _is_tags(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(tag, str) for tag in value)
