"""What a request costs, in which workload, and how limits change while they are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entra_async.testing.graph.costs import graph_cost
from entra_async.testing.limits.service_limit import Measure, Priority
from entra_async.testing.limits.throttle import RequestCost, Throttle
from tests.emulator.conftest import SteppedClock

if TYPE_CHECKING:
    from tests.emulator.conftest import Service


@pytest.mark.parametrize(
    ("request_line", "units", "writes"),
    [
        ("GET users", 2, 0),
        ("GET users/1", 1, 0),
        ("GET users?$select=id", 1, 0),
        ("GET users?$select=id&$top=5", 1, 0),
        ("GET users?$expand=manager", 3, 0),
        ("GET users?%24expand=manager&%24top=19", 2, 0),
        ("GET users?$top=20", 2, 0),
        ("GET users?$top=nonsense", 2, 0),
        ("GET users/$count", 1, 0),
        ("GET applications", 2, 0),
        ("GET applications/1", 1, 0),
        ("GET applications/1/extensionProperties", 2, 0),
        ("GET oauth2PermissionGrants", 2, 0),
        ("GET oauth2PermissionGrants/1", 2, 0),
        ("GET servicePrincipals/1/appRoleAssignments", 2, 0),
        ("GET contracts", 3, 0),
        ("GET subscribedSkus", 3, 0),
        ("GET domains/contoso.com/domainNameReferences", 4, 0),
        ("GET groups/1/members", 3, 0),
        ("GET groups/1/members?$top=19", 2, 0),
        ("GET groups/1/transitiveMembers", 5, 0),
        ("GET me", 1, 0),
        ("GET me/memberOf", 2, 0),
        ("GET users/1/memberOf", 2, 0),
        ("GET me/transitiveMemberOf", 2, 0),
        ("GET me/ownedObjects", 2, 0),
        ("GET me/licenseDetails", 2, 0),
        ("POST me/getMemberGroups", 2, 0),
        ("POST users/1/getMemberObjects", 2, 0),
        ("POST directoryObjects/getByIds", 3, 0),
        ("POST directoryObjects/getByIds?$select=id", 2, 0),
        ("POST users/1/checkMemberGroups", 4, 0),
        ("POST me/isMemberOf", 4, 0),
        ("POST users", 1, 1),
        ("PATCH users/1", 1, 1),
        ("PUT users/1/manager/$ref", 1, 1),
        ("DELETE groups/1", 1, 1),
    ],
)
def test_cost_is_what_the_table_says(request_line: str, units: int, writes: int) -> None:
    """A request costs what Microsoft's table and modifiers say, and only what changes something costs a write."""
    method, _, url = request_line.partition(" ")
    path, _, query = url.partition("?")
    charge = graph_cost(method, path.split("/"), query, None)
    assert (charge.workload, charge.units, charge.writes) == ("directory", units, writes)


@pytest.mark.parametrize(
    ("path", "workload"),
    [
        ("auditLogs/signIns", "reports"),
        ("identityProtection/riskyUsers", "identity_protection"),
        ("identity/conditionalAccess/policies", "identity_protection"),
        ("identity/identityProviders", "directory"),
        ("security/runHuntingQuery", "hunting"),
        ("drives/1/root", "files"),
        ("planner/tasks", "planner"),
        ("me/drive/root", "files"),
        ("users/1/drive", "files"),
        ("users/drive", "directory"),
        ("", "directory"),
    ],
)
def test_workload_follows_from_the_path(path: str, workload: str) -> None:
    """Services behind Graph that count by themselves are told apart by the path."""
    assert graph_cost("GET", path.split("/"), "", None).workload == workload


@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]), path=st.lists(st.text(max_size=9), max_size=4), query=st.text()
)
def test_every_request_costs_something(method: str, path: list[str], query: str) -> None:
    """No path and no query is free, or breaks the sum."""
    assert graph_cost(method, path, query, "Low").units >= 1


async def test_cost_and_priority_are_charged(graph: Service) -> None:
    """By units, a page of users takes two; one with $select takes one; the response tells, and the header ranks."""
    graph.throttle.limit(10, per_s=100_000, by="unit")
    low = {"x-ms-throttle-priority": "Low"}
    responses = [await graph.get("/v1.0/users?$top=30", headers=low) for _ in range(5)]
    assert [response.status for response in responses] == [200, 200, 200, 200, 429]
    assert [response.headers.get("x-ms-resource-unit") for response in responses] == ["2"] * 4 + [None]
    assert responses[3].headers["x-ms-throttle-limit-percentage"] == "0.80"
    assert (await graph.get("/v1.0/users?$select=id")).status == 200
    assert (await graph.get("/v1.0/users?$select=id")).headers["x-ms-throttle-limit-percentage"] == "1.00"
    assert (await graph.get("/v1.0/users?$select=id")).status == 429


