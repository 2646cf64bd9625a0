"""The responses of injected faults in place of a service, in the format of that service's own errors."""

from __future__ import annotations

import http
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from entra_async.testing.faults.fault import Fault, WrongJson
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("ERROR_FORMAT", "ErrorFormat", "corrupt_json", "fault_response", "status_error")

_HTML: Final = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the network.</body></html>"


def status_error(status: int) -> tuple[str, str]:
    """Return the code and the message of the error that is injected with that HTTP status."""
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return "TooManyRequests", "Please retry again later."
    return _code(status), "The service failed on purpose."


def _plain_error(_: IncomingRequest, status: int, __: float) -> web.Response:
    code, message = status_error(status)
    request_id = str(uuid.uuid4())
    error: dict[str, Any] = {"code": code, "message": message, "target": request_id}
    return web.json_response({"error": error}, status=status, headers={"request-id": request_id})


def _no_headers(_: IncomingRequest) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFormat:
    """
    How a service writes its errors; unless it says so, as most of Microsoft's do.

    Attributes:
        render: Returns the response to a request that fails with an HTTP status, at a time in epoch seconds.
        headers: Returns the headers that every response of the service to a request has.
        json_type: The ``Content-Type`` of its JSON.
    """

    render: Callable[[IncomingRequest, int, float], web.Response] = _plain_error
    headers: Callable[[IncomingRequest], dict[str, str]] = _no_headers
    json_type: str = "application/json; charset=utf-8"


ERROR_FORMAT: Final = web.AppKey("error_format", ErrorFormat)
"""Where a service's application says how the service writes its errors, for the errors that are injected."""


def fault_response(fault: Fault, request: IncomingRequest, errors: ErrorFormat, *, now: float) -> web.Response | None:
    """
    Return what *fault* responds instead of the service, or ``None`` when the service is to respond.

    Args:
        fault: The fault.
        request: The request it is injected into.
        errors: How the service writes its errors.
        now: Epoch seconds.
    """
    if fault.html:
        response = web.Response(text=_HTML, content_type="text/html", charset="utf-8")
    elif fault.empty:
        response = web.Response(body=b"", content_type="application/json")
    elif fault.throttle is not None:
        response = errors.render(request, http.HTTPStatus.TOO_MANY_REQUESTS, now)
        response.headers["Retry-After"] = _retry_after(fault.throttle)
    elif fault.status is not None and fault.body is None:
        response = errors.render(request, fault.status, now)
    elif fault.status is not None:
        response = _with_body(fault.body, fault.status, errors.headers(request), json_type=errors.json_type)
    else:
        return None
    response.headers.update(fault.headers)
    return response


def corrupt_json(response: web.StreamResponse, how: WrongJson) -> None:
    """
    Corrupt the JSON of a response, before it is sent; its ``Content-Length`` will fit.

    Args:
        response: The response. One that is no JSON is left as it is.
        how: In which way.
    """
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes | bytearray) or not response.body:
        return
    if response.content_type != "application/json":
        return
    body = bytes(response.body)
    match how:
        case "truncated":
            response.body = body[: len(body) // 2]
        case "type":
            response.body = b"[" + body + b"]"
        case "nan":
            response.body = b'{"value":NaN,' + body.removeprefix(b"{")


def _with_body(
    body: str | bytes | Mapping[str, Any] | None, status: int, headers: dict[str, str], *, json_type: str
) -> web.Response:
    match body:
        case Mapping():
            return web.Response(
                body=msgspec.json.encode(dict(body)), status=status, headers={**headers, "Content-Type": json_type}
            )
        case bytes():
            return web.Response(body=body, status=status, headers=headers)
        case _:
            return web.Response(text=body, status=status, headers=headers)


def _retry_after(value: float | str) -> str:
    # Whole seconds are written without a fraction: RFC 9110 knows no other, Graph does.
    return value if isinstance(value, str) else f"{value:g}"


def _code(status: int) -> str:
    # What Graph documents for 503; the name of the status is right for most others, and clients go by the status.
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        return "serviceNotAvailable"
    try:
        return http.HTTPStatus(status).phrase.replace(" ", "").replace("-", "")
    except ValueError:
        return "UnknownError"
