"""The emulated Defender XDR: incidents, what may be changed of them, and hunting with its quota."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from entra_async.testing import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.emulator.conftest import Service


async def test_incidents_come_newest_first_and_page_by_skip(xdr: Service) -> None:
    """A page holds 100 incidents at most, and has no link; $skip leads to the others, past the end to none."""
    first = await xdr.get("/api/incidents")
    assert first.body.keys() == {"@odata.context", "value"}
    assert first.body["@odata.context"] == f"{xdr.url}/api/$metadata#Incidents"
    second = await xdr.get("/api/incidents?$skip=100")
    end = await xdr.get("/api/incidents?$skip=120&$top=10")
    assert (end.status, end.body["value"]) == (200, [])
    incidents = first.body["value"] + second.body["value"]
    assert [len(page.body["value"]) for page in (first, second)] == [100, 20]
    assert len({incident["incidentId"] for incident in incidents}) == 120
    created = [incident["createdTime"] for incident in incidents]
    assert created == sorted(created, reverse=True)
    assert [len(incident["alerts"]) for incident in incidents] == [2] * 120
    for alert in incidents[7]["alerts"]:
        assert alert["incidentId"] == incidents[7]["incidentId"]


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("status eq 'Resolved'", lambda incident: incident["status"] == "Resolved"),
        ("status ne 'Resolved'", lambda incident: incident["status"] != "Resolved"),
        ("assignedTo eq 'secop0@contoso.com'", lambda incident: incident["assignedTo"] == "secop0@contoso.com"),
        ("assignedTo eq null", lambda incident: incident["assignedTo"] is None),
        ("createdTime gt 2026-01-28T00:00:00Z", lambda incident: incident["createdTime"] > "2026-01-28T00:00:00Z"),
        ("lastUpdateTime le 2026-01-28", lambda incident: incident["lastUpdateTime"] <= "2026-01-28T00:00:00Z"),
    ],
)
async def test_filter_works(xdr: Service, text: str, passes: Callable[[dict[str, Any]], bool]) -> None:
    """Filters of the four documented properties give what passes."""
    incidents: list[dict[str, Any]] = []
    for skip in (0, 100):
        incidents += (await xdr.get(f"/api/incidents?$skip={skip}")).body["value"]
    expected = [incident for incident in incidents if passes(incident)]
    assert 0 < len(expected) < 120
    assert (await xdr.get(f"/api/incidents?$filter={text}")).body["value"] == expected[:100]


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/api/incidents?$filter=severity eq 'High'", 400, "ODataError", "Could not find a property"),
        ("GET", "/api/incidents?$filter=startswith(status,'A')", 400, "ODataError", "'startsWith' is not supported"),
        ("GET", "/api/incidents?$top=101", 400, "ODataError", "'101' of $top is not between 1 and 100"),
        ("GET", "/api/incidents?$top=0", 400, "ODataError", "'0' of $top"),
        ("GET", "/api/incidents?$orderby=createdTime", 400, "ODataError", "'$orderby' is not supported"),
        ("GET", "/api/incidents/1", 404, "ResourceNotFound", "Incident 1 was not found."),
        ("GET", "/api/incidents/x", 404, "ResourceNotFound", "Incident x was not found."),
        ("GET", "/api/incidents/924120/alerts", 404, "NotFound", "No HTTP resource"),
        ("GET", "/incidents", 404, "NotFound", "No HTTP resource"),
        ("DELETE", "/api/incidents/924120", 405, "MethodNotAllowed", "'DELETE'"),
        ("GET", "/api/advancedhunting/run", 405, "MethodNotAllowed", "'GET'"),
    ],
)
async def test_request_is_refused(xdr: Service, method: str, path: str, status: int, code: str, message: str) -> None:
    """What is unknown or invalid is refused in Defender's shape: code, message and a tracking GUID."""
    response = await xdr.request(method, path)
    error = response.body["error"]
    assert (response.status, error["code"]) == (status, code)
    assert message in error["message"]
    assert str(uuid.UUID(error["target"])) == error["target"]


async def test_incident_is_changed(xdr: Service) -> None:
    """A change is there for every later read, dated by the clock, and a comment is added to those there are."""
    before = (await xdr.get("/api/incidents/924120")).body
    changes = {"status": "Resolved", "classification": "TruePositive", "determination": "Malware", "tags": ["a"]}
    await xdr.request("PATCH", "/api/incidents/924120", json={**changes, "comment": "one"})
    response = await xdr.request("PATCH", "/api/incidents/924120", json={**changes, "comment": "two"})
    after = (await xdr.get("/api/incidents?$top=1")).body["value"][0]
    assert response.status == 200
    assert response.body == after | {"@odata.context": f"{xdr.url}/api/$metadata#Incidents/$entity"}
    assert [(note["comment"], note["createdBy"]) for note in after["comments"]] == [("one", "app-1"), ("two", "app-1")]
    assert after["lastUpdateTime"] > before["lastUpdateTime"]
    assert {name for name in after if after[name] != before[name]} == {*changes, "comments", "lastUpdateTime"}
    later = (await xdr.get("/api/incidents?$filter=lastUpdateTime gt 2026-03-01")).body["value"]
    assert [incident["incidentId"] for incident in later] == [924120]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Status": "Resolved"}, "'Status' can not be changed"),
        ({"severity": "High"}, "'severity' can not be changed"),
        ({}, "Nothing is to be changed"),
        ({"status": "Closed"}, "'Closed' is no status"),
        ({"status": 1}, "'status' is of the wrong type"),
        ({"tags": "a"}, "'tags' is of the wrong type"),
        ({"classification": "Unknown"}, "'Unknown' is no classification"),
        ({"determination": "Malware"}, "'Malware' is no determination"),
        ({"classification": "FalsePositive", "determination": "Malware"}, "'Malware' is no determination"),
        ([], "is not a JSON object"),
    ],
)
async def test_wrong_change_is_refused(xdr: Service, body: Any, message: str) -> None:
    """Names are case-sensitive, values must be known, a determination must fit the classification."""
    response = await xdr.request("PATCH", "/api/incidents/924120", json=body)
    assert (response.status, response.body["error"]["code"]) == (400, "InvalidRequestBody")
    assert message in response.body["error"]["message"]
    response = await xdr.request("PATCH", "/api/incidents/924120", data="{}", headers={"Content-Type": "text/plain"})
    assert response.status == 415


