"""
The errors of Microsoft Graph.

Sources:
    https://learn.microsoft.com/en-us/graph/errors
    https://learn.microsoft.com/en-us/graph/throttling
    https://learn.microsoft.com/en-us/graph/aad-advanced-queries (error handling)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from multidict import MultiDict

from entra_async.testing.wire.service_error import ServiceError

if TYPE_CHECKING:
    from entra_async.testing.limits.service_limit import ThrottleDecision

__all__ = (
    "GraphError",
    "bad_request",
    "error_body",
    "forbidden",
    "method_not_allowed",
    "not_found",
    "throttled",
    "unauthorized",
    "unknown_segment",
    "unsupported_query",
)

_CHALLENGE: Final = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
)
_EXCEEDED: Final = {"write": "WriteLimitExceeded", "running_s": "CPULimitExceeded"}


class GraphError(ServiceError):
    """
    An error response of Microsoft Graph.

    Attributes:
        target: The property that is to blame, if one is.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.target = target


def error_body(error: GraphError, *, now_s: float, request_id: str, client_request_id: str) -> dict[str, Any]:
    """
    Return the body of an error, before it is encoded.

    Args:
        error: What went wrong.
        now_s: The time, in seconds since the epoch.
        request_id: The service's id of the request.
        client_request_id: The client's, which is the service's if the client sent none.
    """
    inner = {
        "date": datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": client_request_id,
    }
    if error.status == 429:
        inner |= {"code": "429", "message": "Please retry after", "status": "429"}
    body: dict[str, Any] = {"code": error.code, "message": error.message, "innerError": inner}
    if error.target is not None:
        detail = {"code": "ObjectConflict", "message": error.message, "target": error.target}
        body["details"] = [detail]
    return {"error": body}


def bad_request(message: str, *, code: str = "Request_BadRequest", target: str | None = None) -> GraphError:
    """Return the 400 for a request that makes no sense."""
    return GraphError(400, code, message, target=target)


def unsupported_query(message: str) -> GraphError:
    """Return the 400 for a query the directory has no index for."""
    return GraphError(400, "Request_UnsupportedQuery", message)


def unknown_segment(segment: str) -> GraphError:
    """Return the 400 for a path that does not exist."""
    return bad_request(f"Resource not found for the segment '{segment}'.", code="BadRequest")


def unauthorized(message: str, challenges: Sequence[str]) -> GraphError:
    """Return the 401 for an access token that is missing or invalid, with these ``WWW-Authenticate`` lines."""
    headers = MultiDict([("WWW-Authenticate", line) for line in challenges or [_CHALLENGE]])
    return GraphError(401, "InvalidAuthenticationToken", message, headers=headers)


def forbidden() -> GraphError:
    """Return the 403 for an app without the role the operation takes."""
    return GraphError(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def not_found(key: str) -> GraphError:
    """Return the 404 for an object that does not exist."""
    message = f"Resource '{key}' does not exist or one of its queried reference-property objects are not present."
    return GraphError(404, "Request_ResourceNotFound", message)


def method_not_allowed(allowed: str) -> GraphError:
    """Return the 405; *allowed* lists the allowed methods."""
    message = "Specified HTTP method is not allowed for the request target."
    return GraphError(405, "Request_BadRequest", message, headers={"Allow": allowed})


def throttled(decision: ThrottleDecision, app_id: str, tenant_id: str) -> GraphError:
    """
    Return the 429.

    Args:
        decision: Which limit was exceeded, and how long to wait.
        app_id: The app that is throttled.
        tenant_id: GUID of the tenant.
    """
    limit = decision.throttled_by
    assert limit is not None  # or it would not have been throttled
    scope = "Tenant" if limit.per == "tenant" else "Tenant_Application"
    headers = {
        "x-ms-throttle-scope": f"{scope}/{'Write' if limit.by == 'write' else 'ReadWrite'}/{app_id}/{tenant_id}",
        "x-ms-throttle-information": _EXCEEDED.get(limit.by, "ResourceUnitLimitExceeded"),
    }
    if decision.retry_after is not None:
        headers["Retry-After"] = decision.retry_after
    return GraphError(429, "TooManyRequests", "Please retry again later.", headers=headers)
