"""The error for a response that is no success."""

from __future__ import annotations

from typing import Final

from entra_async.errors import (
    APIStatusError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    PreconditionFailedError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
)
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import first_words, is_json, read_error
from entra_async.rules.http.retry import read_retry_after_s

__all__ = ("status_error",)

_CLASSES: Final[dict[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    412: PreconditionFailedError,
    429: ThrottledError,
}

_SERVER: Final = 500

_HINTS: Final[dict[int, str]] = {
    **dict.fromkeys(
        (300, 301, 302, 303, 307, 308),
        "Only reads are redirected: call the new URL, which the Location header names.",
    ),
    401: "The token was rejected: is it made for this service and tenant, and is the machine's clock right?",
    403: "Grant the application (or the user) the permission that this path needs, and consent to it.",
    429: "Send fewer requests, or allow a longer wait with timeout= and RetryPolicy.max_retry_after_s.",
}


def status_error(response: Response, *, now: float, secret: str) -> APIStatusError:
    """
    Return the error for a response that is no success.

    Args:
        response: The response.
        now: Seconds since the epoch, for a ``Retry-After`` that is a date.
        secret: What the request carried; hidden should the service repeat it.
    """
    body = read_error(response.body)
    said = f"{body.code}: {body.message}" if body.code and body.message else body.code or body.message
    if said is None:
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        said = f"no reason given ({kind or 'no content type'}, {len(response.body)} bytes)"
        words = first_words(response.text.replace(secret, "***") if secret else response.text)
        if words and not is_json(kind):
            said = f"{said}: {words!r}"
    if secret:
        said = said.replace(secret, "***")
    cls = ServerError if response.status >= _SERVER else _CLASSES.get(response.status, APIStatusError)
    error = cls(
        f"{response.method} {response.url} answered {response.status}: {said}",
        status=response.status,
        code=body.code,
        request_id=response.request_id or body.request_id,
        headers={name.lower(): value for name, value in response.headers.items()},
        method=response.method,
        url=response.url,
        attempts=response.attempts,
        client_request_id=response.client_request_id,
        hint=_HINTS.get(response.status),
    )
    if isinstance(error, ThrottledError):
        error.retry_after_s = read_retry_after_s(error.headers, now=now)
    return error
