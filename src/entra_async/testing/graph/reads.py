"""
Reading Microsoft Graph: one object, a page of a collection, or how many there are.

Sources:
    https://learn.microsoft.com/en-us/graph/paging
    https://learn.microsoft.com/en-us/graph/aad-advanced-queries
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from entra_async.testing.graph.call import GraphCall
from entra_async.testing.graph.errors import GraphError, bad_request, unsupported_query
from entra_async.testing.odata.filter import ODataFilter
from entra_async.testing.odata.filter_parser import parse_filter
from entra_async.testing.odata.pages import count, encode_page, find_page
from entra_async.testing.odata.query import build_query, parse_boolean, parse_number, parse_select
from entra_async.testing.odata.skiptoken import ForgedTokenError, PagePosition, SkipTokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import Objects, Selection
    from entra_async.testing.graph.behaviour import GraphBehaviour
    from entra_async.testing.graph.schema import EntityType

__all__ = ("GraphReader", "Listing", "select_properties")

_MAX_PAGE: Final = 999
_MAX_ALTERNATIVES: Final = 15  # of one "or" or "in" of a directory filter
_HELP: Final = "Refer to https://aka.ms/graph-docs/advanced-queries for more information"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    A collection to read from.

    Attributes:
        selection: The objects.
        entity: Their type.
        context: The end of ``@odata.context``; a collection of mixed types says ``directoryObjects``.
        unique: Properties that name one object, so that a filter on them needs no search.
        largest_page: The highest ``$top``.
        readable: Whether the caller may read such objects. If not, it learns of each no more than type and id:
            https://learn.microsoft.com/en-us/graph/permissions-overview (inaccessible member objects).
    """

    selection: Selection
    entity: EntityType
    context: str
    unique: frozenset[str] = frozenset()
    largest_page: int = _MAX_PAGE
    readable: bool = True

    @property
    def mixed(self) -> bool:
        """Whether each object has to name its type."""
        return self.context == "directoryObjects"


class GraphReader:
    """
    Serves reads.

    Args:
        clock: For the age of page tokens.
        behaviour: What tests change.
    """

    def __init__(self, clock: EmulatorClock, behaviour: GraphBehaviour) -> None:
        self._clock = clock
        self._behaviour = behaviour
        self._tokens = SkipTokens(PagePosition)

    def entity(self, call: GraphCall, objects: Objects, index: int, entity: EntityType) -> web.Response:
        """Return the response to a read of one object."""
        options = call.options("$select")
        names = select_properties(options, entity)
        context = f"{_context(entity.entity_set, options, names)}/$entity"
        body = {"@odata.context": f"{call.root}/{context}"} | objects.projector(names)(index)
        return call.json_response(body)

    async def page(self, call: GraphCall, listing: Listing) -> web.Response:
        """Return the response to a read of a collection: one page."""
        options = call.options("$select", "$filter", "$top", "$count", "$skiptoken")
        names = select_properties(options, listing.entity)
        size = self._page_size(options, listing.largest_page)
        advanced = parse_boolean("$count", options.get("$count", "false")) and call.eventual
        selection, test = _filtered(listing, options, advanced=advanced, header=call.eventual)
        here = self._place(call, options)
        head: dict[str, Any] = {"@odata.context": f"{call.root}/{_context(listing.context, options, names)}"}
        if advanced and here.page == 1:
            head["@odata.count"] = await count(selection, test)
        indexes, following = await self._found(selection, test, here, size)
        if self._behaviour.empty_pages and here.page % self._behaviour.empty_pages == 0 and indexes:
            indexes, following = [], here.position
        if following is not None or here.page in self._behaviour.injected_links:
            there = PagePosition(following or 0, here.page + 1, advanced, 0)
            there = await self._after(here, there, selection, test, size)
            if self._behaviour.repeated_items:
                there = replace(there, repeated=tuple(indexes[-self._behaviour.repeated_items :]))
            token = self._tokens.issue(there, _fingerprint(call, options))
            query = build_query({**options, "$skiptoken": token})
            head["@odata.nextLink"] = f"{call.root}/{call.request.rel_url.raw_path.split('/', 2)[2]}?{query}"
        body = await encode_page(head, indexes, _projector(listing, names))
        return call.json_response(body)

    async def count(self, call: GraphCall, listing: Listing) -> web.Response:
        """Return the response to ``…/$count``: a bare number."""
        options = call.options("$filter")
        if not call.eventual:
            message = "$count is not currently supported."
            raise bad_request(message)
        selection, test = _filtered(listing, options, advanced=True, header=True)
        return web.Response(text=str(await count(selection, test)))

    async def _found(
        self, selection: Selection, test: Callable[[int], bool] | None, here: PagePosition, size: int
    ) -> tuple[list[int], int | None]:
        again = [index for index in here.repeated if index in selection.objects][: size - 1]
        indexes, following = await find_page(selection, test, here.position, size - len(again))
        return again + indexes, following

    async def _after(
        self,
        here: PagePosition,
        there: PagePosition,
        selection: Selection,
        test: Callable[[int], bool] | None,
        size: int,
    ) -> PagePosition:
        """Return where the link of page *here* leads: *there*, unless a test injected another link."""
        injected = self._behaviour.injected_links
        # Where links go round, the date of the first one stays, so that they come round as the same text.
        issued_at = here.issued_at if injected and here.issued_at else self._clock.now()
        there = replace(there, issued_at=issued_at, generation=self._behaviour.page_token_expirations.generation)
        if here.page not in injected:
            return there
        position: int | None = 0
        for _ in range(1, injected[here.page]):
            if position is not None:
                _, position = await find_page(selection, test, position, size)
        return replace(there, position=position or 0, page=injected[here.page])

    def _page_size(self, options: Mapping[str, str], largest: int) -> int:
        if "$top" not in options:
            return min(self._behaviour.page_size, largest)
        size = parse_number("$top", options["$top"])
        if not 1 <= size <= largest:
            message = f"Invalid page size specified: '{size}'. Must be between 1 and {largest} inclusive."
            raise unsupported_query(message)
        return size

    def _place(self, call: GraphCall, options: Mapping[str, str]) -> PagePosition:
        """Return where the requested page begins."""
        if "$skiptoken" not in options:
            return PagePosition(0, 1, advanced=False, issued_at=0)
        try:
            place = self._tokens.read(options["$skiptoken"], _fingerprint(call, options))
        except ForgedTokenError as error:
            message = "The $skiptoken is malformed, or does not belong to this request."
            raise bad_request(message) from error
        expired = self._behaviour.page_token_expirations.has_expired(place.generation, place.page)
        if expired or self._clock.now() - place.issued_at > self._behaviour.page_token_lifetime_s:
            message = "The specified page token value has expired and can no longer be included in your request."
            raise bad_request(message, code="Directory_ExpiredPageToken")
        if place.advanced and not call.eventual:
            message = "The page belongs to an advanced query, but its 'ConsistencyLevel:eventual' header is missing."
            raise bad_request(message)
        return place


