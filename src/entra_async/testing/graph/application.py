"""
The emulated Microsoft Graph: users and groups of the directory, on ``/v1.0`` and ``/beta``.

Sources:
    https://learn.microsoft.com/en-us/graph/use-the-api
    https://learn.microsoft.com/en-us/graph/api/overview
"""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from aiohttp import web

from entra_async.testing.directory.security_records import SecurityRecords
from entra_async.testing.drives.errors import DriveError
from entra_async.testing.entra.tokens.access import Access, Authorize, Unauthorized
from entra_async.testing.faults.responses import ERROR_FORMAT
from entra_async.testing.graph.batch import Batches
from entra_async.testing.graph.behaviour import GraphBehaviour
from entra_async.testing.graph.call import GraphCall, Routes
from entra_async.testing.graph.costs import graph_cost
from entra_async.testing.graph.directory import DirectoryOperations
from entra_async.testing.graph.drives.operations import GraphDrives
from entra_async.testing.graph.drives.paths import read_drive_path
from entra_async.testing.graph.errors import (
    GraphError,
    bad_request,
    method_not_allowed,
    throttled,
    unauthorized,
    unknown_segment,
)
from entra_async.testing.graph.permissions import MICROSOFT_GRAPH
from entra_async.testing.graph.planner import PlannerOperations
from entra_async.testing.graph.reads import GraphReader
from entra_async.testing.graph.responses import ERRORS, common_headers, error_response
from entra_async.testing.graph.security import security_routes
from entra_async.testing.hunting.hunting import Hunting
from entra_async.testing.odata.filter import FilterError
from entra_async.testing.odata.query import QueryError
from entra_async.testing.wire.headers import HeaderError, check_headers

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import Directory
    from entra_async.testing.drives.drives import Drives
    from entra_async.testing.faults.faults import Faults
    from entra_async.testing.limits.throttle import Throttle
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("graph_application",)

# https://learn.microsoft.com/en-us/answers/questions/1824204/graph-api-user-sendmail-request-size-limit
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
_ERRORS: Final = (GraphError, DriveError, HeaderError, Unauthorized, QueryError, FilterError, web.HTTPException)
_BATCH: Final = ("$batch",)
_VERSIONS: Final = ("v1.0", "beta")
_DELTA: Final = re.compile(r"(microsoft\.graph\.)?delta(\(\))?")
_KEY_IN_PARENTHESES: Final = re.compile(r"(\w+)\('((?:[^']|'')*)'\)")
_GUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def graph_application(
    *,
    directory: Directory,
    authorize: Authorize,
    clock: EmulatorClock,
    throttle: Throttle,
    behaviour: GraphBehaviour | None = None,
    faults: Faults | None = None,
    records: SecurityRecords | None = None,
    hunting: Hunting | None = None,
    drives: Drives | None = None,
) -> web.Application:
    """
    Return Microsoft Graph as an aiohttp application.

    Args:
        directory: Whose users and groups.
        authorize: Judges the access token of each request.
        clock: Dates the responses, and ages page tokens.
        throttle: Consulted once per request, for the service ``"graph"`` and the workload it belongs to.
        behaviour: What tests change while it runs.
        faults: Those to inject into single items of a batch; those of whole requests are injected before.
        records: The sign-ins and whatever else isn't in the directory.
        hunting: Runs queries.
        drives: The users' drives; without them no path leads to one.
    """
    application = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    application[ERROR_FORMAT] = ERRORS
    records = records or SecurityRecords(directory)
    hunting = hunting or Hunting(directory, records)
    behaviour = behaviour or GraphBehaviour()
    service = _Graph(directory, authorize, clock, throttle, behaviour, faults, records, hunting, drives)
    application.router.add_route("*", "/{path:.*}", service.handle)
    return application


