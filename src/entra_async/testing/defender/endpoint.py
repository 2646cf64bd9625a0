"""
The emulated Defender for Endpoint: machines, alerts and hunting, under ``/api``.

Sources:
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machine-by-id
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-alerts
    https://learn.microsoft.com/en-us/defender-endpoint/api/run-advanced-query-api
    https://learn.microsoft.com/en-us/defender-endpoint/api/exposed-apis-odata-samples
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.defender.pages import DefenderBehaviour, DefenderPages
from entra_async.testing.defender.responses import DefenderError, json_response, read_body, read_query
from entra_async.testing.defender.service import DefenderService, Permissions
from entra_async.testing.directory.security_records import SecurityRecords
from entra_async.testing.entra.resource_servers import ResourceServer
from entra_async.testing.hunting.hunting import DEVICE_TABLES, Hunting
from entra_async.testing.limits.throttle import RequestCost
from entra_async.testing.odata.filter import EdmType, Property
from entra_async.testing.odata.query import QueryError, parse_number, parse_query

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import Directory
    from entra_async.testing.entra.tokens.access import Access, Authorize
    from entra_async.testing.limits.throttle import Throttle

__all__ = ("DEFENDER_FOR_ENDPOINT", "defender_application")

_READ_MACHINES: Final = Permissions(
    frozenset({"Machine.Read.All", "Machine.ReadWrite.All"}), frozenset({"Machine.Read", "Machine.ReadWrite"})
)
_READ_ALERTS: Final = Permissions(
    frozenset({"Alert.Read.All", "Alert.ReadWrite.All"}), frozenset({"Alert.Read", "Alert.ReadWrite"})
)
_HUNT: Final = Permissions(frozenset({"AdvancedQuery.Read.All"}), frozenset({"AdvancedQuery.Read"}))

DEFENDER_FOR_ENDPOINT: Final = ResourceServer(
    app_id="fc780465-2017-40d4-a0c5-307022471b92",
    identifiers=frozenset({"https://api.securitycenter.microsoft.com"}),
    roles=_READ_MACHINES.roles | _READ_ALERTS.roles | _HUNT.roles,
    scopes=_READ_MACHINES.scopes | _READ_ALERTS.scopes | _HUNT.scopes,
)
"""Defender for Endpoint as Entra ID knows it, with the permissions that the emulator knows."""

_LARGEST_PAGE: Final = 10_000
_LONGEST_QUERY_S: Final = 200.0


def _property(type_: EdmType = "String") -> Property:
    operators = (
        "eq startsWith" if type_ == "Collection(String)" else "eq ne in gt ge lt le startsWith endsWith null not"
    )
    return Property(type_, frozenset(operators.split()))


_MACHINE_FILTERS: Final[Mapping[str, Property]] = {
    "id": _property(),
    "aadDeviceId": _property(),
    "computerDnsName": _property(),
    "deviceValue": _property(),
    "exposureLevel": _property(),
    "healthStatus": _property(),
    "lastIpAddress": _property(),
    "lastSeen": _property("DateTimeOffset"),
    "machineTags": _property("Collection(String)"),
    "onboardingStatus": _property(),
    "osPlatform": _property(),
    "rbacGroupId": _property("Int32"),
    "riskScore": _property(),
    "version": _property(),
}
_ALERT_FILTERS: Final[Mapping[str, Property]] = {
    "id": _property(),
    "alertCreationTime": _property("DateTimeOffset"),
    "assignedTo": _property(),
    "category": _property(),
    "detectionSource": _property(),
    "incidentId": _property("Int32"),
    "investigationId": _property("Int32"),
    "lastEventTime": _property("DateTimeOffset"),
    "lastUpdateTime": _property("DateTimeOffset"),
    "severity": _property(),
    "status": _property(),
}


def defender_application(
    *,
    directory: Directory,
    authorize: Authorize,
    clock: EmulatorClock,
    throttle: Throttle,
    records: SecurityRecords | None = None,
    hunting: Hunting | None = None,
    behaviour: DefenderBehaviour | None = None,
) -> web.Application:
    """
    Return Defender for Endpoint as an aiohttp application.

    Args:
        directory: Whose machines.
        authorize: Judges the access token of each request.
        clock: Dates the responses.
        throttle: Consulted once per request, for the service ``"endpoint"`` and the workload it belongs to.
        records: Whose alerts.
        hunting: Runs queries.
        behaviour: What tests change while it runs.
    """
    records = records or SecurityRecords(directory)
    return _Endpoint(
        directory,
        records,
        hunting or Hunting(directory, records),
        behaviour or DefenderBehaviour(),
        authorize=authorize,
        clock=clock,
        throttle=throttle,
    ).application()


class _Endpoint(DefenderService):
    def __init__(
        self,
        directory: Directory,
        records: SecurityRecords,
        hunting: Hunting,
        behaviour: DefenderBehaviour,
        **common: Any,
    ) -> None:
        super().__init__("endpoint", DEFENDER_FOR_ENDPOINT.audiences, **common)
        self._hunting = hunting
        self._behaviour = behaviour
        name = "microsoft.windowsDefenderATP.api"
        machines = DefenderPages(
            context="Machines", objects=directory.machines, filters=_MACHINE_FILTERS, type_name=f"{name}.Machine"
        )
        alerts = DefenderPages(
            context="Alerts", objects=records.alerts, filters=_ALERT_FILTERS, type_name=f"{name}.Alert"
        )
        self._collections = {"machines": (machines, _READ_MACHINES), "alerts": (alerts, _READ_ALERTS)}

    def cost(self, path: list[str]) -> RequestCost:
        if path[1:2] == ["advancedqueries"]:
            return RequestCost(workload="hunting", running_s=self._hunting.running_s)
        return RequestCost(workload="alerts" if path[1:2] == ["alerts"] else "machines")

    async def route(self, request: web.Request, path: list[str], access: Access) -> web.Response:
        is_hunting = path == ["api", "advancedqueries", "run"]
        if not is_hunting and not (path[0] == "api" and len(path) in {2, 3} and path[1] in self._collections):
            message = f"No HTTP resource was found that matches the request URI '{request.rel_url.raw_path}'."
            raise DefenderError(404, "NotFound", message)
        allowed = "POST" if is_hunting else "GET"
        if request.method != allowed:
            message = f"The requested resource does not support http method '{request.method}'."
            raise DefenderError(405, "MethodNotAllowed", message, headers={"Allow": allowed})
        if is_hunting:
            _HUNT.check(access)
            return await self._hunt(request)
        collection, permissions = self._collections[path[1]]
        permissions.check(access)
        return await self._list(request, collection) if len(path) == 2 else self._get(request, collection, path[2])

    def _get(self, request: web.Request, collection: DefenderPages, key: str) -> web.Response:
        parse_query(request.rel_url.raw_query_string, ())
        index = collection.objects.find(key)
        if index is None:
            message = f"{collection.context[:-1]} {key} was not found."
            raise DefenderError(404, "ResourceNotFound", message)
        return collection.entity(request, index)

    async def _list(self, request: web.Request, collection: DefenderPages) -> web.Response:
        options, names = _options(request, collection)
        size = parse_number("$top", options.get("$top", str(_LARGEST_PAGE)))
        if size > _LARGEST_PAGE:
            message = (
                f"The limit of '{_LARGEST_PAGE}' for Top query has been exceeded. "
                f"The value from the incoming request is '{size}'."
            )
            raise QueryError(message)
        page = await collection.page(
            request,
            options,
            size=min(size, self._behaviour.page_size),
            skip=parse_number("$skip", options.get("$skip", "0")),
            names=names,
            next_links=self._behaviour.next_links,
        )
        if page is not None:
            return page
        if self._behaviour.empty_is_404:
            message = f"No {collection.context.lower()} were found."
            raise DefenderError(404, "NotFound", message)
        return json_response(
            {"@odata.context": collection.link(request, f"$metadata#{collection.context}"), "value": []}
        )

    async def _hunt(self, request: web.Request) -> web.Response:
        parse_query(request.rel_url.raw_query_string, ())
        query = read_query(await read_body(request))
        result = await self._hunting.run(query, limit_s=_LONGEST_QUERY_S, tables=DEVICE_TABLES)
        schema = [{"Name": name, "Type": kind} for name, kind in result.columns.items()]
        return json_response({"Schema": schema, "Results": result.rows})


def _options(request: web.Request, collection: DefenderPages) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the query options of a list, and the properties to report: evidence only to who expands it."""
    known = ("$filter", "$top", "$skip") + (("$expand",) if collection.context == "Alerts" else ())
    options = parse_query(request.rel_url.raw_query_string, known)
    expanded = options.get("$expand")
    if expanded not in {None, "evidence"}:
        message = f"The property '{expanded}' can not be expanded."
        raise QueryError(message)
    names: Any = (name for name in collection.objects.properties if name != "evidence" or expanded is not None)
    return options, tuple(names)
