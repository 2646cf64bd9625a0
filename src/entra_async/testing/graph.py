"""
The emulated Microsoft Graph: users and groups of the directory, on ``/v1.0`` and ``/beta``.

Sources:
    https://learn.microsoft.com/en-us/graph/use-the-api
    https://learn.microsoft.com/en-us/graph/api/overview
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from aiohttp import web

from entra_async.testing.access import Access, Authorize, Unauthorized
from entra_async.testing.graph_answers import common_headers, error_answer
from entra_async.testing.graph_batch import Batches
from entra_async.testing.graph_behaviour import GraphBehaviour
from entra_async.testing.graph_call import GraphCall
from entra_async.testing.graph_errors import (
    GraphError,
    bad_request,
    method_not_allowed,
    not_found,
    throttled,
    unauthorized,
    unknown_segment,
)
from entra_async.testing.graph_reads import GraphReader, Listing
from entra_async.testing.graph_schema import (
    DELETE_USERS,
    GRAPH_ROLES,
    GROUP,
    READ_GROUPS,
    READ_ME,
    READ_MEMBERS,
    READ_USERS,
    USER,
    WRITE_USERS,
)
from entra_async.testing.graph_writes import read_changes, read_json, read_new_user
from entra_async.testing.odata import QueryError
from entra_async.testing.odata_filter import FilterError
from entra_async.testing.request_headers import HeaderError, check_headers

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory import Directory
    from entra_async.testing.faults import Faults
    from entra_async.testing.incoming import Incoming
    from entra_async.testing.throttle import Throttle

__all__ = ("GRAPH_ROLES", "graph_application")

Handler = Callable[[GraphCall], Awaitable[web.Response]]

_AUDIENCES: Final = frozenset(
    {"https://graph.microsoft.com", "https://graph.microsoft.com/", "00000003-0000-0000-c000-000000000000"}
)
# https://learn.microsoft.com/en-us/answers/questions/1824204/graph-api-user-sendmail-request-size-limit
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
_BATCH: Final = ("$batch",)
_VERSIONS: Final = ("v1.0", "beta")
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
) -> web.Application:
    """
    Return Microsoft Graph as an aiohttp application.

    Args:
        directory: Whose users and groups.
        authorize: Judges the access token of each request.
        clock: Dates the answers, and ages page tokens.
        throttle: Asked once per request, for the service ``"graph"``.
        behaviour: What tests change while it runs.
        faults: What strikes single items of a batch; whole requests are struck before they get here.
    """
    application = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    service = _Graph(directory, authorize, clock, throttle, behaviour or GraphBehaviour(), faults)
    application.router.add_route("*", "/{path:.*}", service.answer)
    return application


class _Graph:
    """Finds the way of a request, and gives every answer what all answers have."""

    def __init__(
        self,
        directory: Directory,
        authorize: Authorize,
        clock: EmulatorClock,
        throttle: Throttle,
        behaviour: GraphBehaviour,
        faults: Faults | None,
    ) -> None:
        self._directory = directory
        self._authorize = authorize
        self._clock = clock
        self._throttle = throttle
        self._reader = GraphReader(clock, behaviour)
        # "*" stands for the key of an object.
        self._routes: Mapping[tuple[str, ...], Mapping[str, Handler]] = {
            _BATCH: {"POST": Batches(self.answer, clock, faults).answer},
            ("users",): {"GET": self._list_users, "POST": self._create_user},
            ("users", "$count"): {"GET": self._count_users},
            ("users", "*"): {"GET": self._get_user, "PATCH": self._update_user, "DELETE": self._delete_user},
            ("users", "*", "memberOf"): {"GET": self._list_member_of},
            ("users", "*", "memberOf", "$count"): {"GET": self._count_member_of},
            ("groups",): {"GET": self._list_groups},
            ("groups", "$count"): {"GET": self._count_groups},
            ("groups", "*"): {"GET": self._get_group},
            ("groups", "*", "members"): {"GET": self._list_members},
            ("groups", "*", "members", "$count"): {"GET": self._count_members},
            ("me",): {"GET": self._get_me},
            ("me", "memberOf"): {"GET": self._list_member_of},
            ("me", "memberOf", "$count"): {"GET": self._count_member_of},
        }
        self._prefixes = {route[:length] for route in self._routes for length in range(1, len(route) + 1)}

    async def answer(self, request: Incoming) -> web.Response:
        """Answer any request, or item of a batch."""
        common = common_headers(request)
        load: float | None = None
        try:
            version, path = _split(request)
            check_headers(request, plain_text=path[-1:] == ["$count"])
            access = self._authorize(request, _AUDIENCES)
            if tuple(path) != _BATCH:  # its items are charged, one by one
                load = self._charge(access)
            response = await self._route(request, version, path, access)
        except (GraphError, HeaderError, Unauthorized, QueryError, FilterError, web.HTTPException) as reason:
            response = error_answer(_as_graph_error(reason), common, now_s=self._clock.now())
        response.headers.update({**common, "Date": formatdate(self._clock.now(), usegmt=True)})
        if load is not None:
            response.headers["x-ms-throttle-limit-percentage"] = f"{load:.2f}"
        return response

    def _charge(self, access: Access) -> float | None:
        app_id = str(access.claims.get("appid") or access.claims.get("azp"))
        verdict = self._throttle.take("graph", app_id)
        if not verdict.allowed:
            scope = f"Tenant_Application/ReadWrite/{app_id}/{self._directory.tenant_id}"
            raise throttled(verdict.retry_after, scope)
        return verdict.load

    async def _route(self, request: Incoming, version: str, path: list[str], access: Access) -> web.Response:
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

    async def _list_users(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return await self._reader.page(call, self._users)

    async def _count_users(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return await self._reader.count(call, self._users)

    async def _get_user(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return self._reader.entity(call, self._directory.users, self._user(call), USER)

    async def _get_me(self, call: GraphCall) -> web.Response:
        call.require(READ_ME)
        return self._reader.entity(call, self._directory.users, self._user(call), USER)

    async def _create_user(self, call: GraphCall) -> web.Response:
        call.require(WRITE_USERS)
        call.options()
        users = self._directory.users
        body = await read_json(call.request)
        created = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        index = users.create({**read_new_user(body, self._directory), "createdDateTime": created})
        user = users.projector(USER.default)(index)
        answer = {"@odata.context": f"{call.root}/$metadata#users/$entity", **user}
        return call.answer(answer, units=1, status=201, location=f"{call.root}/users/{user['id']}")

    async def _update_user(self, call: GraphCall) -> web.Response:
        call.require(WRITE_USERS)
        call.options()
        body = await read_json(call.request)
        index = self._user(call)
        self._directory.users.update(index, read_changes(body, self._directory, index))
        return web.Response(status=204, headers={"x-ms-resource-unit": "1"})

    async def _delete_user(self, call: GraphCall) -> web.Response:
        call.require(DELETE_USERS)
        call.options()
        self._directory.users.delete(self._user(call))
        return web.Response(status=204, headers={"x-ms-resource-unit": "1"})

    async def _list_member_of(self, call: GraphCall) -> web.Response:
        return await self._reader.page(call, self._member_of(call))

    async def _count_member_of(self, call: GraphCall) -> web.Response:
        return await self._reader.count(call, self._member_of(call))

    async def _list_groups(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return await self._reader.page(call, self._groups)

    async def _count_groups(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return await self._reader.count(call, self._groups)

    async def _get_group(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return self._reader.entity(call, self._directory.groups, self._group(call), GROUP)

    async def _list_members(self, call: GraphCall) -> web.Response:
        return await self._reader.page(call, self._members(call))

    async def _count_members(self, call: GraphCall) -> web.Response:
        return await self._reader.count(call, self._members(call))

    @property
    def _users(self) -> Listing:
        unique = frozenset({"id", "userPrincipalName"})
        return Listing(selection=self._directory.users.selection, entity=USER, context="users", unique=unique, units=2)

    @property
    def _groups(self) -> Listing:
        selection = self._directory.groups.selection
        return Listing(selection=selection, entity=GROUP, context="groups", unique=frozenset({"id"}))

    def _members(self, call: GraphCall) -> Listing:
        call.require(READ_MEMBERS)
        selection = self._directory.members(self._group(call))
        readable = not call.access.roles.isdisjoint(READ_USERS)
        return Listing(selection=selection, entity=USER, context="directoryObjects", units=3, readable=readable)

    def _member_of(self, call: GraphCall) -> Listing:
        call.require(READ_GROUPS | ({"User.Read"} if call.path[0] == "me" else set()))
        selection = self._directory.member_of(self._user(call))
        return Listing(selection=selection, entity=GROUP, context="directoryObjects", units=2)

    def _user(self, call: GraphCall) -> int:
        index = self._directory.users.find(call.key)
        if index is None:
            raise not_found(call.key)
        return index

    def _group(self, call: GraphCall) -> int:
        if _GUID.fullmatch(call.key) is None:
            message = f"Invalid object identifier '{call.key}'."
            raise bad_request(message)
        index = self._directory.groups.find(call.key)
        if index is None:
            raise not_found(call.key)
        return index


class _Key(str):
    """A segment that was written in parentheses: an object's key, even where it reads like a name of the path."""

    __slots__ = ()


def _split(request: Incoming) -> tuple[str, list[str]]:
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
