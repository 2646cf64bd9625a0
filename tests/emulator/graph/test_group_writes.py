"""Creating, changing, deleting and restoring in the emulated Graph, beyond what users alone need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Service

SECURITY: dict[str, Any] = {
    "displayName": "Night Shift",
    "mailNickname": "night",
    "mailEnabled": False,
    "securityEnabled": True,
}
UNIFIED = SECURITY | {"mailEnabled": True, "securityEnabled": False, "groupTypes": ["Unified"]}
ADA = "/v1.0/users/ada@contoso.com"


@pytest.mark.parametrize("body", [SECURITY, UNIFIED])
async def test_created_group_is_there_and_empty(graph: Service, body: dict[str, Any]) -> None:
    """POST answers 201 with the group and its place; it is listed and counted, and nobody is in it."""
    created = await graph.request("POST", "/v1.0/groups", json=body)
    assert created.status == 201
    assert created.headers["Location"] == f"{graph.url}/v1.0/groups/{created.body['id']}"
    assert (await graph.get(created.headers["Location"])).body == created.body
    assert created.body.items() >= body.items()
    assert len(await graph.items("/v1.0/groups?$select=id")) == 21
    assert (await graph.get(f"{created.headers['Location']}/members")).body["value"] == []
    memberships = await graph.items(f"{ADA}/memberOf?$select=id")
    assert created.body["id"] not in {group["id"] for group in memberships}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"displayName": None}, "A value is required for property 'displayName' of resource 'Group'."),
        ({"mailNickname": ""}, "A value is required for property 'mailNickname' of resource 'Group'."),
        ({"mailEnabled": True}, "does not currently support writes of mail-enabled groups"),
        ({"securityEnabled": False}, "does not currently support writes of mail-enabled groups"),
        ({"groupTypes": ["Unified"]}, "does not currently support writes of mail-enabled groups"),
        ({"groupTypes": ["DynamicMembership"]}, "Invalid value specified for property 'groupTypes'"),
        ({"members": []}, "The property 'members' does not exist on type 'microsoft.graph.group'."),
        ({"renewedDateTime": "2020-01-01T00:00:00Z"}, "Property 'renewedDateTime' is read-only"),
        ({"visibility": "public"}, "Invalid value specified for property 'visibility' of resource 'Group'."),
    ],
)
async def test_new_group_is_refused(graph: Service, changes: dict[str, Any], message: str) -> None:
    """A group without a required property, with one that does not exist, or of a kind nobody can create, is a 400."""
    response = await graph.request("POST", "/v1.0/groups", json=SECURITY | changes)
    assert (response.status, response.body["error"]["code"]) == (400, "Request_BadRequest")
    assert message in response.body["error"]["message"]


async def test_changed_and_deleted_group(graph: Service) -> None:
    """PATCH changes a group; DELETE removes it from lists and from what its members are members of."""
    group = graph.directory.groups.reader("id")(0)
    changed = await graph.request("PATCH", f"/v1.0/groups/{group}", json={"displayName": "Everybody"})
    assert changed.status == 204
    assert (await graph.get(f"/v1.0/groups/{group}")).body["displayName"] == "Everybody"
    assert group in {each["id"] for each in await graph.items(f"{ADA}/memberOf")}
    assert (await graph.request("DELETE", f"/v1.0/groups/{group}")).status == 204
    assert (await graph.get(f"/v1.0/groups/{group}")).status == 404
    assert group not in {each["id"] for each in await graph.items(f"{ADA}/memberOf")}
    assert (await graph.request("POST", f"/v1.0/directory/deletedItems/{group}/restore")).status == 200
    assert (await graph.get(f"/v1.0/groups/{group}")).body["displayName"] == "Everybody"


async def test_name_taken_meanwhile_stops_a_restore(graph: Service) -> None:
    """A deleted user whose name somebody else has taken cannot come back, and leaves the other alone."""
    user_id = graph.directory.user_id(0)
    assert (await graph.request("DELETE", ADA)).status == 204
    other = graph.directory.user_id(1)
    renamed = await graph.request("PATCH", f"/v1.0/users/{other}", json={"userPrincipalName": "ada@contoso.com"})
    assert renamed.status == 204
    restore = f"/v1.0/directory/deletedItems/{user_id}/restore"
    response = await graph.request("POST", restore)
    assert (response.status, response.body["error"]["details"][0]["target"]) == (400, "userPrincipalName")
    assert (await graph.request("DELETE", f"/v1.0/directory/deletedItems/{user_id}")).status == 204
    assert (await graph.get(ADA)).body["id"] == other


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("POST", "/v1.0/groups", "Group.Read.All"),
        ("PATCH", "/v1.0/groups/{group}", "Group.Read.All"),
        ("DELETE", "/v1.0/groups/{group}", "User.ReadWrite.All"),
        ("POST", "/v1.0/directory/deletedItems/{user}/restore", "Group.ReadWrite.All"),
        ("DELETE", "/v1.0/directory/deletedItems/{user}", "User.Read.All"),
    ],
)
async def test_writing_takes_its_role(graph: Service, method: str, path: str, role: str) -> None:
    """Who may only read, or write another kind of object, is refused, and nothing changes."""
    assert (await graph.request("DELETE", ADA)).status == 204
    ids = {"group": graph.directory.groups.reader("id")(0), "user": graph.directory.user_id(0)}
    graph.roles = frozenset({role})
    response = await graph.request(method, path.format(**ids), json=SECURITY if method != "DELETE" else None)
    assert (response.status, response.body["error"]["code"]) == (403, "Authorization_RequestDenied")
    assert len(graph.directory.groups.selection.positions) == 20
