"""
The tasks of Planner: the resource of Microsoft Graph that insists on ETags.

Sources:
    https://learn.microsoft.com/en-us/graph/api/resources/planner-overview (Planner resource versioning)
    https://learn.microsoft.com/en-us/graph/api/resources/plannertask
    RFC 9110, section 13: https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from entra_async.testing.graph.errors import GraphError, bad_request, not_found
from entra_async.testing.graph.permissions import READ_TASKS, WRITE_TASKS
from entra_async.testing.graph.writes import read_json

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.graph.call import GraphCall, Routes

__all__ = ("PlannerOperations",)

_ID_BYTES: Final = 21  # 28 characters of base64, as Planner's ids have


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255


def _is_number_to(limit: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


_VALID: Final[Mapping[str, Callable[[object], bool]]] = {
    "planId": _is_text,
    "bucketId": _is_text,
    "title": _is_text,
    "percentComplete": _is_number_to(100),
    "priority": _is_number_to(10),
}


@dataclass(slots=True)
class _Task:
    values: dict[str, Any]
    version: int = 1

    @property
    def etag(self) -> str:
        """The version in the form Planner gives it; it says nothing about another task."""
        version = f"{self.version}-Task {self.values['id']}"
        return f'W/"{base64.b64encode(version.encode()).decode()}"'

    @property
    def body(self) -> dict[str, Any]:
        return {"@odata.etag": self.etag, **self.values}


class PlannerOperations:
    """
    Reads and writes tasks. There are none until one is created.

    Args:
        clock: Dates new tasks.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self._clock = clock
        self._tasks: dict[str, _Task] = {}

    @property
    def routes(self) -> Routes:
        """The operations by path, ``*`` standing for a key, and method."""
        return {
            ("planner", "tasks"): {"POST": self._create},
            ("planner", "tasks", "*"): {"GET": self._get, "PATCH": self._update, "DELETE": self._delete},
        }

    async def _create(self, call: GraphCall) -> web.Response:
        call.require(WRITE_TASKS)
        call.options()
        values = _read(await read_json(call.request))
        for name in ("planId", "title"):
            if name not in values:
                message = f"The required property '{name}' is missing."
                raise bad_request(message)
        created = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        defaults = {"bucketId": None, "percentComplete": 0, "priority": 5, "createdDateTime": created}
        task = _Task({**defaults, **values, "id": secrets.token_urlsafe(_ID_BYTES)})
        self._tasks[task.values["id"]] = task
        return self._response(call, task, status=201, location=f"{call.root}/planner/tasks/{task.values['id']}")

    async def _get(self, call: GraphCall) -> web.Response:
        call.require(READ_TASKS)
        call.options()
        task = self._find(call)
        if call.request.headers.get("If-None-Match", "").strip() in (task.etag, "*"):
            return web.Response(status=304, headers={"ETag": task.etag})
        return self._response(call, task)

    async def _update(self, call: GraphCall) -> web.Response:
        call.require(WRITE_TASKS)
        call.options()
        changes = _read(await read_json(call.request))
        task = self._matched(call)
        task.values |= changes
        task.version += 1
        if "return=representation" in call.preferences:
            return self._response(call, task)
        return web.Response(status=204)

    async def _delete(self, call: GraphCall) -> web.Response:
        call.require(WRITE_TASKS)
        call.options()
        del self._tasks[self._matched(call).values["id"]]
        return web.Response(status=204)

    def _find(self, call: GraphCall) -> _Task:
        task = self._tasks.get(call.key)
        if task is None:
            raise not_found(call.key)
        return task

    def _matched(self, call: GraphCall) -> _Task:
        """
        Return the task, if the client knows its latest version.

        Raises:
            GraphError: 404 if there is none, 400 without ``If-Match``, 412 if it is of another version.
        """
        task = self._find(call)
        known = call.request.headers.getall("If-Match", ())
        if not known:
            message = "The If-Match header must be specified for this type of request."
            raise bad_request(message)
        if [etag.strip() for etag in known] != [task.etag]:  # Planner knows no "*"
            message = "The values specified in the If-Match header do not match the current version of the resource."
            raise GraphError(412, "preconditionFailed", message)
        return task

    def _response(
        self, call: GraphCall, task: _Task, *, status: int = 200, location: str | None = None
    ) -> web.Response:
        body = {"@odata.context": f"{call.root}/$metadata#planner/tasks/$entity", **task.body}
        response = call.json_response(body, status=status, location=location)
        response.headers["ETag"] = task.etag
        return response


def _read(body: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in body.items() if not name.startswith("@")}
    for name, value in values.items():
        if name not in _VALID:
            message = f"The property '{name}' does not exist on type 'microsoft.graph.plannerTask', or is read-only."
            raise bad_request(message)
        if not _VALID[name](value):
            message = f"Invalid value specified for property '{name}' of resource 'plannerTask'."
            raise bad_request(message, target=name)
    return values
