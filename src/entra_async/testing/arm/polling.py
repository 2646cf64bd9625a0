"""
How a client polls a long-running operation of Azure: the headers it is given, and the responses behind their URLs.

Source:
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from entra_async.testing.arm.call import ArmCall, json_response
from entra_async.testing.arm.errors import ArmError

if TYPE_CHECKING:
    from entra_async.testing.arm.operations import ArmOperation

__all__ = ("location_headers", "location_response", "polling_headers", "status_response")


def polling_headers(call: ArmCall, operation: ArmOperation, namespace: str, location: str) -> dict[str, str]:
    """
    Return the headers of the response that started an operation of a resource provider.

    Args:
        call: The request that started it.
        operation: The operation.
        namespace: The provider.
        location: The region it goes on in.
    """
    base = f"/subscriptions/{call.path[1]}/providers/{namespace}/locations/{location}"
    headers: dict[str, str] = {}
    if operation.plan.form in {"async", "both"}:
        headers = _retry_after(operation)
        headers["Azure-AsyncOperation"] = call.url(f"{base}/operations/{operation.id}", operation.query)
    if operation.plan.form in {"location", "both"}:
        headers |= location_headers(call, operation, f"{base}/operationresults/{operation.id}")
    return headers


def location_headers(call: ArmCall, operation: ArmOperation, path: str) -> dict[str, str]:
    """Return ``Location``, with this path, and ``Retry-After``."""
    return {"Location": call.url(path, {**operation.query, "monitor": "true"}), **_retry_after(operation)}


def status_response(call: ArmCall, now: float) -> web.Response:
    """
    Handle a request to the URL of ``Azure-AsyncOperation``: always 200, failed or not.

    Args:
        call: The request.
        now: Epoch seconds.

    Raises:
        ArmError: 404 for an operation nobody started, or a URL that is not the one given out.
    """
    operation = _find(call, {})
    headers = {} if operation.has_ended(now) else _retry_after(operation)
    return json_response(operation.status(call.request.path, now), headers=headers)


def location_response(call: ArmCall, now: float) -> web.Response:
    """
    Handle a request to the URL of ``Location``: 202 while the operation runs, then what it came to.

    Args:
        call: The request.
        now: Epoch seconds.

    Raises:
        ArmError: The error of an operation that failed; 404 as in :func:`status_response`.
    """
    operation = _find(call, {"monitor": "true"})
    if not operation.has_ended(now):
        return web.Response(status=202, headers=location_headers(call, operation, call.request.rel_url.raw_path))
    if operation.plan.failure is not None:
        raise ArmError(409, *operation.plan.failure)
    status, body = operation.result()
    return web.Response(status=status) if body is None else json_response(body, status=status)


def _find(call: ArmCall, more: dict[str, str]) -> ArmOperation:
    operation = call.arm.started.find(call.path[-1].lower())
    if operation is None:
        message = f"The operation '{call.path[-1]}' could not be found. It may have ended more than a day ago."
        raise ArmError(404, "OperationNotFound", message)
    if dict(call.options) != {**operation.query, **more}:
        message = "The URL of an operation must be called as it was given out, with its whole query."
        raise ArmError(400, "InvalidOperationUrl", message)
    return operation


def _retry_after(operation: ArmOperation) -> dict[str, str]:
    seconds = operation.plan.retry_after_s
    return {} if seconds is None else {"Retry-After": str(seconds)}
