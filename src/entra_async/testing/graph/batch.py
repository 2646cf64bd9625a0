"""
``POST /$batch``: up to 20 requests to Microsoft Graph in one, each handled as if it had come alone.

Sources:
    https://learn.microsoft.com/en-us/graph/json-batching
    https://docs.oasis-open.org/odata/odata-json-format/v4.01/odata-json-format-v4.01.html#sec_BatchRequestsandResponses
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

import anyio
import msgspec
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from entra_async.testing.faults.responses import fault_response
from entra_async.testing.graph.errors import GraphError, bad_request
from entra_async.testing.graph.responses import ERRORS, GATEWAY_HEADERS, common_headers, error_response
from entra_async.testing.graph.writes import read_json
from entra_async.testing.wire.incoming_request import IncomingRequest
from entra_async.testing.wire.record import RECORD, RecordedRequest, mask_headers, mask_query, mask_raw_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.faults.faults import Faults
    from entra_async.testing.graph.call import GraphCall

__all__ = ("Batches",)

_MAX_ITEMS: Final = 20
_METHODS: Final = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
_WITHOUT_BODY: Final = frozenset({"GET", "DELETE"})  # OData JSON Format 4.01, section 19.1
_JSON: Final = "application/json"


class _BatchItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    id: str
    method: str
    url: str
    headers: dict[str, str] = {}
    body: Any = None
    depends_on: list[str] = []

    @property
    def key(self) -> str:
        return self.id.lower()  # ids are not case-sensitive


class _BatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests: list[_BatchItem]


@dataclass(frozen=True, slots=True)
class _ItemRequest:
    """One item as a request: an :class:`IncomingRequest`."""

    method: str
    rel_url: URL
    headers: CIMultiDictProxy[str]
    scheme: str
    host: str
    body: bytes

    @property
    def content_type(self) -> str:
        return _media_type(self.headers.get("Content-Type", "application/octet-stream"))

    async def read(self) -> bytes:
        return self.body


class Batches:
    """
    Handles batches.

    Items run at the same time, each as soon as what it depends on has succeeded. Faults are injected into them as
    into other requests, except those that cut a connection: an item has none. The record of a batch holds those of its
    items.

    Args:
        handle: Handles a single request.
        clock: Dates the items' records, and delays those that a fault delays.
        faults: What goes wrong on purpose.
    """

    def __init__(
        self, handle: Callable[[IncomingRequest], Awaitable[web.Response]], clock: EmulatorClock, faults: Faults | None
    ) -> None:
        self._handle = handle
        self._clock = clock
        self._faults = faults

    async def handle(self, call: GraphCall) -> web.Response:
        """
        Return the response to a batch. It is 200 whatever became of the items.

        Raises:
            GraphError: 400 if the batch is malformed, 413 if it is too large; then no item has run.
        """
        call.options()
        items = _read(await read_json(call.request), call.version)
        batch_record = call.request.get(RECORD) if isinstance(call.request, web.Request) else None
        results: dict[str, web.Response] = {}
        finished = {item.key: anyio.Event() for item in items}

        async def run(item: _BatchItem, request: _ItemRequest, record: RecordedRequest) -> None:
            for key in map(str.lower, item.depends_on):
                await finished[key].wait()
            failed = [key for key in map(str.lower, item.depends_on) if results[key].status >= 400]
            response = self._failed_dependency(request) if failed else await self._run(request, record)
            record.status = response.status
            results[item.key] = response
            finished[item.key].set()

        prepared = []
        for item in items:
            request = _request(item, call)
            record = _record(item, request, at=self._clock.now())
            prepared.append((item, request, record))
            if batch_record is not None:
                batch_record.items.append(record)
        async with anyio.create_task_group() as tasks:
            for each in prepared:
                tasks.start_soon(run, *each)
        responses = [_encode(item.id, results[item.key]) for item in items]
        # Graph promises no order, so a client that relies on one must fail.
        return call.json_response({"responses": responses[1::2] + responses[::2]})

    async def _run(self, request: _ItemRequest, record: RecordedRequest) -> web.Response:
        fault = self._faults.match(record) if self._faults is not None else None
        if fault is not None:
            if fault.delay_s > 0:
                await self._clock.sleep(fault.delay_s)
            injected = fault_response(fault, request, ERRORS, now=self._clock.now())
            if injected is not None:
                return injected
        return await self._handle(request)

    def _failed_dependency(self, request: _ItemRequest) -> web.Response:
        error = GraphError(424, "FailedDependency", "A request this one depends on has failed.")
        return error_response(error, common_headers(request), now_s=self._clock.now())


def _read(body: Mapping[str, Any], version: str) -> Sequence[_BatchItem]:
    """
    Return the items of a batch.

    Raises:
        GraphError: 400 if there are none or too many, or one of them is malformed.
    """
    try:
        items = msgspec.convert(body, _BatchBody).requests
    except msgspec.ValidationError as error:
        message = f"Invalid batch payload format. {error}"
        raise bad_request(message, code="BadRequest") from error
    if not items:
        message = "Invalid batch payload format."
        raise bad_request(message, code="BadRequest")
    if len(items) > _MAX_ITEMS:
        message = f"Number of requests inside batch exceeds the limit of {_MAX_ITEMS}."
        raise bad_request(message, code="BadRequest")
    seen: set[str] = set()
    for item in items:
        problem = _problem(item, version)
        if problem is not None:
            message = f"Invalid request '{item.id}' in batch: {problem}"
            raise bad_request(message, code="BadRequest")
        if item.key in seen:
            message = f"Request Id {item.id} has to be unique in a batch."
            raise bad_request(message, code="BadRequest")
        seen.add(item.key)
    _check_dependencies(items, seen)
    return items


def _check_dependencies(items: Sequence[_BatchItem], known: set[str]) -> None:
    order: TopologicalSorter[str] = TopologicalSorter()
    for item in items:
        unknown = next((id_ for id_ in item.depends_on if id_.lower() not in known), None)
        if unknown is not None:
            message = f"Request '{item.id}' depends on request '{unknown}', which is not in the batch."
            raise bad_request(message, code="BadRequest")
        order.add(item.key, *map(str.lower, item.depends_on))
    try:
        order.prepare()
    except CycleError as error:
        message = "The requests of the batch depend on each other in a circle."
        raise bad_request(message, code="BadRequest") from error


def _problem(item: _BatchItem, version: str) -> str | None:
    """Return what is wrong with an item by itself, ``None`` if nothing is."""
    headers = {name.lower(): value for name, value in item.headers.items()}
    if not item.id:
        return "the id is empty."
    if item.method not in _METHODS:
        return f"the method '{item.method}' is not supported."
    if not _is_relative(item.url):
        return f"the URL must be relative to the version root, such as '/users', not absolute: '{item.url}'."
    if unquote(_rel_url(item, version).raw_path).rstrip("/").lower() == f"/{version}/$batch":
        return "a batch can't be part of a batch."
    if "authorization" in headers:
        return "the Authorization header of the batch holds for its requests; they can't have one of their own."
    if item.body is None:
        return None
    if item.method in _WITHOUT_BODY:
        return f"a {item.method} request can't have a body."
    if "content-type" not in headers:
        return "a request with a body needs a Content-Type header."
    if _media_type(headers["content-type"]) == _JSON:
        return None if isinstance(item.body, dict) else "a body of JSON must be an object."
    return None if _decoded(item.body) is not None else "a body that isn't JSON must be a base64-encoded string."


def _is_relative(url: str) -> bool:
    try:
        parsed = URL(url, encoded=True)
    except ValueError:
        return False
    return bool(url.strip("/")) and not parsed.absolute and not parsed.scheme and not url.startswith("//")


def _rel_url(item: _BatchItem, version: str) -> URL:
    return URL(f"/{version}/{item.url.removeprefix('/')}", encoded=True)


def _request(item: _BatchItem, call: GraphCall) -> _ItemRequest:
    headers = CIMultiDict(item.headers)
    headers["Authorization"] = call.request.headers["Authorization"]
    body = b""
    if item.body is not None:
        is_json = isinstance(item.body, dict)
        body = msgspec.json.encode(item.body) if is_json else _decoded(item.body) or b""
    return _ItemRequest(
        method=item.method,
        rel_url=_rel_url(item, call.version),
        headers=CIMultiDictProxy(headers),
        scheme=call.request.scheme,
        host=call.request.host,
        body=body,
    )


def _record(item: _BatchItem, request: _ItemRequest, *, at: float) -> RecordedRequest:
    query = request.rel_url.raw_query_string
    return RecordedRequest(
        service="graph",
        method=request.method,
        path=unquote(request.rel_url.raw_path),
        query=mask_query(parse_qsl(query, keep_blank_values=True)),
        raw_query=mask_raw_query(query),
        headers=mask_headers(item.headers.items()),
        at=at,
        item_id=item.id,
    )


def _encode(item_id: str, response: web.Response) -> dict[str, Any]:
    """Return a response as it is written in a batch: JSON as it is, everything else in base64."""
    headers = {name: value for name, value in response.headers.items() if name.lower() not in GATEWAY_HEADERS}
    encoded: dict[str, Any] = {"id": item_id, "status": response.status, "headers": headers}
    body = bytes(response.body) if isinstance(response.body, bytes | bytearray) else b""
    if body:
        is_json = _media_type(response.headers.get("Content-Type", "")) == _JSON and _is_json(body)
        encoded["body"] = msgspec.Raw(body) if is_json else base64.b64encode(body).decode()
    return encoded


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _decoded(body: object) -> bytes | None:
    """Return the bytes of a base64 text in either alphabet, padded or not; ``None`` if it is none."""
    if not isinstance(body, str):
        return None
    standard = body.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
