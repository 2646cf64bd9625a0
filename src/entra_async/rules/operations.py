"""
How a long-running operation is polled, what its responses mean, and when to poll again. Pure.

Three methods are in use. **status**: a status resource, whatever its HTTP status (``Azure-AsyncOperation``).
**location**: 202 until the operation is done, then the result (Azure), or a body whose ``status`` counts (Graph, which
may answer 202 with ``completed``). **resource**: the resource itself, by its ``provisioningState``.

Source:
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
    https://learn.microsoft.com/en-us/graph/long-running-actions-overview
    https://learn.microsoft.com/en-us/graph/api/resources/teamsasyncoperation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = (
    "OperationStatus",
    "PollingMethod",
    "choose_polling",
    "decide_poll_s",
    "leads_nowhere",
    "read_error_status",
    "read_status",
)

PollingMethod = Literal["status", "location", "resource"]

_STATUS_LINKS: Final = ("Azure-AsyncOperation", "Operation-Location")
_ACCEPTED: Final = 202
_SEE_OTHER: Final = range(300, 400)
_NOT_FOUND: Final = 404
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_OF_THE_POLL: Final = frozenset({401, 403, 404, 408, 410, 429})
_SUCCEEDED: Final = frozenset({"succeeded", "completed"})
_FAILED: Final = frozenset({"failed", "canceled", "cancelled", "deletefailed", "invalid", "skipped"})
# What an operation of Graph has beside its status; a result that happens to have a status has none of them.
_OPERATION_FIELDS: Final = frozenset(
    {
        "attemptsCount",
        "errorCode",
        "lastActionDateTime",
        "operation",
        "operationType",
        "percentageComplete",
        "resourceId",
        "resourceLocation",
        "statusDescription",
        "statusDetail",
        "targetResourceLocation",
    }
)
_RESULTS: Final = ("resourceLocation", "targetResourceLocation")
_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """
    The status of an operation.

    Attributes:
        status: The service's own word.
        done: Whether it has ended.
        failed: Whether it ended without success.
        percent: Progress from 0 to 100, or ``None`` if the service does not say.
        code: The service's error code.
        reason: The error's message.
        link: URL of the result, or ``None``.
    """

    status: str
    done: bool
    failed: bool = False
    percent: float | None = None
    code: str | None = None
    reason: str | None = None
    link: str | None = None


def choose_polling(
    method: str, status: int, headers: Mapping[str, str], body: object
) -> tuple[PollingMethod, str | None] | None:
    """
    Return how to poll an operation, by the response that began it, and the URL: ``None`` for the resource itself.

    Args:
        method: HTTP method of the request.
        status: HTTP status of the response.
        headers: Its headers; lookups ignore case.
        body: Its decoded body.

    Returns:
        ``None`` if there is nothing to poll: the response is the result.
    """
    for name in _STATUS_LINKS:
        if headers.get(name):
            return "status", headers[name]
    if status == _ACCEPTED and headers.get("Location"):
        return "location", headers["Location"]  # of 201 it is the new resource
    state = _provisioning_state(body)
    over = state is not None and state.lower() in _SUCCEEDED
    known = state is not None or (status == _ACCEPTED and method != "DELETE")
    return ("resource", None) if method in {"PUT", "PATCH", "DELETE"} and known and not over else None


def read_status(
    polling: PollingMethod, status: int, headers: Mapping[str, str], body: object
) -> OperationStatus | None:
    """
    Return the operation's status; ``None`` if the response does not say.

    Args:
        polling: How it is polled.
        status: HTTP status of the response.
        headers: Its headers; lookups ignore case.
        body: Its decoded body, or ``None``.
    """
    if polling == "resource":
        state = _provisioning_state(body)
        if state is None:  # without one the operation is done
            return (
                OperationStatus("Accepted", done=False)
                if status == _ACCEPTED
                else OperationStatus("Succeeded", done=True)
            )
        return _judge(state, body)
    said = body.get("status") if isinstance(body, Mapping) else None
    if polling == "status":
        return _judge(said, body) if isinstance(said, str) and said else None
    if status in _SEE_OTHER:
        link = headers.get("Location")
        return OperationStatus("completed", done=True, link=link) if link else None
    if isinstance(said, str) and said and isinstance(body, Mapping) and _OPERATION_FIELDS & body.keys():
        return _judge(said, body)
    return OperationStatus("InProgress", done=False) if status == _ACCEPTED else OperationStatus("Succeeded", done=True)


def leads_nowhere(polling: PollingMethod, status: int, headers: Mapping[str, str], body: object) -> bool:
    """
    Return whether the response to a poll says neither that the operation has ended, nor how or when to poll it.

    Args:
        polling: How it is polled.
        status: HTTP status of the response.
        headers: Its headers; lookups ignore case.
        body: Its decoded body, or ``None``.
    """
    silent = polling == "resource" and status == _ACCEPTED and _provisioning_state(body) is None
    return silent and not any(headers.get(name) for name in ("Retry-After", "Location", *_STATUS_LINKS))


def read_error_status(polling: PollingMethod, method: str, status: int) -> OperationStatus | None:
    """
    Return what an error status means for the operation; ``None`` if it is about the poll only.

    Args:
        polling: How it is polled.
        method: HTTP method of the request that began it.
        status: HTTP status, from 400 on.
    """
    if polling == "resource" and method == "DELETE" and status == _NOT_FOUND:
        return OperationStatus("Succeeded", done=True)
    if polling == "location" and _CLIENT_ERROR <= status < _SERVER_ERROR and status not in _OF_THE_POLL:
        return OperationStatus("Failed", done=True, failed=True)
    return None


def _provisioning_state(body: object) -> str | None:
    properties = body.get("properties") if isinstance(body, Mapping) else None
    state = properties.get("provisioningState") if isinstance(properties, Mapping) else None
    return state if isinstance(state, str) and state else None


def _judge(status: str, body: object) -> OperationStatus:
    found: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    word = status.lower()
    failed = word in _FAILED
    percent = next((found[name] for name in ("percentComplete", "percentageComplete") if name in found), None)
    code, reason = _read_error(found) if failed else (None, None)
    return OperationStatus(
        status,
        done=failed or word in _SUCCEEDED,
        failed=failed,
        percent=float(percent) if isinstance(percent, int | float) and not isinstance(percent, bool) else None,
        code=code,
        reason=reason,
        link=next((found[name] for name in _RESULTS if isinstance(found.get(name), str) and found[name]), None),
    )


def _read_error(body: Mapping[str, Any]) -> tuple[str | None, str | None]:
    properties = body.get("properties")
    inner = properties.get("error") if isinstance(properties, Mapping) else None
    error = next((each for each in (body.get("error"), inner) if isinstance(each, Mapping)), {})
    code = error.get("code") or body.get("errorCode")
    reason = error.get("message") or body.get("statusDescription") or body.get("statusDetail")
    return (code if isinstance(code, str) else None), (reason if isinstance(reason, str) else None)


def decide_poll_s(*, retry_after_s: float | None, polls: int, chance: float) -> float:
    """
    Return how many seconds to wait before the next poll: the ``Retry-After``, but never less than a second.

    Else 1 to 30, doubling with each poll, and spread, so that many operations are not polled at once.

    Args:
        retry_after_s: The service's ``Retry-After``, or ``None``.
        polls: How often it was polled already.
        chance: A random number from 0 up to 1.
    """
    if retry_after_s is not None:
        return max(_SHORTEST_S, retry_after_s)
    return max(_SHORTEST_S, min(_LONGEST_S, 2.0 ** min(polls, 10)) * (0.5 + chance / 2))