def select_properties(options: Mapping[str, str], entity: EntityType) -> tuple[str, ...]:
    """
    Return the properties to respond with.

    Raises:
        QueryError: If ``$select`` names one that does not exist.
        GraphError: 501 for one that is not in the directory.
    """
    if "$select" not in options:
        return entity.default
    names = parse_select(options["$select"], entity.properties.keys() | entity.single_only, entity.name)
    for name in names:
        if name in entity.single_only:
            message = f"The property '{name}' can not be selected here: it is not held by the directory."
            raise GraphError(501, "NotImplemented", message)
    return names


def _context(name: str, options: Mapping[str, str], names: tuple[str, ...]) -> str:
    return f"$metadata#{name}({','.join(names)})" if "$select" in options else f"$metadata#{name}"


def _projector(listing: Listing, names: tuple[str, ...]) -> Callable[[int], Mapping[str, Any]]:
    project = listing.selection.objects.projector(names if listing.readable else ("id",))
    if not listing.mixed:
        return project
    kind: dict[str, Any] = {"@odata.type": f"#{listing.entity.name}"}
    if not listing.readable:
        kind |= dict.fromkeys(("id", *names))
    return lambda index: kind | project(index)


def _fingerprint(call: GraphCall, options: Mapping[str, str]) -> str:
    """Return what a page token is valid for: version, path and every other option, however encoded and ordered."""
    others = sorted((name, value) for name, value in options.items() if name != "$skiptoken")
    return repr((call.version, call.path, others))


def _filtered(
    listing: Listing, options: Mapping[str, str], *, advanced: bool, header: bool
) -> tuple[Selection, Callable[[int], bool] | None]:
    """Return the objects that can pass the filter, and its test."""
    selection, entity = listing.selection, listing.entity
    if "$filter" not in options:
        return selection, None
    if listing.mixed and not advanced:
        message = "The specified filter to the reference property query is currently not supported."
        raise unsupported_query(message)
    parsed = parse_filter(options["$filter"], entity.properties, entity.name)
    _check_indexed(parsed, entity, advanced=advanced, header=header)
    keys = parsed.keys(listing.unique)
    if keys is not None:
        found = {selection.objects.find(key) for key in keys}
        selection = selection.narrowed([index for index in found if index is not None])
    return selection, parsed.test(selection.objects.reader)


def _check_indexed(parsed: ODataFilter, entity: EntityType, *, advanced: bool, header: bool) -> None:
    """Refuse what the directory cannot look up."""
    kind, width = parsed.widest
    if width > _MAX_ALTERNATIVES:
        message = (
            f"Too many child clauses specified in search filter expression containing '{kind.upper()}' operators: "
            f"{width}. Max allowed: {_MAX_ALTERNATIVES}."
        )
        raise unsupported_query(message)
    for use in parsed.uses:
        declared = entity.properties[use.property]
        if use.operator in declared.operators or (advanced and use.operator in declared.advanced):
            continue
        if use.operator not in declared.advanced or use.operator == "null":
            message = (
                f"Unsupported or invalid query filter clause specified for property '{use.property}' "
                f"of resource '{entity.resource}'."
            )
        else:
            problem = (
                "the required parameters might be missing. "
                "Try adding $count=true query parameter and ConsistencyLevel:eventual header"
                if header
                else "the 'ConsistencyLevel:eventual' header is missing"
            )
            message = f"Operator '{use.operator}' is not supported because {problem}. {_HELP}"
        raise unsupported_query(message)
