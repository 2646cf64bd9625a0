"""
The operations of Microsoft Graph on users and groups.

Sources:
    https://learn.microsoft.com/en-us/graph/api/resources/user
    https://learn.microsoft.com/en-us/graph/api/resources/group
    https://learn.microsoft.com/en-us/graph/api/resources/directory (deleted items)
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from entra_async.testing.graph.delta import DeltaReader
from entra_async.testing.graph.errors import bad_request, not_found
from entra_async.testing.graph.permissions import (
    DELETE_USERS,
    READ_GROUPS,
    READ_ME,
    READ_MEMBERS,
    READ_USERS,
    WRITE_GROUPS,
    WRITE_USERS,
)
from entra_async.testing.graph.reads import GraphReader, Listing
from entra_async.testing.graph.schema import GROUP, USER
from entra_async.testing.graph.writes import (
    read_group_changes,
    read_json,
    read_new_group,
    read_new_user,
    read_user_changes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import Directory, Objects
    from entra_async.testing.graph.behaviour import GraphBehaviour
    from entra_async.testing.graph.call import GraphCall, Routes
    from entra_async.testing.graph.schema import EntityType

__all__ = ("DirectoryOperations",)

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class DirectoryOperations:
    """
    Reads and writes users and groups.

    Args:
        directory: Where they are.
        clock: Dates new objects, and ages page tokens.
        behaviour: What tests change.
    """

    def __init__(self, directory: Directory, clock: EmulatorClock, behaviour: GraphBehaviour) -> None:
        self._directory = directory
        self._clock = clock
        self._reads = GraphReader(clock, behaviour)
        self._delta = DeltaReader(clock, behaviour)

    @property
    def routes(self) -> Routes:
        """The operations by path, ``*`` standing for a key, and method."""
        return {
            ("users",): {"GET": self._list_users, "POST": self._create_user},
            ("users", "$count"): {"GET": self._count_users},
            ("users", "*"): {"GET": self._get_user, "PATCH": self._update_user, "DELETE": self._delete_user},
            ("users", "*", "memberOf"): {"GET": self._list_member_of},
            ("users", "*", "memberOf", "$count"): {"GET": self._count_member_of},
            ("users", "delta"): {"GET": self._users_delta},
            ("groups",): {"GET": self._list_groups, "POST": self._create_group},
            ("groups", "$count"): {"GET": self._count_groups},
            ("groups", "delta"): {"GET": self._groups_delta},
            ("groups", "*"): {"GET": self._get_group, "PATCH": self._update_group, "DELETE": self._delete_group},
            ("groups", "*", "members"): {"GET": self._list_members},
            ("groups", "*", "members", "$count"): {"GET": self._count_members},
            ("me",): {"GET": self._get_me},
            ("me", "memberOf"): {"GET": self._list_member_of},
            ("me", "memberOf", "$count"): {"GET": self._count_member_of},
            ("directory", "deletedItems", "*"): {"DELETE": self._purge},
            ("directory", "deletedItems", "*", "restore"): {"POST": self._restore},
        }

    async def _list_users(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return await self._reads.page(call, self._users)

    async def _count_users(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return await self._reads.count(call, self._users)

    async def _get_user(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return self._reads.entity(call, self._directory.users, self._user(call), USER)

    async def _get_me(self, call: GraphCall) -> web.Response:
        call.require(READ_ME)
        return self._reads.entity(call, self._directory.users, self._user(call), USER)

    async def _create_user(self, call: GraphCall) -> web.Response:
        call.require(WRITE_USERS)
        call.options()
        values = read_new_user(await read_json(call.request), self._directory)
        return self._create(call, self._directory.users, USER, values)

    async def _update_user(self, call: GraphCall) -> web.Response:
        call.require(WRITE_USERS)
        call.options()
        body = await read_json(call.request)
        index = self._user(call)
        self._directory.users.update(index, read_user_changes(body, self._directory, index))
        return web.Response(status=204)

    async def _delete_user(self, call: GraphCall) -> web.Response:
        call.require(DELETE_USERS)
        call.options()
        self._directory.users.delete(self._user(call))
        return web.Response(status=204)

    async def _list_member_of(self, call: GraphCall) -> web.Response:
        return await self._reads.page(call, self._member_of(call))

    async def _count_member_of(self, call: GraphCall) -> web.Response:
        return await self._reads.count(call, self._member_of(call))

    async def _list_groups(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return await self._reads.page(call, self._groups)

    async def _count_groups(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return await self._reads.count(call, self._groups)

    async def _get_group(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return self._reads.entity(call, self._directory.groups, self._group(call), GROUP)

    async def _create_group(self, call: GraphCall) -> web.Response:
        call.require(WRITE_GROUPS)
        call.options()
        values = read_new_group(await read_json(call.request))
        return self._create(call, self._directory.groups, GROUP, values)

    async def _update_group(self, call: GraphCall) -> web.Response:
        call.require(WRITE_GROUPS)
        call.options()
        changes = read_group_changes(await read_json(call.request))
        self._directory.groups.update(self._group(call), changes)
        return web.Response(status=204)

    async def _delete_group(self, call: GraphCall) -> web.Response:
        call.require(WRITE_GROUPS)
        call.options()
        index = self._group(call)
        # Only Microsoft 365 groups go to the deleted items: https://learn.microsoft.com/en-us/graph/api/group-delete
        unified = "Unified" in self._directory.groups.reader("groupTypes")(index)
        self._directory.groups.delete(index, restorable=unified)
        return web.Response(status=204)

    async def _users_delta(self, call: GraphCall) -> web.Response:
        call.require(READ_USERS)
        return await self._delta.page(call, self._directory.users, USER)

    async def _groups_delta(self, call: GraphCall) -> web.Response:
        call.require(READ_GROUPS)
        return await self._delta.page(call, self._directory.groups, GROUP)

    async def _purge(self, call: GraphCall) -> web.Response:
        call.options()
        objects, _, index = self._deleted(call)
        objects.purge(index)
        return web.Response(status=204)

    async def _restore(self, call: GraphCall) -> web.Response:
        call.options()
        objects, entity, index = self._deleted(call)
        if entity is USER and self._directory.users.find(self._directory.users.user_principal_name(index)) is not None:
            message = "Another object with the same value for property userPrincipalName already exists."
            raise bad_request(message, target="userPrincipalName")
        objects.restore(index)
        restored = objects.projector(entity.default)(index)
        head = {"@odata.context": f"{call.root}/$metadata#directoryObjects/$entity", "@odata.type": f"#{entity.name}"}
        return call.json_response({**head, **restored})

    async def _list_members(self, call: GraphCall) -> web.Response:
        return await self._reads.page(call, self._members(call))

    async def _count_members(self, call: GraphCall) -> web.Response:
        return await self._reads.count(call, self._members(call))

    @property
    def _users(self) -> Listing:
        unique = frozenset({"id", "userPrincipalName"})
        return Listing(selection=self._directory.users.selection, entity=USER, context="users", unique=unique)

    @property
    def _groups(self) -> Listing:
        selection = self._directory.groups.selection
        return Listing(selection=selection, entity=GROUP, context="groups", unique=frozenset({"id"}))

    def _members(self, call: GraphCall) -> Listing:
        call.require(READ_MEMBERS)
        selection = self._directory.members(self._group(call))
        readable = not call.access.roles.isdisjoint(READ_USERS)
        return Listing(selection=selection, entity=USER, context="directoryObjects", readable=readable)

    def _member_of(self, call: GraphCall) -> Listing:
        call.require(READ_GROUPS | ({"User.Read"} if call.path[0] == "me" else set()))
        selection = self._directory.member_of(self._user(call))
        return Listing(selection=selection, entity=GROUP, context="directoryObjects")

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

    def _deleted(self, call: GraphCall) -> tuple[Objects, EntityType, int]:
        call.require(DELETE_USERS | WRITE_GROUPS)
        for objects, entity, roles in (
            (self._directory.users, USER, DELETE_USERS),
            (self._directory.groups, GROUP, WRITE_GROUPS),
        ):
            index = objects.find_deleted(call.key)
            if index is not None:
                call.require(roles)
                return objects, entity, index
        raise not_found(call.key)

    def _create(self, call: GraphCall, objects: Objects, entity: EntityType, values: Mapping[str, Any]) -> web.Response:
        created = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        index = objects.create({**values, "createdDateTime": created})
        new = objects.projector(entity.default)(index)
        body = {"@odata.context": f"{call.root}/$metadata#{entity.entity_set}/$entity", **new}
        return call.json_response(body, status=201, location=f"{call.root}/{entity.entity_set}/{new['id']}")
