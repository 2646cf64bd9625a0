"""What is sent again, and after how long, end to end: by method, status, Retry-After and fault of the connection."""

from __future__ import annotations

import time
from email.utils import formatdate
from itertools import count, product
from typing import Any

import pytest

from entra_async import Connection, RetryPolicy
from entra_async.errors import EntraError
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

METHODS = ("GET", "DELETE", "PATCH", "POST")
POLICY = RetryPolicy(max_attempts=4)
AGAIN = "waits of our own"  # the first between a quarter and half a second, the next twice that
LATER = "in 40 s"

# The fault, struck twice; the waits for what may be repeated, and for what may not. None: it is not sent again.
TABLE: list[tuple[dict[str, Any], Any, Any]] = [
    ({"throttle": 3}, [3, 3], [3, 3]),
    ({"throttle": "2.128"}, [2.128, 2.128], [2.128, 2.128]),
    ({"throttle": LATER}, [40, 40], [40, 40]),
    ({"throttle": 0}, [], []),
    ({"status": 429}, [1, 2], [1, 2]),
    ({"throttle": "soon"}, [1, 2], [1, 2]),
    ({"throttle": 181}, None, None),
    ({"status": 408}, AGAIN, AGAIN),
    ({"status": 408, "headers": {"Retry-After": "4"}}, [4, 4], [4, 4]),
    ({"status": 503, "headers": {"Retry-After": "4"}}, [4, 4], [4, 4]),
    ({"status": 503, "headers": {"Retry-After": "0.5"}}, [0.5, 0.5], [0.5, 0.5]),
    ({"status": 504, "headers": {"Retry-After": "4"}}, [4, 4], [4, 4]),
    ({"status": 503, "headers": {"Retry-After": "181"}}, None, None),
    ({"status": 500}, AGAIN, None),
    ({"status": 502}, AGAIN, None),
    ({"status": 503}, AGAIN, None),
    ({"status": 504}, AGAIN, None),
    ({"status": 500, "headers": {"Retry-After": "4"}}, [4, 4], None),
    ({"reset": "before"}, AGAIN, None),
    *(({"status": status}, None, None) for status in (400, 403, 409, 412, 423, 501, 505, 507, 509)),
]


async def call(graph: Connection, method: str, user_id: str, name: str, **options: Any) -> EntraError | None:
    """Make a call that succeeds when nothing is planted; return its error."""
    new = {
        "accountEnabled": True,
        "displayName": "Zoe",
        "mailNickname": name,
        "userPrincipalName": f"{name}@contoso.com",
        "passwordProfile": {"password": "Correct-Horse-7"},
    }
    body = {"POST": new, "PATCH": {"jobTitle": "Engineer"}}.get(method)
    try:
        await graph.invoke("users" if method == "POST" else f"users/{user_id}", method=method, body=body, **options)
    except EntraError as error:
        return error
    return None


def dated(fault: dict[str, Any]) -> dict[str, Any]:
    """Return the fault, with its date written out by the clock of the response."""
    if fault.get("throttle") != LATER:
        return fault
    now = time.time()
    return {"throttle": formatdate(now + 40, usegmt=True), "headers": {"Date": formatdate(now, usegmt=True)}}


async def ids(emulator: Emulator) -> list[str]:
    """Return users, to be used up."""
    async with emulator.session() as session:
        await session.connect(emulator.client_secret)
        users = await session.invoke("users", query={"$select": "id", "$top": 40}, paging=False)
    return [user["id"] for user in users]


@pytest.mark.parametrize(("fault", "repeatable", "other"), TABLE, ids=str)
async def test_a_fault_that_comes_twice(emulator: Emulator, fault: dict[str, Any], repeatable: Any, other: Any) -> None:
    """For each method, and whatever the caller says of it: as many sends, and exactly the waits, as in the table."""
    users = await ids(emulator)
    for (method, idempotent), user_id, number in zip(product(METHODS, (None, True, False)), users, count()):
        clock = VirtualClock()
        async with emulator.session(clock=clock, retry=POLICY) as session:
            graph = await session.connect(emulator.client_secret)
            emulator.faults.clear()
            emulator.faults.add("/v1.0/users*", times=2, **dated(fault))
            emulator.requests.clear()
            error = await call(graph, method, user_id, f"zoe{number}", idempotent=idempotent)
        sent = emulator.requests.count(path="/v1.0/users.*")
        waits = repeatable if (method in {"GET", "DELETE"} if idempotent is None else idempotent) else other

        what = (method, idempotent, clock.sleeps)
        if waits is None:
            assert error is not None, what
            assert (sent, clock.sleeps) == (1, []), what
            continue
        assert (error, sent) == (None, 3), what
        if waits == AGAIN:
            first, second = clock.sleeps
            assert 0.25 <= first <= 0.5 <= second <= 1.0, what
        else:
            assert [wait for wait in clock.sleeps if wait > 0.05] == pytest.approx(waits, abs=0.05), what


@pytest.mark.parametrize("fault", [{"reset": "after"}, {"half_body": True}], ids=str)
async def test_the_service_acted_and_the_response_is_lost(emulator: Emulator, fault: dict[str, Any]) -> None:
    """What may not act twice is not sent again, and its error says that it may have acted."""
    users = await ids(emulator)
    for method, user_id in zip(METHODS, users, strict=False):
        async with emulator.session(clock=VirtualClock(), retry=POLICY) as session:
            graph = await session.connect(emulator.client_secret)
            emulator.faults.clear()
            emulator.faults.add("/v1.0/users*", **fault)
            emulator.requests.clear()
            error = await call(graph, method, user_id, f"zoe{METHODS.index(method)}")
        sent = emulator.requests.count(path="/v1.0/users.*")

        if "half_body" in fault and method in {"PATCH", "DELETE"}:  # a 204 has no body to be cut
            assert (error, sent) == (None, 1), method
        elif method == "GET":
            assert (error, sent) == (None, 2)
        elif method == "DELETE":  # the second one finds that the first one acted
            assert (getattr(error, "status", None), sent) == (404, 2)
        else:
            assert (getattr(error, "sent", None), sent) == (True, 1), method


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 502}, {"reset": "before"}], ids=str)
async def test_a_fault_that_stays(emulator: Emulator, fault: dict[str, Any]) -> None:
    """After as many attempts as the policy allows, the last response is the error."""
    emulator.faults.add("/v1.0/users*", times=None, **fault)
    for method in METHODS:
        async with emulator.session(clock=VirtualClock(), retry=POLICY) as session:
            graph = await session.connect(emulator.client_secret)
            emulator.requests.clear()
            error = await call(graph, method, "x", "zoe")

        wanted = POLICY.max_attempts if method in {"GET", "DELETE"} else 1
        assert emulator.requests.count(path="/v1.0/users.*") == wanted
        assert getattr(error, "attempts", None) == wanted
