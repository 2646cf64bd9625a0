"""How an operation stands, in the words of every service, and when to ask again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.rules.operations import OperationStatus, Way, choose_way, decide_poll_s, read_refusal, read_report

MONITOR = "https://management.azure.com/subscriptions/1/operations/2"
RUNNING = {"properties": {"provisioningState": "Creating"}}
READY = {"properties": {"provisioningState": "Succeeded"}}
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("method", "status", "headers", "body", "way"),
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
def test_how_an_operation_is_followed(
    method: str, status: int, headers: dict[str, str], body: Any, way: tuple[Way, str | None] | None
) -> None:
    """Azure-AsyncOperation first, then the Location of a 202, then the resource; else the answer is the result."""
    assert choose_way(method, status, headers, body) == way


@pytest.mark.parametrize(
    ("way", "status", "body", "report"),
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
        # Graph answers 202 with a report that says that it is over, and 200 with one that says that it is not.
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
def test_how_an_operation_stands(way: Way, status: int, body: Any, report: OperationStatus | None) -> None:
    """Final words are final in any case of letters; every other word means that it goes on."""
    assert read_report(way, status, {}, body) == report


@pytest.mark.parametrize(
    ("way", "method", "status", "report"),
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
def test_what_an_error_says(way: Way, method: str, status: int, report: OperationStatus | None) -> None:
    """The Location of what failed answers with its error; a resource that is gone was deleted; else nothing is said."""
    assert read_refusal(way, method, status) == report


def test_a_redirect_is_the_end() -> None:
    """A monitor that redirects leads to the result."""
    assert read_report("location", 303, {"Location": "/x"}, None) == OperationStatus("completed", done=True, link="/x")
    assert read_report("location", 303, {}, None) is None


@given(st.sampled_from(["status", "location", "resource"]), st.integers(200, 303), json)
def test_any_answer_is_read(way: Way, status: int, body: Any) -> None:
    """No body breaks the reading, and what failed is over."""
    report = read_report(way, status, {}, body)

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
