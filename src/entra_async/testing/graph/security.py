"""
What Microsoft Graph passes on to services of their own, each with a limit of its own: reports, protection, hunting.

Sources:
    https://learn.microsoft.com/en-us/graph/api/signin-list
    https://learn.microsoft.com/en-us/graph/api/riskyuser-list
    https://learn.microsoft.com/en-us/graph/api/conditionalaccessroot-list-policies
    https://learn.microsoft.com/en-us/graph/api/security-security-runhuntingquery
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from entra_async.testing.graph.call import GraphCall, Handler, Routes
from entra_async.testing.graph.errors import bad_request, not_found
from entra_async.testing.graph.permissions import HUNT, READ_POLICIES, READ_RISKY_USERS, READ_SIGN_INS
from entra_async.testing.graph.reads import GraphReader, Listing
from entra_async.testing.graph.schema import EntityType
from entra_async.testing.graph.writes import read_json
from entra_async.testing.hunting.query import HuntingError
from entra_async.testing.odata.filter import Property

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.directory.directory import Objects
    from entra_async.testing.directory.security_records import SecurityRecords
    from entra_async.testing.hunting.hunting import Hunting

__all__ = ("security_routes",)

_LONGEST_QUERY_S: Final = 180.0
_TEXT: Final = Property("String", frozenset({"eq", "startsWith"}))
_NAME: Final = Property("String", frozenset({"eq"}))
_MOMENT: Final = Property("DateTimeOffset", frozenset({"eq", "ge", "le"}))
_UNFILTERED: Final = Property()


def _entity(name: str, entity_set: str, objects: Objects, filters: Mapping[str, Property]) -> EntityType:
    properties = {**dict.fromkeys(objects.properties, _UNFILTERED), **filters}
    return EntityType(
        name=f"microsoft.graph.{name}",
        resource=name,
        entity_set=entity_set,
        default=tuple(objects.properties),
        properties=properties,
    )


def security_routes(reader: GraphReader, records: SecurityRecords, hunting: Hunting) -> Routes:
    """
    Return the routes, ``*`` standing for the key of an object, with their handlers by method.

    Args:
        reader: Serves reads.
        records: What is read.
        hunting: Runs queries.
    """
    collections = (
        _Collection(
            reader,
            records.sign_ins,
            _entity(
                "signIn",
                "auditLogs/signIns",
                records.sign_ins,
                {
                    "id": _NAME,
                    "createdDateTime": _MOMENT,
                    "userId": _NAME,
                    "userDisplayName": _TEXT,
                    "userPrincipalName": _TEXT,
                    "appId": _NAME,
                    "appDisplayName": _TEXT,
                    "ipAddress": _TEXT,
                },
            ),
            READ_SIGN_INS,
            largest_page=1000,
        ),
        _Collection(
            reader,
            records.risky_users,
            _entity(
                "riskyUser",
                "identityProtection/riskyUsers",
                records.risky_users,
                {"id": _NAME, "riskLastUpdatedDateTime": _MOMENT, "riskLevel": _NAME, "riskState": _NAME},
            ),
            (READ_RISKY_USERS,),
            largest_page=500,
        ),
        _Collection(
            reader,
            records.policies,
            _entity(
                "conditionalAccessPolicy",
                "identity/conditionalAccess/policies",
                records.policies,
                {"id": _NAME, "displayName": _NAME, "state": _NAME},
            ),
            (READ_POLICIES,),
            largest_page=999,
        ),
    )
    routes: dict[tuple[str, ...], Mapping[str, Handler]] = {}
    for collection in collections:
        path = tuple(collection.entity.entity_set.split("/"))
        routes |= {path: {"GET": collection.list}, (*path, "*"): {"GET": collection.get}}

    async def hunt(call: GraphCall) -> web.Response:
        call.require(HUNT)
        call.options()
        body = await read_json(call.request)
        query = body.get("Query")
        if not isinstance(query, str) or body.keys() - {"Query", "Timespan"}:
            message = "The body must hold the parameter 'Query', and may hold 'Timespan'. Names are case-sensitive."
            raise bad_request(message, code="BadRequest")
        try:
            result = await hunting.run(query, limit_s=_LONGEST_QUERY_S)
        except HuntingError as error:
            raise bad_request(str(error), code="BadRequest") from error
        return call.json_response(
            {
                "@odata.context": f"{call.root}/$metadata#microsoft.graph.security.huntingQueryResults",
                "schema": [{"name": name, "type": kind} for name, kind in result.columns.items()],
                "results": result.rows,
            }
        )

    return {**routes, ("security", "runHuntingQuery"): {"POST": hunt}}


class _Collection:
    def __init__(
        self,
        reader: GraphReader,
        objects: Objects,
        entity: EntityType,
        needed: tuple[frozenset[str], ...],
        *,
        largest_page: int,
    ) -> None:
        self._reader = reader
        self._objects = objects
        self._needed = needed
        self._largest_page = largest_page
        self.entity = entity

    async def list(self, call: GraphCall) -> web.Response:
        self._check(call)
        return await self._reader.page(
            call,
            Listing(
                selection=self._objects.selection,
                entity=self.entity,
                context=self.entity.entity_set,
                largest_page=self._largest_page,
            ),
        )

    async def get(self, call: GraphCall) -> web.Response:
        self._check(call)
        index = self._objects.find(call.key)
        if index is None:
            raise not_found(call.key)
        return self._reader.entity(call, self._objects, index, self.entity)

    def _check(self, call: GraphCall) -> None:
        for roles in self._needed:
            call.require(roles)
