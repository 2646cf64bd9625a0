"""
Delta queries on users and groups: first every object, then what has changed since.

Sources:
    https://learn.microsoft.com/en-us/graph/delta-query-overview
    https://learn.microsoft.com/en-us/graph/api/user-delta
    https://learn.microsoft.com/en-us/graph/api/group-delta
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from entra_async.testing.graph.errors import GraphError, bad_request, unsupported_query
from entra_async.testing.graph.reads import select_properties
from entra_async.testing.odata.filter import Combination, Comparison, Node, Property
from entra_async.testing.odata.filter_parser import parse_filter
from entra_async.testing.odata.pages import encode_page, find_page
from entra_async.testing.odata.skiptoken import ForgedTokenError, SkipTokens

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.directory.directory import ObjectChange, Objects
    from entra_async.testing.graph.behaviour import GraphBehaviour
    from entra_async.testing.graph.call import GraphCall
    from entra_async.testing.graph.schema import EntityType

__all__ = ("DeltaReader",)

_MAX_IDS: Final = 50
_ONLY_ID: Final = {"id": Property("String", frozenset({"eq"}))}


@dataclass(frozen=True, slots=True)
class _Round:
    """
    One round of a delta query and a place in it: what a token says.

    Attributes:
        since: How many changes the client knows; ``None`` in the first round, which reports everything.
        until: How many changes there were when the round began: the next one begins there, so that what changes while
            a round is being read is reported then.
        position: Where the page begins.
        page: Which page that is; the first is 1.
        options: ``$select`` and ``$filter`` of the query.
        issued_at: When the token was made, in seconds since the epoch.
        generation: Which tokens it expires with when a test lets them.
    """

    since: int | None
    until: int
    position: int = 0
    page: int = 1
    options: dict[str, str] = field(default_factory=dict)
    issued_at: float = 0.0
    generation: int = 0


class DeltaReader:
    """
    Handles delta queries.

    Args:
        clock: For the age of tokens.
        behaviour: What tests change.
    """

    def __init__(self, clock: EmulatorClock, behaviour: GraphBehaviour) -> None:
        self._clock = clock
        self._behaviour = behaviour
        self._tokens = SkipTokens(_Round)
        self._cached_entries: tuple[object, _Entries | None] = None, None

    async def page(self, call: GraphCall, objects: Objects, entity: EntityType) -> web.Response:
        """
        Return the next page of a round, ending with the link to the next page, or to the next round.

        Raises:
            GraphError: 400 for an option a delta query does not take, or a token that was not issued for this
                collection; 410 or 400 for one that has expired.
        """
        options = call.options("$select", "$filter", "$skiptoken", "$deltatoken")
        here, latest = self._round(call, objects, options)
        names = select_properties(here.options, entity)
        keys = _keys(here.options, entity)
        selected = f"({','.join(names)})" if "$select" in here.options else ""
        head: dict[str, Any] = {"@odata.context": f"{call.root}/$metadata#{entity.entity_set}{selected}"}
        reported: Sequence[int]  # what is on the page: numbers of objects, or of entries
        project: Callable[[int], Mapping[str, Any]]
        if here.since is None:
            reported, following = ([], None) if latest else await self._all_objects(objects, here, keys)
            project = objects.projector(_with_id(names))
        else:
            entries = self._changed(objects, here, entity, names, keys)
            end = here.position + self._behaviour.page_size
            reported = range(len(entries))[here.position : end]
            following = end if end < len(entries) else None
            project = entries.minimal if "return=minimal" in call.preferences else entries.full
        if self._behaviour.empty_pages and here.page % self._behaviour.empty_pages == 0 and reported:
            reported, following = [], here.position
        if following is None:
            token = self._issue(call, "$deltatoken", _Round(here.until, here.until, options=here.options))
            head["@odata.deltaLink"] = f"{_root(call)}?$deltatoken={token}"
        else:
            token = self._issue(call, "$skiptoken", replace(here, position=following, page=here.page + 1))
            head["@odata.nextLink"] = f"{_root(call)}?$skiptoken={token}"
        return call.json_response(await encode_page(head, reported, project))

    def _changed(
        self, objects: Objects, here: _Round, entity: EntityType, names: Sequence[str], keys: frozenset[str] | None
    ) -> _Entries:
        """Return the entries of a round. They are kept for its next page: gathering many takes long."""
        replays = self._behaviour.delta_replays
        which = (entity.name, here.since, here.until, here.options, replays)
        kept, entries = self._cached_entries
        if entries is None or kept != which:
            tracked = frozenset(names if "$select" in here.options else entity.properties)
            changes = objects.changes[here.since : here.until]
            entries = _Entries(objects, changes, names, tracked, keys, replays=replays)
            self._cached_entries = which, entries
        return entries

    async def _all_objects(
        self, objects: Objects, here: _Round, keys: frozenset[str] | None
    ) -> tuple[list[int], int | None]:
        selection = objects.selection
        if keys is not None:
            found = {objects.find(key) for key in keys}
            selection = selection.narrowed([index for index in found if index is not None])
        indexes, following = await find_page(selection, None, here.position, self._behaviour.page_size)
        return indexes + indexes[:1] if self._behaviour.delta_replays else indexes, following

    def _round(self, call: GraphCall, objects: Objects, options: Mapping[str, str]) -> tuple[_Round, bool]:
        """Return the requested round and position, and whether only the next round's link is wanted."""
        query = {name: value for name, value in options.items() if name in ("$select", "$filter")}
        now = len(objects.changes)
        delta_token, skip_token = options.get("$deltatoken", ""), options.get("$skiptoken")
        if skip_token is None and delta_token in ("", "latest"):
            return _Round(None, now, options=query), delta_token == "latest"
        if len(options) > 1:
            message = "A $skiptoken or $deltatoken holds the options of its query; no other can be combined with it."
            raise bad_request(message)
        kind = "$deltatoken" if skip_token is None else "$skiptoken"
        try:
            found = self._tokens.read(options[kind], _scope(call, kind))
        except ForgedTokenError as error:
            message = f"The {kind} is malformed, or does not belong to this request."
            raise bad_request(message) from error
        expired = self._behaviour.delta_token_expirations.has_expired(found.generation, found.page)
        if expired or self._clock.now() - found.issued_at > self._behaviour.delta_token_lifetime_s:
            raise self._reset(call, found.options)
        return (replace(found, until=now) if kind == "$deltatoken" else found), False

    def _issue(self, call: GraphCall, kind: str, to: _Round) -> str:
        generation = self._behaviour.delta_token_expirations.generation
        dated = replace(to, issued_at=self._clock.now(), generation=generation)
        return self._tokens.issue(dated, _scope(call, kind))

    def _reset(self, call: GraphCall, options: Mapping[str, str]) -> GraphError:
        message = "The sync state is no longer available. A full synchronization is required."
        match self._behaviour.delta_reset:
            case "location":
                query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
                location = f"{_root(call)}?{query}{'&' if query else ''}$deltatoken="
                return GraphError(410, "syncStateNotFound", message, headers={"Location": location})
            case "gone":
                return GraphError(410, "SyncStateNotFound", message)
            case "sync_state_not_found":
                return GraphError(400, "syncStateNotFound", message)
            case "resync_required":
                return GraphError(410, "resyncRequired", "Resync required. Replace any local items.")


