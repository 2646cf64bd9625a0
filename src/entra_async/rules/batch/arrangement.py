"""
Which requests a ``$batch`` can hold, and the order of those that depend on others. Pure.

Source:
    https://learn.microsoft.com/en-us/graph/json-batching
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final, Protocol

import msgspec

from entra_async.errors import ConfigurationError
from entra_async.rules.batch.format import content_type_of, encode_item
from entra_async.rules.http.decoding import is_json

__all__ = ("MAX_BYTES", "MAX_ITEMS", "BatchRequest", "Order", "check_item", "is_plain_read", "order_requests")

MAX_ITEMS: Final = 20
# Graph answers 413 to more ("The maximum request length supported is 4MB."), whichever megabyte that is.
# https://github.com/O365/python-o365/issues/472
MAX_BYTES: Final = 4_000_000

_METHODS: Final = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
# OData JSON Format 4.01, section 19.1
_BODILESS: Final = frozenset({"GET", "DELETE"})
# Files and pictures, which would arrive a third larger, as base64.
_BINARY: Final = ("/$value", "/content")


class BatchRequest(Protocol):
    """A request with an id and dependencies; :class:`entra_async.Request` is one."""

    @property
    def id(self) -> str | None: ...
    @property
    def depends_on(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Order:
    """
    The order in which the requests of a batch begin.

    Attributes:
        sequence: The index of each request: those without dependencies first, then those that depend only on these, and
            so on. No request comes before one it depends on.
        dependencies: Index to the indexes of those it depends on; only requests with dependencies are in it.
    """

    sequence: list[int]
    dependencies: Mapping[int, tuple[int, ...]]


def order_requests(requests: Sequence[BatchRequest]) -> Order:
    """
    Return the order of a batch.

    Raises:
        ConfigurationError: If an id is no text or not unique (in any case), or if requests depend on one that is not
            in the batch or on each other in a cycle.
    """
    known: dict[str, int] = {}
    for index, request in enumerate(requests):
        if request.id is None:
            continue
        if not isinstance(request.id, str) or not request.id:
            message = f"The id of a request is {request.id!r}."
            raise ConfigurationError(message, field="id", hint="Give a text that is not empty, or leave it out.")
        if known.setdefault(request.id.lower(), index) != index:
            message = f"Two requests of the batch have the id {request.id!r}."
            raise ConfigurationError(message, field="id", hint="Ids are unique within a batch, in any case.")
    dependencies = {index: _find_all(request, known) for index, request in enumerate(requests) if request.depends_on}
    sorter = TopologicalSorter(dependencies)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " → ".join(repr(requests[index].id) for index in reversed(error.args[1]))
        message = f"Requests of the batch depend on each other: {cycle}."
        raise ConfigurationError(message, field="depends_on", hint="Remove one of these dependencies.") from None
    sequence = [index for index in range(len(requests)) if index not in dependencies]
    while sorter.is_active():
        level = sorter.get_ready()
        sequence += sorted(index for index in level if index in dependencies)
        sorter.done(*level)
    return Order(sequence, dependencies)


def _find_all(request: BatchRequest, known: Mapping[str, int]) -> tuple[int, ...]:
    if isinstance(request.depends_on, str) or not all(isinstance(each, str) for each in request.depends_on):
        message = f"depends_on is {request.depends_on!r}."
        raise ConfigurationError(message, field="depends_on", hint="Give a tuple of ids.")
    for each in request.depends_on:
        if each.lower() not in known:
            message = f"A request depends on {each!r}, which no request of the batch has as its id."
            raise ConfigurationError(message, field="depends_on", hint="Give that request this id=, or put it in.")
    return tuple(known[each.lower()] for each in request.depends_on)


def check_item(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> None:
    """
    Check that a request can be in a batch: otherwise the service would refuse the whole batch.

    Raises:
        ConfigurationError: If it cannot; it names the argument and what to do.
    """
    alone = "Send it alone, with invoke()."
    if method not in _METHODS or (body is not None and method in _BODILESS):
        what = "with a body" if method in _METHODS else "at all"
        message = f"{method} {what} cannot be in a batch."
        raise ConfigurationError(message, field="method", hint=alone)
    if url.partition("?")[0].lower().endswith("/$batch"):
        message = "A batch cannot hold a batch."
        raise ConfigurationError(message, field="path", hint="Put its requests into this one.")
    if body is None:
        return
    if is_json(content_type_of(headers)):
        try:
            msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = "The JSON body of a request in a batch is no object."
            raise ConfigurationError(message, field="body", hint=f"Give a dict. {alone}") from None
    if len(encode_item("0", method, url, headers, body)) > MAX_BYTES:
        message = f"A body of {len(body):,} bytes is too large for a batch, which holds {MAX_BYTES:,}."
        raise ConfigurationError(message, field="body", hint=alone)


def is_plain_read(method: str, url: str, body: bytes | None) -> bool:
    """Return whether a request may be batched automatically: a GET, and not of a file."""
    return method == "GET" and body is None and not url.partition("?")[0].endswith(_BINARY)
