"""Creating, changing and deleting users of the emulated Graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Service

PASSWORD = "correct horse battery"
GRACE: dict[str, Any] = {
    "accountEnabled": True,
    "displayName": "Grace Murray",
    "mailNickname": "grace",
    "userPrincipalName": "grace@contoso.com",
    "passwordProfile": {"password": PASSWORD, "forceChangePasswordNextSignIn": False},
}


async def test_created_user_is_there(graph: Service) -> None:
    """POST answers 201 with the user and its place; it is found by id and name, listed, counted and filtered."""
    created = await graph.request("POST", "/v1.0/users", json=GRACE | {"city": "Arlington"})
    assert created.status == 201
    user_id = created.body["id"]
    assert created.headers["Location"] == f"{graph.url}/v1.0/users/{user_id}"
    assert created.body["@odata.context"] == f"{graph.url}/v1.0/$metadata#users/$entity"
    assert created.body["displayName"] == "Grace Murray"
    read = await graph.get(created.headers["Location"])
    assert read.body == created.body
    assert (await graph.get("/v1.0/users/GRACE@contoso.com?$select=id,city,userType")).body["city"] == "Arlington"
    listed = await graph.items("/v1.0/users?$top=999&$select=id")
    assert listed[-1] == {"id": user_id}
    assert (await graph.get("/v1.0/users/$count", eventual=True)).body == "251"
    assert await graph.items("/v1.0/users?$filter=city eq 'arlington'&$select=id") == [{"id": user_id}]
    assert (await graph.get(f"/v1.0/users/{user_id}/memberOf")).body["value"] == []


async def test_password_is_never_returned(graph: Service) -> None:
    """The password is in no response, and cannot be selected."""
    created = await graph.request("POST", "/v1.0/users", json=GRACE)
    assert PASSWORD not in str(created.body)
    assert PASSWORD not in str((await graph.get("/v1.0/users/grace@contoso.com")).body)
    assert (await graph.get("/v1.0/users/grace@contoso.com?$select=passwordProfile")).status == 400
    assert PASSWORD not in repr(graph.directory.user(250))


@pytest.mark.parametrize(
    "name", ["accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"]
)
async def test_new_user_needs(graph: Service, name: str) -> None:
    """A new user without one of the five required properties is a 400 that names it, and is not created."""
    body = {key: value for key, value in GRACE.items() if key != name}
    response = await graph.request("POST", "/v1.0/users", json=body)
    assert response.status == 400
    assert response.body["error"]["message"] == f"A value is required for property '{name}' of resource 'User'."
    assert (await graph.get("/v1.0/users/$count", eventual=True)).body == "250"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shoeSize": 43}, "The property 'shoeSize' does not exist on type 'microsoft.graph.user'."),
        ({"id": "x"}, "Property 'id' is read-only and cannot be set."),
        ({"accountEnabled": "yes"}, "Invalid value specified for property 'accountEnabled' of resource 'User'."),
        ({"city": 3}, "Invalid value specified for property 'city' of resource 'User'."),
        ({"displayName": "x" * 257}, "Invalid value specified for property 'displayName' of resource 'User'."),
        ({"businessPhones": "1"}, "Invalid value specified for property 'businessPhones' of resource 'User'."),
        ({"mailNickname": "a b"}, "Invalid value specified for property 'mailNickname' of resource 'User'."),
        (
            {"userPrincipalName": "grace"},
            "Invalid value specified for property 'userPrincipalName' of resource 'User'.",
        ),
        (
            {"userPrincipalName": "grace@example.com"},
            "The domain portion of the userPrincipalName property is invalid.",
        ),
        ({"userPrincipalName": "Ada@Contoso.com"}, "Another object with the same value for property userPrincipalName"),
        ({"passwordProfile": {"password": "short"}}, "Invalid value specified for property 'passwordProfile'"),
        ({"passwordProfile": {}}, "A value is required for property 'pass"),
        ({"passwordProfile": [PASSWORD]}, "A value is required for property 'password'"),
        ({"passwordProfile": 5}, "A value is required for property 'password'"),
        ({"passwordProfile": "the password"}, "A value is required for property 'password'"),
    ],
)
async def test_new_user_is_refused(graph: Service, changes: dict[str, Any], message: str) -> None:
    """Properties that do not exist, values of the wrong type, and a name that is taken are a 400."""
    response = await graph.request("POST", "/v1.0/users", json=GRACE | changes)
    assert (response.status, response.body["error"]["code"]) == (400, "Request_BadRequest")
    assert message in response.body["error"]["message"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"city":' * 10_000, "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_body_must_be_a_json_object(
    graph: Service, method: str, body: bytes, content_type: str, status: int
) -> None:
    """A body that is no JSON object, or does not say that it is JSON, is refused before it is looked at."""
    path = "/v1.0/users" if method == "POST" else "/v1.0/users/ada@contoso.com"
    response = await graph.request(method, path, data=body, headers={"Content-Type": content_type})
    assert (response.status, response.body["error"]["code"]) == (status, "BadRequest")


async def test_changed_user_reads_as_changed(graph: Service) -> None:
    """PATCH answers 204 without a body; reads and filters see the new values, and null clears one."""
    response = await graph.request("PATCH", "/v1.0/users/ada@contoso.com", json={"jobTitle": "Countess", "city": None})
    assert (response.status, response.body) == (204, "")
    read = await graph.get("/v1.0/users/ada@contoso.com?$select=jobTitle,city,surname")
    assert read.body | {"jobTitle": "Countess", "city": None, "surname": "Lovelace"} == read.body
    found = await graph.items("/v1.0/users?$filter=jobTitle eq 'Countess'&$select=id")
    assert found == [{"id": graph.directory.user_id(0)}]


async def test_renamed_user_is_read_by_the_new_name(graph: Service) -> None:
    """After a new userPrincipalName the old one is a 404 and free to be taken; the id stays."""
    user_id = graph.directory.user_id(0)
    renamed = await graph.request("PATCH", f"/v1.0/users/{user_id}", json={"userPrincipalName": "countess@contoso.com"})
    assert renamed.status == 204
    assert (await graph.get("/v1.0/users/ada@contoso.com")).status == 404
    assert (await graph.get("/v1.0/users/countess@contoso.com")).body["id"] == user_id
    taken = await graph.request(
        "PATCH", f"/v1.0/users/{graph.directory.user_id(1)}", json=GRACE | {"userPrincipalName": "countess@contoso.com"}
    )
    assert taken.status == 400
    created = await graph.request("POST", "/v1.0/users", json=GRACE | {"userPrincipalName": "ada@contoso.com"})
    assert created.status == 201


@pytest.mark.parametrize(
    "changes", [{"shoeSize": 43}, {"createdDateTime": "2020-01-01T00:00:00Z"}, {"displayName": None}]
)
async def test_change_is_refused(graph: Service, changes: dict[str, Any]) -> None:
    """A change that is not valid is a 400 and changes nothing."""
    before = graph.directory.user(0)
    response = await graph.request("PATCH", "/v1.0/users/ada@contoso.com", json={"city": "Turin"} | changes)
    assert response.status == 400
    assert graph.directory.user(0) == before


async def test_deleted_user_is_gone(graph: Service) -> None:
    """DELETE answers 204, then every way to the user is a 404, and lists, members and counts are without it."""
    user_id = graph.directory.user_id(0)
    group = graph.directory.groups.reader("id")(0)
    assert (await graph.request("DELETE", "/v1.0/users/ada@contoso.com")).status == 204
    for method, key in (("GET", user_id), ("GET", "ada@contoso.com"), ("DELETE", user_id)):
        response = await graph.request(method, f"/v1.0/users/{key}")
        assert (response.status, response.body["error"]["code"]) == (404, "Request_ResourceNotFound")
    assert (await graph.request("PATCH", f"/v1.0/users/{user_id}", json={"city": "x"})).status == 404
    assert user_id not in {user["id"] for user in await graph.items("/v1.0/users?$select=id")}
    assert (await graph.get("/v1.0/users/$count", eventual=True)).body == "249"
    assert (await graph.get(f"/v1.0/groups/{group}/members/$count", eventual=True)).body == "249"
