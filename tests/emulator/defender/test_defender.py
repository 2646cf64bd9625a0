"""The emulated Defender for Endpoint: machines, their filters and pages, and its own way of saying no."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Service


async def test_machines_are_listed(defender: Service) -> None:
    """All machines come in one page without a link, as #Machines, each with its properties."""
    response = await defender.get("/api/machines")
    assert response.status == 200
    assert response.body["@odata.context"] == f"{defender.url}/api/$metadata#Machines"
    assert len(response.body["value"]) == 50
    assert "@odata.nextLink" not in response.body
    expected = {"id", "computerDnsName", "lastSeen", "osPlatform", "healthStatus", "riskScore", "machineTags"}
    assert expected <= response.body["value"][0].keys()


async def test_machine_is_read_by_id_and_name(defender: Service) -> None:
    """A machine is found by its id and by its DNS name."""
    machine = (await defender.get("/api/machines?$top=1")).body["value"][0]
    for key in (machine["id"], machine["computerDnsName"]):
        response = await defender.get(f"/api/machines/{key}")
        assert response.body.pop("@odata.context") == f"{defender.url}/api/$metadata#Machines/$entity"
        assert response.body == machine


@pytest.mark.parametrize("top", [1, 7, 49, 50, 51])
async def test_pages_hold_every_machine_once(defender: Service, top: int) -> None:
    """With $top the link goes on by $skip, until every machine came once."""
    machines = await defender.items(f"/api/machines?$top={top}")
    assert len({machine["id"] for machine in machines}) == len(machines) == 50
    skipped = (await defender.get("/api/machines?$skip=45")).body["value"]
    assert skipped == machines[45:]


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("healthStatus eq 'Inactive'", lambda machine: machine["healthStatus"] == "Inactive"),
        ("healthStatus ne 'Active'", lambda machine: machine["healthStatus"] != "Active"),
        ("riskScore eq 'High' or riskScore eq 'Medium'", lambda machine: machine["riskScore"] in ("High", "Medium")),
        ("osPlatform in ('Ubuntu','macOS')", lambda machine: machine["osPlatform"] in ("Ubuntu", "macOS")),
        ("startswith(computerDnsName,'laptop')", lambda machine: machine["computerDnsName"].startswith("laptop")),
        ("lastSeen gt 2016-06-01Z", lambda machine: machine["lastSeen"] > "2016-06-01T00:00:00Z"),
        ("machineTags/any(tag:tag eq 'pilot')", lambda machine: "pilot" in machine["machineTags"]),
        ("rbacGroupId eq 141", lambda machine: machine["rbacGroupId"] == 141),
    ],
)
async def test_filter_works(defender: Service, text: str, passes: Callable[[dict[str, Any]], bool]) -> None:
    """Filters of the documented properties give what passes, and page through it."""
    everything = (await defender.get("/api/machines")).body["value"]
    expected = [machine for machine in everything if passes(machine)]
    assert 0 < len(expected) < 50
    assert await defender.items(f"/api/machines?$filter={quote(text)}&$top=3") == expected


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/api/machines?$filter=healthStatus eq 'Gone'", 404, "NotFound", "No machines were found."),
        ("GET", "/api/machines?$skip=50", 404, "NotFound", "No machines were found."),
        ("GET", f"/api/machines/{'a' * 40}", 404, "ResourceNotFound", f"Machine {'a' * 40} was not found."),
        ("GET", "/api/indicators", 404, "NotFound", "No HTTP resource was found that matches the request URI"),
        ("GET", "/machines", 404, "NotFound", "No HTTP resource was found that matches the request URI"),
        ("POST", "/api/machines", 405, "MethodNotAllowed", "does not support http method 'POST'"),
        ("GET", "/api/machines?$top=10001", 400, "ODataError", "The limit of '10000' for Top query has been exceeded."),
        ("GET", "/api/machines?$top=x", 400, "ODataError", "requires a non-negative integer value"),
        ("GET", "/api/machines?$select=id", 400, "ODataError", "The query parameter '$select' is not supported."),
        ("GET", "/api/machines?$filter=agentVersion eq '1'", 400, "ODataError", "named 'agentVersion'"),
        ("GET", "/api/machines?$filter=riskScore eq 1", 400, "ODataError", "'Edm.String' and 'Edm.Int32'"),
        ("GET", f"/api/machines?$filter=rbacGroupId eq {'9' * 4400}", 400, "ODataError", "for an Edm.Int32"),
        ("GET", f"/api/machines?$filter=rbacGroupId eq {2**31}", 400, "ODataError", "for an Edm.Int32"),
        ("GET", f"/api/machines?$filter=rbacGroupId eq -{2**31 - 1}", 404, "NotFound", "No machines were found."),
        ("GET", f"/api/machines?$filter=rbacGroupId eq -{2**31}", 404, "NotFound", "No machines were found."),
        ("GET", f"/api/machines?$filter=rbacGroupId eq {'0' * 4400}", 404, "NotFound", "No machines were found."),
        ("GET", "/api/machines?$filter=contains(riskScore,'a')", 400, "ODataError", "The operator 'contains' is not"),
    ],
)
async def test_request_is_refused(
    defender: Service, method: str, path: str, status: int, code: str, message: str
) -> None:
    """What is unknown, empty or invalid is refused in Defender's shape: code, message and a tracking GUID."""
    response = await defender.request(method, path)
    error = response.body["error"]
    assert (response.status, error["code"]) == (status, code)
    assert message in error["message"]
    assert str(uuid.UUID(error["target"])) == error["target"]