async def test_each_operation_takes_its_permission(xdr: Service) -> None:
    """Reading, changing and hunting take roles of their own, or the delegated permissions for a user."""
    operations: dict[str, tuple[str, str, dict[str, Any]]] = {
        "read": ("GET", "/api/incidents", {}),
        "get": ("GET", "/api/incidents/924120", {}),
        "write": ("PATCH", "/api/incidents/924120", {"json": {"status": "Active"}}),
        "hunt": ("POST", "/api/advancedhunting/run", {"json": {"Query": "DeviceInfo | take 1"}}),
    }

    async def allowed() -> set[str]:
        responses = {name: await xdr.request(method, path, **body) for name, (method, path, body) in operations.items()}
        refused = [response for response in responses.values() if response.status != 200]
        assert {(response.status, response.body["error"]["code"]) for response in refused} <= {(403, "Forbidden")}
        return {name for name, response in responses.items() if response.status == 200}

    for role, expected in (
        ("Incident.Read.All", {"read", "get"}),
        ("Incident.ReadWrite.All", {"read", "get", "write"}),
        ("AdvancedHunting.Read.All", {"hunt"}),
        ("Incident.Read", set()),
    ):
        xdr.roles = {role}
        assert await allowed() == expected
    xdr.app_only = False
    assert await allowed() == {"read", "get"}


async def test_hunting_returns_stats_schema_and_results(xdr: Service) -> None:
    """The response has the three documented parts; a wrong name in the body is not taken for the query."""
    xdr.hunting.running_s = 19.0625
    query = 'DeviceInfo | where OSPlatform == "Ubuntu" | project DeviceName, OSPlatform | take 2'
    response = await xdr.request("POST", "/api/advancedhunting/run", json={"Query": query})
    assert response.body.keys() == {"Stats", "Schema", "Results"}
    assert response.body["Schema"] == [
        {"Name": "DeviceName", "Type": "String"},
        {"Name": "OSPlatform", "Type": "String"},
    ]
    assert [row["OSPlatform"] for row in response.body["Results"]] == ["Ubuntu", "Ubuntu"]
    assert response.body["Stats"]["ExecutionTime"] == 19.0625
    assert response.body["Stats"]["resource_usage"]["cpu"]["total cpu"] == "00:00:19.062500"
    for body, code in (
        ({"query": query}, "InvalidRequestBody"),
        ({"Query": " "}, "MissingRequiredParameter"),
        ({"Query": "Nowhere"}, "BadRequest"),
    ):
        response = await xdr.request("POST", "/api/advancedhunting/run", json=body)
        assert (response.status, response.body["error"]["code"]) == (400, code)
    xdr.hunting.running_s = 181
    response = await xdr.request("POST", "/api/advancedhunting/run", json={"Query": query})
    assert (response.status, response.body["error"]["code"]) == (400, "BadRequest")
    assert "timed out after 180 seconds" in response.body["error"]["message"]


async def test_429_names_the_limit(xdr: Service) -> None:
    """The body says whether it was the minute, the hour or the running time, and when to come again."""
    xdr.throttle.documented()
    for _ in range(50):
        assert (await xdr.get("/api/incidents?$top=1")).status == 200
    response = await xdr.get("/api/incidents?$top=1")
    assert (response.status, response.body["error"]["code"]) == (429, "TooManyRequests")
    assert "API calls quota exceeded! maximum allowed 50 per 00:01:00" in response.body["error"]["message"]
    assert f"in {response.headers['Retry-After']} seconds" in response.body["error"]["message"]
    xdr.hunting.running_s = 100
    hunt: dict[str, Any] = {"json": {"Query": "DeviceInfo | take 1"}}
    assert (await xdr.request("POST", "/api/advancedhunting/run", **hunt)).status == 200
    response = await xdr.request("POST", "/api/advancedhunting/run", **hunt)
    assert (response.status, response.body["error"]["code"]) == (429, "TooManyRequests")
    assert "CPU quota exceeded! maximum running seconds allowed 150 per 00:15:00" in response.body["error"]["message"]


@pytest.mark.parametrize(
    "scope", ["https://api.security.microsoft.com/.default", "https://security.microsoft.com/mtp//.default"]
)
async def test_both_audiences_are_taken(emulator: Emulator, http: aiohttp.ClientSession, scope: str) -> None:
    """A token for the documented resource and one for the older name open Defender XDR; Graph's doesn't."""
    statuses = []
    for asked in (scope, "https://graph.microsoft.com/.default"):
        app = emulator.app
        form = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.secret}
        token_url = f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token"
        async with http.post(token_url, data={**form, "scope": asked}) as response:
            token = (await response.json())["access_token"]
        assert emulator.cloud.security is not None
        url = f"{emulator.cloud.security.url}/incidents"
        async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
            statuses.append(response.status)
    assert statuses == [200, 401]
