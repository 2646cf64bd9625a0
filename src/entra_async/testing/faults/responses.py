"""The answers planted faults give in place of a service, in the shape that service uses."""

from __future__ import annotations

import http
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from entra_async.testing.entra.errors import EntraRefusal
from entra_async.testing.graph.errors import GraphError
from entra_async.testing.graph.responses import JSON_TYPE, common_headers, error_answer

if TYPE_CHECKING:
    from entra_async.testing.faults.fault import Fault, WrongJson
    from entra_async.testing.wire.incoming import Incoming

__all__ = ("fault_answer", "spoil_json")

_HTML: Final = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the network.</body></html>"


def fault_answer(fault: Fault, request: Incoming, *, service: str, now: float) -> web.Response | None:
    """
    Return what *fault* answers instead of the service, or ``None`` when the service is to answer.

    Args:
        fault: The fault that strikes.
        request: The request it strikes.
        service: Name of the service.
        now: Epoch seconds.
    """
    if fault.html:
        answer = web.Response(text=_HTML, content_type="text/html", charset="utf-8")
    elif fault.empty:
        answer = web.Response(body=b"", content_type="application/json")
    elif fault.throttle is not None:
        answer = _service_error(request, http.HTTPStatus.TOO_MANY_REQUESTS, service=service, now=now)
        answer.headers["Retry-After"] = _retry_after(fault.throttle)
    elif fault.status is not None:
        answer = _status_answer(fault, fault.status, request, service=service, now=now)
    else:
        return None
    answer.headers.update(fault.headers)
    return answer


def spoil_json(answer: web.StreamResponse, how: WrongJson) -> None:
    """
    Spoil the JSON of an answer, before it is sent; its ``Content-Length`` will fit.

    Args:
        answer: The answer. One that is no JSON is left as it is.
        how: In which way.
    """
    if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes | bytearray) or not answer.body:
        return
    if answer.content_type != "application/json":
        return
    body = bytes(answer.body)
    match how:
        case "truncated":
            answer.body = body[: len(body) // 2]
        case "type":
            answer.body = b"[" + body + b"]"
        case "nan":
            answer.body = b'{"value":NaN,' + body.removeprefix(b"{")


def _status_answer(fault: Fault, status: int, request: Incoming, *, service: str, now: float) -> web.Response:
    headers = common_headers(request) if service == "graph" else {}
    match fault.body:
        case None:
            return _service_error(request, status, service=service, now=now)
        case Mapping():
            headers["Content-Type"] = JSON_TYPE if service == "graph" else "application/json; charset=utf-8"
            return web.Response(body=msgspec.json.encode(dict(fault.body)), status=status, headers=headers)
        case bytes():
            return web.Response(body=fault.body, status=status, headers=headers)
        case _:
            return web.Response(text=fault.body, status=status, headers=headers)


def _retry_after(value: float | str) -> str:
    # Whole seconds are written without a fraction: RFC 9110 knows no other, Graph does.
    return value if isinstance(value, str) else f"{value:g}"


def _service_error(request: Incoming, status: int, *, service: str, now: float) -> web.Response:
    throttled = status == http.HTTPStatus.TOO_MANY_REQUESTS
    if service == "identity":
        return EntraRefusal(90055 if throttled else 90033, status=status).response(request, now=now)
    code = "TooManyRequests" if throttled else _code(status)
    message = "Please retry again later." if throttled else "The service failed on purpose."
    if service == "graph":
        return error_answer(GraphError(status, code, message), common_headers(request), now_s=now)
    request_id = str(uuid.uuid4())
    error: dict[str, Any] = {"code": code, "message": message, "target": request_id}
    return web.json_response({"error": error}, status=status, headers={"request-id": request_id})


def _code(status: int) -> str:
    # What Graph documents for 503; the name of the status is right for most others, and clients go by the status.
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        return "serviceNotAvailable"
    try:
        return http.HTTPStatus(status).phrase.replace(" ", "").replace("-", "")
    except ValueError:
        return "UnknownError"
