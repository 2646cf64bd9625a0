"""
The responses of both Defender services, and their errors.

Sources:
    https://learn.microsoft.com/en-us/defender-endpoint/api/common-errors
    https://github.com/MicrosoftDocs/microsoft-365-docs/issues/4616 (the message of a 429)
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from entra_async.testing.entra.tokens.access import Unauthorized
from entra_async.testing.hunting.query import HuntingError
from entra_async.testing.odata.filter import FilterError
from entra_async.testing.odata.query import QueryError
from entra_async.testing.wire.headers import HeaderError
from entra_async.testing.wire.json_object import decode_object
from entra_async.testing.wire.service_error import ServiceError

if TYPE_CHECKING:
    from entra_async.testing.limits.service_limit import ThrottleDecision

__all__ = ("JSON_TYPE", "DefenderError", "as_defender_error", "json_response", "read_body", "read_query", "too_many")

JSON_TYPE: Final = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8"


class DefenderError(ServiceError):
    """An error response of a Defender service."""


def json_response(body: bytes | bytearray | Mapping[str, Any]) -> web.Response:
    """Return the response with that JSON, or what is to be encoded."""
    encoded = body if isinstance(body, bytes | bytearray) else msgspec.json.encode(body)
    return web.Response(body=encoded, headers={"Content-Type": JSON_TYPE})


async def read_body(request: web.Request) -> dict[str, Any]:
    """
    Return the JSON object a request carries.

    Raises:
        DefenderError: 400 if it carries none, 415 if it doesn't say so.
    """
    if request.content_type != "application/json" or "Content-Type" not in request.headers:
        message = "The request entity's media type is not supported: send 'application/json'."
        raise DefenderError(415, "UnsupportedMediaType", message)
    body = decode_object(await request.read())
    if body is None:
        message = "The request body is not a JSON object."
        raise DefenderError(400, "InvalidRequestBody", message)
    return body


def read_query(body: Mapping[str, Any]) -> str:
    """
    Return the query of a hunting request. Names in the body are case-sensitive: ``query`` isn't ``Query``.

    Raises:
        DefenderError: 400 if there is none, or something else.
    """
    if unknown := body.keys() - {"Query"}:
        message = f"The request body is invalid: '{min(unknown)}' is not a parameter. Names are case-sensitive."
        raise DefenderError(400, "InvalidRequestBody", message)
    query = body.get("Query")
    if not isinstance(query, str) or not query.strip():
        message = "The parameter 'Query' is missing."
        raise DefenderError(400, "MissingRequiredParameter", message)
    return query


def too_many(decision: ThrottleDecision) -> DefenderError:
    """Return the 429; its message names the limit."""
    limit = decision.throttled_by
    assert limit is not None  # or it would not have been throttled
    headers = {} if decision.retry_after is None else {"Retry-After": decision.retry_after}
    what = (
        "CPU quota exceeded! maximum running seconds"
        if limit.by == "running_s"
        else "API calls quota exceeded! maximum"
    )
    until = "later" if decision.retry_after is None else f"in {decision.retry_after} seconds"
    message = f"{what} allowed {limit.amount:g} per {_span(limit.per_s)}. You can send requests again {until}."
    return DefenderError(429, "TooManyRequests", message, headers=headers)


def _span(seconds: float) -> str:
    hours, rest = divmod(int(timedelta(seconds=seconds).total_seconds()), 3600)
    return f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"


def as_defender_error(reason: Exception) -> DefenderError:
    """Return the error response for *reason*; an exception that no request caused is raised again."""
    match reason:
        case DefenderError():
            return reason
        case HeaderError():
            return DefenderError(reason.status, reason.code, reason.message)
        case Unauthorized():
            return DefenderError(401, "Unauthorized", reason.message, headers={"WWW-Authenticate": "Bearer"})
        case FilterError() | QueryError():
            return DefenderError(400, "ODataError", f"The query specified in the URI is not valid. {reason}")
        case HuntingError():
            return DefenderError(400, "BadRequest", str(reason))
        case _:
            raise reason
