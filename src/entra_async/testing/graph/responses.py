"""
What every answer of Microsoft Graph carries, errors and planted faults included.

Sources:
    https://learn.microsoft.com/en-us/graph/errors
    https://learn.microsoft.com/en-us/graph/best-practices-concept (client-request-id, request-id)
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web
from multidict import MultiDict

from entra_async.testing.faults.responses import ErrorFormat, status_error
from entra_async.testing.graph.errors import GraphError, error_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.wire.incoming import Incoming

__all__ = ("ERRORS", "GATEWAY_HEADERS", "JSON_TYPE", "common_headers", "error_answer")

JSON_TYPE: Final = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
_SERVER: Final = (
    '{"ServerInfo":{"DataCenter":"Emulator","Slice":"E","Ring":"5","ScaleUnit":"000","RoleInstance":"EMULATOR"}}'
)
GATEWAY_HEADERS: Final = frozenset({"request-id", "client-request-id", "x-ms-ags-diagnostic", "date"})
"""What the gateway adds to an answer it sends, in lower case; the answer to an item of a batch goes without."""


def common_headers(request: Incoming) -> dict[str, str]:
    """Return the headers of an answer to *request*, with a new ``request-id``."""
    request_id = str(uuid.uuid4())
    return {
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id") or request_id,
        "x-ms-ags-diagnostic": _SERVER,
        "OData-Version": "4.0",
        "Cache-Control": "no-cache",
    }


def error_answer(error: GraphError, common: Mapping[str, str], *, now_s: float) -> web.Response:
    """
    Return the answer that carries an error.

    Args:
        error: What went wrong.
        common: The answer's :func:`common_headers`.
        now_s: The time, in seconds since the epoch.
    """
    body = error_body(
        error, now_s=now_s, request_id=common["request-id"], client_request_id=common["client-request-id"]
    )
    headers = MultiDict([*common.items(), ("Content-Type", JSON_TYPE), *error.headers.items()])
    return web.Response(status=error.status, body=msgspec.json.encode(body), headers=headers)


def _render(request: Incoming, status: int, now: float) -> web.Response:
    return error_answer(GraphError(status, *status_error(status)), common_headers(request), now_s=now)


ERRORS: Final = ErrorFormat(render=_render, headers=common_headers, json_type=JSON_TYPE)
"""How planted faults look at Graph."""
