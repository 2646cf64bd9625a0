"""The status of an operation, by every polling method, and when to poll again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.operations import (
    OperationStatus,
    PollingMethod,
    choose_polling,
    decide_poll_s,
    read_error_status,
    read_status,
)

MONITOR = "https://management.azure.com/subscriptions/1/operations/2"
RUNNING = {"properties": {"provisioningState": "Creating"}}
READY = {"properties": {"provisioningState": "Succeeded"}}
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "polling"),
    [
        ("PUT", 201, {"Azure-AsyncOperation": MONITOR}, RUNNING, ("status", MONITOR)),
        ("PUT", 200, {"Azure-AsyncOperation": MONITOR}, READY, ("status", MONITOR)),
        ("POST", 202, {"Azure-AsyncOperation": MONITOR, "Location": "/x"}, None, ("status", MONITOR)),
        ("POST", 202, {"Operation-Location": MONITOR}, None, ("status", MONITOR)),
        ("DELETE", 202, {"Location": MONITOR}, None, ("location", MONITOR)),
        ("POST", 201, {"Location": "/v1.0/users/1"}, {"id": "1"}, None),
        ("PUT", 201, {}, RUNNING, ("resource", None)),
        ("PATCH", 202, {}, None, ("resource", None)),
        ("PUT", 200, {}, READY, None),
        ("PUT", 200, {}, {"id": "1"}, None),
        ("POST", 202, {}, None, None),
        ("POST", 200, {}, RUNNING, None),
        ("DELETE", 202, {}, {"properties": {"provisioningState": "Deleting"}}, ("resource", None)),
        ("DELETE", 202, {}, None, None),
        ("DELETE", 204, {}, None, None),
    ],
)
def test_how_an_operation_is_polled(
    method: str, status: int, headers: dict[str, str], body: Any, polling: tuple[PollingMethod, str | None] | None
) -> None:
    """Azure-AsyncOperation first, then the Location of a 202, then the resource; else the response is the result."""
    assert choose_polling(method, status, headers, body) == polling


@pytest.mark.parametrize(
    ("polling", "status", "body", "report"),
    [
        (
            "status",
            200,
            {"status": "InProgress", "percentComplete": 40},
            OperationStatus("InProgress", done=False, percent=40),
        ),
        ("status", 202, {"status": "Succeeded"}, OperationStatus("Succeeded", done=True)),
        (
            "status",
            200,
            {"status": "Failed", "error": {"code": "SkuNotAvailable", "message": "None left."}},
            OperationStatus("Failed", done=True, failed=True, code="SkuNotAvailable", reason="None left."),
        ),
        ("status", 200, {"status": "Canceled"}, OperationStatus("Canceled", done=True, failed=True)),
        ("status", 200, {"state": "Succeeded"}, None),
        ("status", 200, None, None),
        ("location", 202, None, OperationStatus("InProgress", done=False)),
        ("location", 200, {"id": "1"}, OperationStatus("Succeeded", done=True)),
        ("location", 204, None, OperationStatus("Succeeded", done=True)),
        # A result of Azure that has a status of its own is a result.
        ("location", 200, {"id": "1", "status": "Failed"}, OperationStatus("Succeeded", done=True)),
        # Graph answers 202 with a status that is final, and 200 with one that is not.
        (
            "location",
            202,
            {"status": "completed", "percentageComplete": 100.0, "resourceId": "01MO"},
            OperationStatus("completed", done=True, percent=100.0),
        ),
        (
            "location",
            200,
            {"status": "inProgress", "operationType": "createTeam", "targetResourceLocation": "/teams('1')"},
            OperationStatus("inProgress", done=False, link="/teams('1')"),
        ),
        (
            "location",
            200,
            {"status": "failed", "operation": "itemCopy", "errorCode": "nameAlreadyExists", "statusDescription": "x"},
            OperationStatus("failed", done=True, failed=True, code="nameAlreadyExists", reason="x"),
        ),
        ("resource", 200, RUNNING, OperationStatus("Creating", done=False)),
        ("resource", 200, READY, OperationStatus("Succeeded", done=True)),
        ("resource", 200, {"id": "1"}, OperationStatus("Succeeded", done=True)),
        ("resource", 202, None, OperationStatus("Accepted", done=False)),
        (
            "resource",
            200,
            {"properties": {"provisioningState": "Failed", "error": {"code": "X"}}},
            OperationStatus("Failed", done=True, failed=True, code="X"),
        ),
    ],
)
def test_the_status_of_an_operation(
    polling: PollingMethod, status: int, body: Any, report: OperationStatus | None
) -> None:
    """A final status is final in any case of letters; every other status means that it is in progress."""
    assert read_status(polling, status, {}, body) == report


@pytest.mark.parametrize(
    ("polling", "method", "status", "report"),
    [
        ("location", "PUT", 409, OperationStatus("Failed", done=True, failed=True)),
        ("location", "PUT", 404, None),
        ("location", "PUT", 401, None),
        ("location", "PUT", 429, None),
        ("location", "PUT", 503, None),
        ("status", "PUT", 409, None),
        ("resource", "DELETE", 404, OperationStatus("Succeeded", done=True)),
        ("resource", "PUT", 404, None),
    ],
)
def test_what_an_error_status_means(
    polling: PollingMethod, method: str, status: int, report: OperationStatus | None
) -> None:
    """The Location of a failed operation has its error; a resource that is gone was deleted; else it means nothing."""
    assert read_error_status(polling, method, status) == report


def test_a_redirect_is_the_end() -> None:
    """A monitor that redirects leads to the result."""
    assert read_status("location", 303, {"Location": "/x"}, None) == OperationStatus("completed", done=True, link="/x")
    assert read_status("location", 303, {}, None) is None


@given(st.sampled_from(["status", "location", "resource"]), st.integers(200, 303), json)
def test_any_response_is_read(polling: PollingMethod, status: int, body: Any) -> None:
    """No body raises, and a failed operation is done."""
    report = read_status(polling, status, {}, body)

    assert report is None or report.done or not report.failed


@given(
    st.none() | st.floats(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 1, exclude_max=True),
)
def test_the_wait_keeps_its_limits(retry_after_s: float | None, polls: int, chance: float) -> None:
    """What the service asks for is obeyed in full; else 1 to 30 s, and never more often than once a second."""
    wait_s = decide_poll_s(retry_after_s=retry_after_s, polls=polls, chance=chance)

    assert wait_s >= 1.0
    assert wait_s <= 30.0 if retry_after_s is None else wait_s == max(1.0, retry_after_s)


def test_the_wait_grows() -> None:
    """Who asks for long asks seldom."""
    waits = [decide_poll_s(retry_after_s=None, polls=polls, chance=0.5) for polls in range(8)]

    assert waits == [1.0, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5, 22.5]
