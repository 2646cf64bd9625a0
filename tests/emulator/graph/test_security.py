"""What Graph passes on to services with limits of their own: sign-ins, risky users, policies, hunting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.emulator.conftest import Service

SIGN_INS = "/v1.0/auditLogs/signIns"
RISKY_USERS = "/v1.0/identityProtection/riskyUsers"
POLICIES = "/v1.0/identity/conditionalAccess/policies"
HUNT = "/v1.0/security/runHuntingQuery"


@pytest.mark.parametrize(
    ("path", "count", "largest"), [(SIGN_INS, 750, 1000), (RISKY_USERS, 25, 500), (POLICIES, 4, 999)]
)
async def test_collection_is_read_page_by_page(graph: Service, path: str, count: int, largest: int) -> None:
    """Following the links gives every item once; each can be read by its id; $top has its own maximum."""
    items = await graph.items(path)
    assert len({item["id"] for item in items}) == len(items) == count
    assert await graph.items(f"{path}?$top={max(1, count // 7)}") == items
    one = await graph.get(f"{path}/{items[-1]['id']}")
    assert one.body["@odata.context"].endswith("/$entity")
    assert items[-1].items() <= one.body.items()
    assert (await graph.get(f"{path}/00000000-0000-4000-8000-000000000000")).status == 404
    assert (await graph.get(f"{path}?$top={largest}")).status == 200
    assert (await graph.get(f"{path}?$top={largest + 1}")).status == 400
    assert "x-ms-resource-unit" not in one.headers


async def test_records_are_about_the_tenants_users(graph: Service) -> None:
    """Sign-ins come newest first and can be filtered; a risky user has the id of the user."""
    sign_ins = await graph.items(f"{SIGN_INS}?$filter=startswith(appDisplayName,'Graph')")
    assert len(sign_ins) == 250
    created = [sign_in["createdDateTime"] for sign_in in sign_ins]
    assert created == sorted(created, reverse=True)
    user = (await graph.get(f"/v1.0/users/{sign_ins[0]['userId']}")).body
    assert user["userPrincipalName"] == sign_ins[0]["userPrincipalName"]
    risky = await graph.items(f"{RISKY_USERS}?$filter=riskLevel eq 'high'&$select=id,userPrincipalName")
    assert (await graph.get(f"/v1.0/users/{risky[0]['id']}")).body["userPrincipalName"] == risky[0]["userPrincipalName"]
    assert (await graph.get(f"{SIGN_INS}?$filter=correlationId eq 'x'")).status == 400


@pytest.mark.parametrize(
    ("roles", "allowed"),
    [
        ({"AuditLog.Read.All"}, set()),
        ({"AuditLog.Read.All", "Directory.Read.All"}, {SIGN_INS}),
        ({"IdentityRiskyUser.Read.All"}, {RISKY_USERS}),
        ({"Policy.Read.All"}, {POLICIES}),
        ({"User.Read.All"}, set()),
    ],
)
async def test_each_takes_its_permission(graph: Service, roles: set[str], allowed: set[str]) -> None:
    """Without the documented permissions, all of them where there are two, the response is 403."""
    graph.roles = roles
    statuses = {path: (await graph.get(path)).status for path in (SIGN_INS, RISKY_USERS, POLICIES)}
    assert statuses == {path: 200 if path in allowed else 403 for path in statuses}
    assert (await graph.request("POST", HUNT, json={"Query": "DeviceInfo"})).status == 403


async def test_hunting_finds_users_devices_and_alerts(graph: Service) -> None:
    """Names in the response are lower case, as Graph's are; those in the body are case-sensitive."""
    query = "IdentityInfo | where AccountUpn == 'ada@contoso.com' | project AccountObjectId, AccountUpn"
    response = await graph.request("POST", HUNT, json={"Query": query, "Timespan": "P30D"})
    assert response.body["schema"][1] == {"name": "AccountUpn", "type": "String"}
    (row,) = response.body["results"]
    assert row == {"AccountObjectId": graph.directory.user_id(0), "AccountUpn": "ada@contoso.com"}
    for body in ({"query": query}, {}, {"Query": 1}, {"Query": query, "Span": 1}, {"Query": "Nowhere"}):
        assert (await graph.request("POST", HUNT, json=body)).status == 400
    assert (await graph.get(HUNT)).status == 405


async def test_identity_protection_is_one_a_second_for_all_apps_together(graph: Service) -> None:
    """A second call within the second is refused whoever makes it, without Retry-After; later one passes."""
    graph.throttle.documented()
    assert (await graph.get(RISKY_USERS)).status == 200
    graph.claims = {"appid": "app-2"}
    response = await graph.get(POLICIES)
    assert (response.status, response.body["error"]["code"]) == (429, "TooManyRequests")
    assert "Retry-After" not in response.headers
    assert response.headers["x-ms-throttle-scope"].startswith("Tenant/ReadWrite/app-2/")
    graph.clock.move(2)
    assert (await graph.get(POLICIES)).status == 200


async def test_limits_do_not_wait_for_each_other(graph: Service) -> None:
    """Reports at their limit of five leave the directory and the hunting alone."""
    graph.throttle.documented()
    statuses = [(await graph.get(f"{SIGN_INS}?$top=1")).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert (await graph.get("/v1.0/users?$top=1")).status == 200
    graph.hunting.running_s = 100
    hunts = [await graph.request("POST", HUNT, json={"Query": "DeviceInfo | count"}) for _ in range(2)]
    assert [response.status for response in hunts] == [200, 429]
    assert hunts[1].headers["x-ms-throttle-information"] == "CPULimitExceeded"


async def test_writes_have_a_limit_of_their_own(graph: Service) -> None:
    """An app that wrote too much may still read, and is told that it was the writes."""
    graph.throttle.limit(2, per_s=100, service="graph", by="write")
    path = "/v1.0/users/ada@contoso.com"
    responses = [await graph.request("PATCH", path, json={"city": "Paris"}) for _ in range(3)]
    assert [response.status for response in responses] == [204, 204, 429]
    assert responses[2].headers["x-ms-throttle-information"] == "WriteLimitExceeded"
    assert responses[2].headers["x-ms-throttle-scope"].startswith("Tenant_Application/Write/app-1/")
    assert (await graph.get(f"{path}?$select=city")).body["city"] == "Paris"


async def test_page_of_a_large_tenants_sign_ins(
    serve_graph: Callable[[int], AbstractAsyncContextManager[Service]],
) -> None:
    """The sign-ins of a million users cost no more than the page that is read."""
    async with serve_graph(1_000_000) as graph:
        response = await graph.get(f"{SIGN_INS}?$top=1000")
        assert len(response.body["value"]) == 1000
