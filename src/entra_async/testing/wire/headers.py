"""
The request headers that every OData service of Microsoft's reads, and what is wrong with them.

Sources:
    RFC 9110, sections 5.3 and 12.5.1: https://www.rfc-editor.org/rfc/rfc9110
    https://learn.microsoft.com/en-us/graph/errors (406)
    https://learn.microsoft.com/en-us/graph/aad-advanced-queries (ConsistencyLevel)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from entra_async.testing.wire.service_error import ServiceError

if TYPE_CHECKING:
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("HeaderError", "check_headers")

_JSON: Final = frozenset({"*/*", "application/*", "application/json"})
_TEXT: Final = frozenset({"text/*", "text/plain"})
_NOTHING: Final = re.compile(r"q=0(\.0{0,3})?", re.IGNORECASE)


class HeaderError(ServiceError):
    """A header that makes no sense."""


def check_headers(request: IncomingRequest, *, plain_text: bool = False) -> None:
    """
    Check the headers that mean the same to every operation.

    Args:
        request: The request as it arrived.
        plain_text: Whether the response may be read as plain text, too.

    Raises:
        HeaderError: 400 for more than one access token, or a consistency level that does not exist; 406 if the client
            does not take JSON.
    """
    if len(request.headers.getall("Authorization", ())) > 1:
        raise HeaderError(400, "BadRequest", "The 'Authorization' header was specified more than once.")
    levels = request.headers.getall("ConsistencyLevel", ())
    if levels and [level.strip().lower() for level in levels] != ["eventual"]:
        message = f"Invalid value '{','.join(levels)}' for the 'ConsistencyLevel' header. It must be 'eventual', once."
        raise HeaderError(400, "BadRequest", message)
    accepted = ",".join(request.headers.getall("Accept", ()))
    served = _JSON | _TEXT if plain_text else _JSON
    if accepted.strip(", ") and served.isdisjoint(_media_ranges(accepted)):
        message = "This service does not support the format requested in the Accept header."
        raise HeaderError(406, "NotAcceptable", message)


def _media_ranges(accept: str) -> set[str]:
    ranges = set()
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        if not any(_NOTHING.fullmatch(parameter) for parameter in parameters):
            ranges.add(name)
    return ranges