@pytest.mark.parametrize(("priority", "passes"), [("low", 8), ("normal", 10), ("high", 12)])
def test_low_priority_is_throttled_first_and_high_last(priority: Priority, passes: int) -> None:
    """Of a full bucket each priority gets another share, and in the long run all get the same rate."""
    clock = SteppedClock()
    throttle = Throttle(clock)
    throttle.limit(10, per_s=10)
    charge = RequestCost(priority=priority)
    assert [throttle.take("graph", "a", charge).allowed for _ in range(12)].count(True) == passes
    clock.move(1000)
    while throttle.take("graph", "a", charge).allowed:
        pass
    clock.move(4)  # one for the refusal
    for _ in range(300):
        assert throttle.take("graph", "a", charge).allowed
        clock.move(1)


def test_a_429_for_low_priority_takes_nothing_from_others() -> None:
    """A crawler of low priority that hammers does not lock out the users."""
    throttle = Throttle(SteppedClock())
    throttle.limit(10, per_s=100_000)
    low = RequestCost(priority="low")
    assert sum(throttle.take("graph", "a", low).allowed for _ in range(100)) == 8
    assert [throttle.take("graph", "a").allowed for _ in range(3)] == [True, True, False]


def test_limit_changes_midway() -> None:
    """With keep, the rate changes at once while the bucket stays as full as it is; without, it is full again."""
    clock = SteppedClock()
    throttle = Throttle(clock)

    def passing() -> int:
        passed = 0
        while throttle.take("graph", "a").allowed:
            passed += 1
        return passed

    throttle.limit(10, per_s=10, burst=10)
    assert passing() == 10
    clock.move(1 + 4)  # the refused one is paid first
    throttle.limit(5, per_s=10, burst=10, keep=True)
    assert passing() == 4
    clock.move(2 + 8)
    assert passing() == 4
    throttle.limit(10, per_s=10, burst=3, keep=True)
    clock.move(100)
    assert passing() == 3
    throttle.limit(10, per_s=10)
    assert passing() == 10


def test_measures_change_with_keep() -> None:
    """A limit that counts something else than the one before it has nothing to keep."""
    throttle = Throttle(SteppedClock())
    throttle.limit(1, per_s=1000)
    assert throttle.take("graph", "a").allowed
    throttle.limit(2, per_s=1000, by="unit", keep=True)
    assert [throttle.take("graph", "a", RequestCost(units=2)).allowed for _ in range(2)] == [True, False]


def test_expensive_request_passes_when_the_bucket_is_full() -> None:
    """A request that costs more than the bucket holds is not refused for ever."""
    clock = SteppedClock()
    throttle = Throttle(clock)
    throttle.limit(2, per_s=2, by="unit")
    assert throttle.take("graph", "a", RequestCost(units=5)).allowed
    refused = throttle.take("graph", "a", RequestCost(units=5))
    assert (refused.allowed, refused.retry_after) == (False, "4")
    clock.move(4)
    assert throttle.take("graph", "a", RequestCost(units=5)).allowed


def test_workload_with_a_limit_of_its_own() -> None:
    """A workload's own limit takes it out of the service's."""
    throttle = Throttle(SteppedClock())
    throttle.limit(1, per_s=1000, service="graph")
    throttle.limit(2, per_s=1000, service="graph", workload="reports")
    for workload, passes in (("reports", 2), ("directory", 1), ("hunting", 0)):
        assert sum(throttle.take("graph", "a", RequestCost(workload=workload)).allowed for _ in range(3)) == passes


def _allowed(throttle: Throttle, service: str, app: str, tries: int, **charge: Any) -> int:
    return sum(throttle.take(service, app, RequestCost(**charge)).allowed for _ in range(tries))


