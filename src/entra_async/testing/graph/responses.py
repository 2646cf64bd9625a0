"""
What every response of Microsoft Graph carries, errors and injected faults included.

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

    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("ERRORS", "GATEWAY_HEADERS", "JSON_TYPE", "common_headers", "error_response")

JSON_TYPE: Final = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
_SERVER: Final = (
    '{"ServerInfo":{"DataCenter":"Emulator","Slice":"E","Ring":"5","ScaleUnit":"000","RoleInstance":"EMULATOR"}}'
)
GATEWAY_HEADERS: Final = frozenset({"request-id", "client-request-id", "x-ms-ags-diagnostic", "date"})
"""What the gateway adds to a response it sends, in lower case; the response to an item of a batch goes without."""


def common_headers(request: IncomingRequest) -> dict[str, str]:
    """Return the headers of a response to *request*, with a new ``request-id``."""
    request_id = str(uuid.uuid4())
    return {
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id") or request_id,
        "x-ms-ags-diagnostic": _SERVER,
        "OData-Version": "4.0",
        "Cache-Control": "no-cache",
    }


def error_response(error: GraphError, common: Mapping[str, str], *, now_s: float) -> web.Response:
    """
    Return the response that carries an error.

    Args:
        error: What went wrong.
        common: The response's :func:`common_headers`.
        now_s: The time, in seconds since the epoch.
    """
    body = error_body(
        error, now_s=now_s, request_id=common["request-id"], client_request_id=common["client-request-id"]
    )
    headers = MultiDict([*common.items(), ("Content-Type", JSON_TYPE), *error.headers.items()])
    return web.Response(status=error.status, body=msgspec.json.encode(body), headers=headers)


def _render(request: IncomingRequest, status: int, now: float) -> web.Response:
    return error_response(GraphError(status, *status_error(status)), common_headers(request), now_s=now)


ERRORS: Final = ErrorFormat(render=_render, headers=common_headers, json_type=JSON_TYPE)
"""How Graph writes the errors that are injected."""