class _Entries:
    """
    What happened between two moments: an entry for each object that has changed, as it is now, by last change.

    Args:
        objects: The collection.
        changes: What happened.
        names: Properties reported of every object.
        tracked: Properties whose change is reported. Without ``$select`` these are all of them.
        keys: Ids the query is confined to, ``None`` if it is not.
        replays: Whether an entry for each single change comes before.
    """

    def __init__(
        self,
        objects: Objects,
        changes: Iterable[ObjectChange],
        names: Sequence[str],
        tracked: frozenset[str],
        keys: frozenset[str] | None,
        *,
        replays: bool,
    ) -> None:
        self._objects = objects
        self._names = names
        self._tracked = tracked
        self._id = objects.reader("id")
        reported = [change for change in changes if self._is_reported(change, keys)]
        self._replayed = reported if replays else []
        changed: dict[int, set[str]] = {}
        for change in reported:
            before = changed.pop(change.index, set())  # so that it comes last again
            names_changed = tracked & change.values.keys() if change.kind == "updated" else {*names}
            changed[change.index] = before | names_changed
        self._changed = list(changed.items())

    def __len__(self) -> int:
        return len(self._replayed) + len(self._changed)

    def minimal(self, number: int) -> dict[str, Any]:
        """Return an entry with the properties that have changed."""
        return self._entry(number, ())

    def full(self, number: int) -> dict[str, Any]:
        """Return an entry with every property that is always reported, too."""
        return self._entry(number, self._names)

    def _is_reported(self, change: ObjectChange, keys: frozenset[str] | None) -> bool:
        if keys is not None and self._id(change.index) not in keys:
            return False
        return change.kind != "updated" or not self._tracked.isdisjoint(change.values)

    def _entry(self, number: int, names: Iterable[str]) -> dict[str, Any]:
        if number < len(self._replayed):
            return self._replay(self._replayed[number])
        index, changed = self._changed[number - len(self._replayed)]
        removal = self._objects.removal(index)
        if removal is not None:
            return self._removed(index, removal)
        return self._objects.projector(_with_id(sorted({*names, *changed})))(index)

    def _replay(self, change: ObjectChange) -> dict[str, Any]:
        if change.kind in ("changed", "deleted"):
            return self._removed(change.index, change.kind)
        then = {name: value for name, value in change.values.items() if name in self._tracked}
        return {**then, "id": self._id(change.index)}

    def _removed(self, index: int, reason: str) -> dict[str, Any]:
        return {"id": self._id(index), "@removed": {"reason": reason}}


def _keys(options: Mapping[str, str], entity: EntityType) -> frozenset[str] | None:
    """
    Return the ids a query is confined to, ``None`` if it is not.

    Raises:
        FilterError: If the filter is malformed, or on another property.
        GraphError: 400 if it is anything but up to 50 times ``id eq``.
    """
    if "$filter" not in options:
        return None
    keys = list(_alternatives(parse_filter(options["$filter"], _ONLY_ID, entity.name).root))
    if len(keys) > _MAX_IDS:
        message = f"A delta query can be filtered by at most {_MAX_IDS} ids, not {len(keys)}."
        raise unsupported_query(message)
    return frozenset(keys)


def _alternatives(node: Node) -> Iterable[str]:
    match node:
        case Comparison(operator="eq", path=("id",), values=(str() as key,)):
            yield key.lower()
        case Combination(operator="or", parts=parts):
            for part in parts:
                yield from _alternatives(part)
        case _:
            message = "A delta query can be filtered by ids only: id eq '…' or id eq '…'."
            raise unsupported_query(message)


def _with_id(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*names, "id"]))


def _root(call: GraphCall) -> str:
    return f"{call.root}/{call.path[0]}/delta"


def _scope(call: GraphCall, kind: str) -> str:
    return repr((call.version, call.path[0], kind))