@pytest.mark.parametrize(("size", "units"), [("S", 3_500), ("M", 5_000), ("L", 8_000)])
def test_documented_units_depend_on_the_tenant(size: Any, units: int) -> None:
    """Each app has its resource units, whatever another one spends."""
    throttle = Throttle(SteppedClock())
    throttle.documented(tenant_size=size)
    for app in ("a", "b"):
        assert _allowed(throttle, "graph", app, units // 5 + 1, workload="directory", units=5) == units // 5


def test_documented_writes_are_limited_per_app_and_per_tenant() -> None:
    """An app may write 3,000 times, all apps together 18,000 times, and the refusal says which limit it was."""
    throttle = Throttle(SteppedClock())
    throttle.documented(tenant_size="L")
    write: dict[str, Any] = {"workload": "directory", "units": 1, "writes": 1}
    for app in range(6):
        assert _allowed(throttle, "graph", f"app {app}", 3_000, **write) == 3_000
    refused = throttle.take("graph", "app 6", RequestCost(**write)).throttled_by
    assert refused is not None
    assert (refused.by, refused.per) == ("write", "tenant")
    refused = throttle.take("graph", "app 0", RequestCost(**write)).throttled_by
    assert refused is not None
    assert (refused.by, refused.per) == ("write", "app")


@pytest.mark.parametrize(
    ("service", "workload", "passes", "shared"),
    [
        ("graph", "reports", 5, False),
        ("graph", "identity_protection", 1, True),
        ("graph", "hunting", 45, True),
        ("security", "hunting", 45, True),
        ("security", "incidents", 50, False),
        ("endpoint", "machines", 100, False),
        ("endpoint", "alerts", 100, False),
        ("endpoint", "hunting", 45, True),
    ],
)
def test_documented_limits(service: str, workload: str, passes: int, *, shared: bool) -> None:
    """Each workload has the calls at once that Microsoft documents, for each app or for all of them together."""
    throttle = Throttle(SteppedClock())
    throttle.documented()
    assert _allowed(throttle, service, "a", 200, workload=workload) == passes
    assert _allowed(throttle, service, "b", 200, workload=workload) == (0 if shared else passes)
    throttle.off()
    assert _allowed(throttle, service, "a", 200, workload=workload) == 200


def test_documented_hour_is_a_limit_of_its_own() -> None:
    """Who keeps to 100 calls a minute still reaches the 1,500 of the hour."""
    clock = SteppedClock()
    throttle = Throttle(clock)
    throttle.documented()
    passed = 0
    for minute in range(60):
        passed += _allowed(throttle, "endpoint", "a", 99, workload="machines")
        if minute < 59:
            clock.move(60)
    assert 1_500 <= passed < 60 * 99 / 2


def test_hunting_is_limited_by_running_time() -> None:
    """Queries that run long use up the tenant's share before their number does."""
    clock = SteppedClock()
    throttle = Throttle(clock)
    throttle.documented()
    assert _allowed(throttle, "endpoint", "a", 10, workload="hunting", running_s=200) == 3
    refused = throttle.take("endpoint", "b", RequestCost(workload="hunting", running_s=200))
    assert refused.throttled_by is not None
    assert refused.throttled_by.by == "running_s"
    clock.move(float(refused.retry_after or 0))
    assert throttle.take("endpoint", "b", RequestCost(workload="hunting", running_s=200)).allowed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workload": "reports"}, "workload of None must be one of"),
        (
            {"service": "endpoint", "workload": "reports"},
            "workload of endpoint must be one of machines, alerts, hunting",
        ),
        ({"by": "bytes"}, "by must be one of request, unit, write, running_s"),
    ],
)
def test_unknown_workload_or_measure(options: dict[str, Any], message: str) -> None:
    """A limit that nothing could ever count for is a mistake and says so."""
    with pytest.raises(ValueError, match=message):
        Throttle(SteppedClock()).limit(1, 1, **options)


def test_unknown_tenant_size() -> None:
    """A size that Microsoft doesn't know is a mistake and says so."""
    size: Any = "XL"
    with pytest.raises(ValueError, match="tenant_size must be one of S, M, L"):
        Throttle(SteppedClock()).documented(tenant_size=size)


@given(
    amount=st.integers(1, 20),
    costs=st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["low", "normal", "high"]), st.floats(0, 9))),
    by=st.sampled_from(["request", "unit"]),
)
def test_waiting_for_retry_after_gets_through(
    amount: int, costs: list[tuple[int, Priority, float]], by: Measure
) -> None:
    """Whatever a request costs and however it ranks, who waits as long as told is let in."""
    clock = SteppedClock()
    throttle = Throttle(clock)
    throttle.limit(amount, per_s=3, by=by, retry_after_form="fraction")
    for units, priority, wait in costs:
        clock.move(wait)
        charge = RequestCost(units=units, priority=priority)
        decision = throttle.take("graph", "a", charge)
        if not decision.allowed:
            clock.move(float(decision.retry_after or 0))
            assert throttle.take("graph", "a", charge).allowed