class _Graph:
    """Routes requests, and adds the headers that every response has."""

    def __init__(
        self,
        directory: Directory,
        authorize: Authorize,
        clock: EmulatorClock,
        throttle: Throttle,
        behaviour: GraphBehaviour,
        faults: Faults | None,
        records: SecurityRecords,
        hunting: Hunting,
        drives: Drives | None,
    ) -> None:
        self._drives = None if drives is None else GraphDrives(drives, clock)
        self._directory = directory
        self._authorize = authorize
        self._clock = clock
        self._throttle = throttle
        self._hunting = hunting
        batches = Batches(self.handle, clock, faults)
        # "*" stands for the key of an object.
        self._routes: Routes = {
            _BATCH: {"POST": batches.handle},
            **DirectoryOperations(directory, clock, behaviour).routes,
            **PlannerOperations(clock).routes,
            **security_routes(GraphReader(clock, behaviour), records, hunting),
        }
        self._prefixes = {route[:length] for route in self._routes for length in range(1, len(route) + 1)}

    async def handle(self, request: IncomingRequest) -> web.Response:
        """Handle any request, or item of a batch."""
        common = common_headers(request)
        limit_headers: dict[str, str] = {}
        try:
            version, path = _split(request)
            check_headers(request, plain_text=path[-1:] == ["$count"])
            access = self._authorize(request, MICROSOFT_GRAPH.audiences)
            if tuple(path) != _BATCH:  # its items count, one by one
                limit_headers = self._check_limits(request, path, access)
            response = await self._route(request, version, path, access)
        except _ERRORS as reason:
            response = error_response(_as_graph_error(reason), common, now_s=self._clock.now())
        response.headers.update({**common, **limit_headers, "Date": formatdate(self._clock.now(), usegmt=True)})
        return response

    def _check_limits(self, request: IncomingRequest, path: list[str], access: Access) -> dict[str, str]:
        """Count the request, and return the headers that report its cost."""
        app_id = str(access.claims.get("appid") or access.claims.get("azp"))
        priority = request.headers.get("x-ms-throttle-priority")
        cost = graph_cost(
            request.method, path, request.rel_url.raw_query_string, priority, running_s=self._hunting.running_s
        )
        decision = self._throttle.take("graph", app_id, cost)
        if not decision.allowed:
            raise throttled(decision, app_id, self._directory.tenant_id)
        headers = {"x-ms-resource-unit": str(cost.units)} if cost.workload == "directory" else {}
        if decision.load is not None:
            headers["x-ms-throttle-limit-percentage"] = f"{decision.load:.2f}"
        return headers

    async def _route(self, request: IncomingRequest, version: str, path: list[str], access: Access) -> web.Response:
        drive_path = None if self._drives is None else read_drive_path(request)
        if self._drives is not None and drive_path is not None:
            return await self._drives.handle(request, version, drive_path, access, _own_id)
        route: tuple[str, ...] = ()
        key = ""
        for segment in path:
            is_key = isinstance(segment, _Key)
            if not is_key and (*route, segment) in self._prefixes:
                route = (*route, segment)
            elif (*route, "*") in self._prefixes and (is_key or (segment and not segment.startswith("$"))):
                route, key = (*route, "*"), segment
            else:
                raise unknown_segment(segment)
        handlers = self._routes.get(route)
        if handlers is None:
            raise unknown_segment(version)
        handler = handlers.get(request.method)
        if handler is None:
            raise method_not_allowed(", ".join(handlers))
        if route[0] == "me":
            key = _own_id(access)
        return await handler(GraphCall(request, version, tuple(path), key, access))


class _Key(str):
    """A segment that was written in parentheses: an object's key, even where it reads like a name of the path."""

    __slots__ = ()


def _split(request: IncomingRequest) -> tuple[str, list[str]]:
    """
    Return the version and the path after it, decoded; a key in parentheses is a segment of its own.

    Raises:
        GraphError: 400 for an unknown version.
    """
    _, version, *rest = request.rel_url.raw_path.split("/")
    if version not in _VERSIONS:
        message = f"Invalid version: {unquote(version)}"
        raise bad_request(message, code="BadRequest")
    if rest and not rest[-1]:
        rest.pop()  # a trailing slash
    if len(rest) == 2 and _DELTA.fullmatch(rest[1]):
        rest[1] = "delta"  # the function, by its full name and as msgraph-sdk calls it
    path: list[str] = []
    for segment in map(unquote, rest):
        keyed = _KEY_IN_PARENTHESES.fullmatch(segment)
        path += [keyed[1], _Key(keyed[2].replace("''", "'"))] if keyed else [segment]
    return version, path


def _own_id(access: Access) -> str:
    if access.app_only:
        message = "/me request is only valid with delegated authentication flow."
        raise bad_request(message, code="BadRequest")
    return str(access.claims["oid"])


def _as_graph_error(reason: Exception) -> GraphError:
    match reason:
        case GraphError():
            return reason
        case DriveError():
            return GraphError(reason.status, reason.code, reason.message, headers=reason.headers)
        case HeaderError():
            return GraphError(reason.status, reason.code, reason.message)
        case Unauthorized():
            return unauthorized(reason.message, reason.challenges)
        case QueryError():
            return bad_request(str(reason))
        case FilterError():
            return bad_request(f"Invalid filter clause: {reason}", code="BadRequest")
        case web.HTTPException():
            return GraphError(reason.status, "BadRequest", reason.reason)
        case _:
            raise reason