async def test_token_and_role_are_checked(defender: Service) -> None:
    """A bad token is a 401, a token without a machine role a 403; users need the delegated permission instead."""
    assert "https://api.securitycenter.microsoft.com" not in defender.audiences
    assert (await defender.get("/api/machines")).status == 200
    assert "https://api.securitycenter.microsoft.com" in defender.audiences
    defender.roles = {"User.Read.All", "Machine.Read"}
    refused = await defender.get("/api/machines")
    assert (refused.status, refused.body["error"]["code"]) == (403, "Forbidden")
    defender.app_only = False
    assert (await defender.get("/api/machines")).status == 200
    defender.unauthorized = "Access token is empty."
    refused = await defender.get("/api/machines")
    assert (refused.status, refused.body["error"]["code"]) == (401, "Unauthorized")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")


async def test_over_the_limit_is_429(defender: Service) -> None:
    """The limit is told in Defender's shape, with Retry-After."""
    defender.throttle.limit(requests=1, per_s=30, retry_after_s=7)
    await defender.get("/api/machines?$top=1")
    response = await defender.get("/api/machines")
    assert (response.status, response.body["error"]["code"]) == (429, "TooManyRequests")
    assert response.headers["Retry-After"] == "7"
    assert (
        "maximum allowed 1 per 00:00:30. You can send requests again in 7 seconds" in response.body["error"]["message"]
    )


async def test_pages_can_come_without_links(defender: Service) -> None:
    """With smaller pages and no links, $skip leads through all machines, and the end is a 404 or an empty list."""
    defender.defender.page_size = 20
    linked = await defender.items("/api/machines")
    defender.defender.next_links = False
    pages = [await defender.get(f"/api/machines?$skip={skip}") for skip in (0, 20, 40, 60)]
    assert [page.status for page in pages] == [200, 200, 200, 404]
    assert not any("@odata.nextLink" in page.body for page in pages)
    assert [machine for page in pages[:3] for machine in page.body["value"]] == linked
    defender.defender.empty_is_404 = False
    end = await defender.get("/api/machines?$skip=60")
    assert (end.status, end.body["value"]) == (200, [])


async def test_alerts_are_listed_filtered_and_expanded(defender: Service) -> None:
    """Alerts come with evidence only where it is expanded, newest first, and are found by id."""
    alerts = await defender.items("/api/alerts?$top=100")
    assert len({alert["id"] for alert in alerts}) == len(alerts) == 240
    assert not any("evidence" in alert for alert in alerts)
    assert alerts[0]["alertCreationTime"] > alerts[-1]["alertCreationTime"]
    severe = await defender.items("/api/alerts?$filter=severity eq 'High' and lastUpdateTime gt 2026-01-30")
    assert severe == [a for a in alerts if a["severity"] == "High" and a["lastUpdateTime"] > "2026-01-30"]
    (alert,) = (await defender.get("/api/alerts?$top=1&$expand=evidence")).body["value"]
    assert alert.pop("evidence")
    assert alert == alerts[0]
    assert (await defender.get(f"/api/alerts/{alert['id']}")).body["title"] == alert["title"]
    assert (await defender.get("/api/alerts/none_1")).body["error"]["message"] == "Alert none_1 was not found."
    assert (await defender.get("/api/alerts?$expand=machine")).status == 400
    assert (await defender.get("/api/machines?$expand=evidence")).status == 400
    defender.roles = {"Machine.Read.All"}
    assert (await defender.get("/api/alerts")).status == 403


async def test_devices_are_hunted(defender: Service) -> None:
    """A query answers with Schema and Results, over tables of devices only, with a role of its own."""
    path = "/api/advancedqueries/run"
    query = "DeviceInfo | where OSPlatform == 'macOS' | project DeviceId, OSBuild | limit 1"
    response = await defender.request("POST", path, json={"Query": query})
    assert response.body["Schema"] == [{"Name": "DeviceId", "Type": "String"}, {"Name": "OSBuild", "Type": "Int64"}]
    (row,) = response.body["Results"]
    assert (await defender.get(f"/api/machines/{row['DeviceId']}")).body["osPlatform"] == "macOS"
    assert (await defender.request("POST", path, json={"Query": "IdentityInfo"})).status == 400
    assert (await defender.get(path)).status == 405
    defender.hunting.running_s = 201
    assert (await defender.request("POST", path, json={"Query": query})).status == 400
    defender.roles = {"Machine.Read.All"}
    assert (await defender.request("POST", path, json={"Query": query})).status == 403


async def test_documented_limits_count_by_workload(defender: Service) -> None:
    """A hundred calls for machines in a minute leave the alerts and the queries as they were."""
    defender.throttle.documented()
    statuses = [(await defender.get("/api/machines?$top=1")).status for _ in range(101)]
    assert statuses == [200] * 100 + [429]
    assert (await defender.get("/api/alerts?$top=1")).status == 200
    response = await defender.request("POST", "/api/advancedqueries/run", json={"Query": "DeviceInfo | count"})
    assert response.status == 200
