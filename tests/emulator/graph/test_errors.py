"""What the emulated Graph refuses, and how it says so."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Service

NOBODY = "b9b7a4b4-5d0c-4f0e-9a51-6b0f3a0c1d2e"


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/v2.0/users", 400, "BadRequest", "Invalid version: v2.0"),
        ("/users", 400, "BadRequest", "Invalid version: users"),
        ("/", 400, "BadRequest", "Invalid version: "),
        ("/v1.0/", 400, "BadRequest", "Resource not found for the segment 'v1.0'."),
        ("/v1.0/usres", 400, "BadRequest", "Resource not found for the segment 'usres'."),
        ("/v1.0/users/ada@contoso.com/shoes", 400, "BadRequest", "Resource not found for the segment 'shoes'."),
        ("/v1.0/users/$batch", 400, "BadRequest", "Resource not found for the segment '$batch'."),
        ("/v1.0/users//memberOf", 400, "BadRequest", "Resource not found for the segment ''."),
        ("/v1.0/users('$odd')", 404, "Request_ResourceNotFound", "Resource '$odd' does not exist"),
        ("/v1.0/users('$count')", 404, "Request_ResourceNotFound", "Resource '$count' does not exist"),
        ("/v1.0/users('')", 404, "Request_ResourceNotFound", "Resource '' does not exist"),
        ("/v1.0/users/'ada@contoso.com", 404, "Request_ResourceNotFound", "Resource ''ada@contoso.com' does not exist"),
        ("/v1.0/users/'ada@contoso.com'", 404, "Request_ResourceNotFound", "Resource ''ada@contoso.com'' does not"),
        ("/v1.0/users/nobody@contoso.com", 404, "Request_ResourceNotFound", "Resource 'nobody@contoso.com' does not"),
        (f"/v1.0/users/{NOBODY}/memberOf", 404, "Request_ResourceNotFound", f"Resource '{NOBODY}' does not exist"),
        (f"/v1.0/groups/{NOBODY}", 404, "Request_ResourceNotFound", f"Resource '{NOBODY}' does not exist"),
        ("/v1.0/groups/chess/members", 400, "Request_BadRequest", "Invalid object identifier 'chess'."),
        ("/v1.0/me", 400, "BadRequest", "/me request is only valid with delegated authentication flow."),
        (
            "/v1.0/users?$top=1000",
            400,
            "Request_UnsupportedQuery",
            "Invalid page size specified: '1000'. Must be between 1",
        ),
        ("/v1.0/users?$top=0", 400, "Request_UnsupportedQuery", "Invalid page size specified: '0'."),
        ("/v1.0/users?$top=-1", 400, "Request_BadRequest", "Invalid value '-1' for $top query option found."),
        ("/v1.0/users?$top=ten", 400, "Request_BadRequest", "Invalid value 'ten' for $top query option found."),
        ("/v1.0/users?$count=yes", 400, "Request_BadRequest", "Invalid value 'yes' for $count query option found."),
        ("/v1.0/users?$select=shoe", 400, "Request_BadRequest", "Could not find a property named 'shoe' on type"),
        ("/v1.0/users?$select=id,", 400, "Request_BadRequest", "Syntax error in 'id,'."),
        ("/v1.0/users?$select=aboutMe", 501, "NotImplemented", "'aboutMe'"),
        ("/v1.0/users?$select=id,mailboxSettings", 501, "NotImplemented", "'mailboxSettings'"),
        ("/v1.0/groups?$select=aboutMe", 400, "Request_BadRequest", "'aboutMe' on type 'microsoft.graph.group'."),
        ("/v1.0/users?$skip=5", 400, "Request_BadRequest", "'$skip' is not supported by the service."),
        ("/v1.0/users?$expand=manager", 400, "Request_BadRequest", "'$expand' is not supported by this emulator."),
        ("/v1.0/users?$orderby=mail", 400, "Request_BadRequest", "'$orderby' is not supported by this emulator."),
        ("/v1.0/users?$search=x", 400, "Request_UnsupportedQuery", "Request with $search query parameter only works"),
        ("/v1.0/users?$shoe=1", 400, "Request_BadRequest", "The query parameter '$shoe' is not supported."),
        ("/v1.0/users?page=1", 400, "Request_BadRequest", "The query parameter 'page' is not supported."),
        ("/v1.0/users?$top=1&$top=1", 400, "Request_BadRequest", "Query option '$top' was specified more than once"),
        (
            "/v1.0/users/ada@contoso.com?$top=1",
            400,
            "Request_BadRequest",
            "The query parameter '$top' is not supported.",
        ),
        ("/v1.0/users/$count", 400, "Request_BadRequest", "$count is not currently supported."),
        ("/v1.0/groups/$count", 400, "Request_BadRequest", "$count is not currently supported."),
    ],
)
async def test_request_is_refused(graph: Service, path: str, status: int, code: str, message: str) -> None:
    """Unknown paths, objects and options are refused with Graph's status, code and words, and an error body."""
    response = await graph.get(path)
    error = response.body["error"]
    assert (response.status, error["code"]) == (status, code)
    assert message in error["message"]
    assert error["innerError"].keys() == {"date", "request-id", "client-request-id"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", error["innerError"]["date"])
    assert error["innerError"]["request-id"] == response.headers["request-id"]
    assert error["innerError"]["client-request-id"] == response.headers["client-request-id"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "assignedLicenses/all(l:l/skuId eq null)",
            "Request_UnsupportedQuery",
            "for property 'assignedLicenses' of resource",
        ),
        ("assignedLicenses/any(l:l/name eq 'a')", "BadRequest", "Could not find a property named 'name'"),
        ("shoe eq 'a'", "BadRequest", "Invalid filter clause: Could not find a property named 'shoe'"),
        ("displayName eq true", "BadRequest", "'Edm.String' and 'Edm.Boolean' for operator kind 'Equal'."),
        ("displayName eq 'O'Neill'", "BadRequest", "There is an unterminated string literal"),
        ("accountEnabled eq " + "9" * 4400, "BadRequest", "too large or too small for an Edm.Int32"),
        ("accountEnabled eq 1", "BadRequest", "'Edm.Boolean' and 'Edm.Int32'"),
        ("displayName gt 'a'", "Request_UnsupportedQuery", "for property 'displayName' of resource 'User'."),
        ("contains(displayName,'a')", "Request_UnsupportedQuery", "for property 'displayName' of resource 'User'."),
        (
            "userPrincipalName eq null",
            "Request_UnsupportedQuery",
            "for property 'userPrincipalName' of resource 'User'.",
        ),
        ("endsWith(surname,'a')", "Request_UnsupportedQuery", "for property 'surname' of resource 'User'."),
        ("endsWith(mail,'a')", "Request_UnsupportedQuery", "Operator 'endsWith' is not supported because the 'Consist"),
        ("mail ne 'a'", "Request_UnsupportedQuery", "Operator 'ne' is not supported because the 'ConsistencyLevel:"),
        ("not(mail eq 'a')", "Request_UnsupportedQuery", "Operator 'not' is not supported because"),
        ("department eq null", "Request_UnsupportedQuery", "for property 'department' of resource 'User'."),
        (
            " or ".join(f"displayName eq '{number}'" for number in range(16)),
            "Request_UnsupportedQuery",
            "expression containing 'OR' operators: 16. Max allowed: 15.",
        ),
        (
            "id in ('1'" + ",'2'" * 15 + ")",
            "Request_UnsupportedQuery",
            "'IN' operators: 16. Max allowed: 15.",
        ),
    ],
)
async def test_filter_is_refused(graph: Service, text: str, code: str, message: str) -> None:
    """A filter that is none, or that the directory has no index for, is a 400 that names the cause."""
    response = await graph.get(f"/v1.0/users?$filter={quote(text)}")
    assert (response.status, response.body["error"]["code"]) == (400, code)
    assert message in response.body["error"]["message"]


async def test_header_without_count_is_named(graph: Service) -> None:
    """With the header but without $count=true, the message says what to add."""
    response = await graph.get("/v1.0/users?$filter=mail ne 'a'", eventual=True)
    assert "Try adding $count=true query parameter" in response.body["error"]["message"]


async def test_members_are_filtered_in_advanced_queries_only(graph: Service) -> None:
    """A filter on members needs the header and $count, also where it is allowed on users without."""
    path = f"/v1.0/groups/{graph.directory.groups.reader('id')(0)}/members?$filter=startsWith(displayName,'Ada')"
    plain = await graph.get(path)
    assert (plain.status, plain.body["error"]["code"]) == (400, "Request_UnsupportedQuery")
    advanced = await graph.get(f"{path}&$count=true", eventual=True)
    assert advanced.body["@odata.count"] == len(advanced.body["value"]) > 0


async def test_search_is_not_served(graph: Service) -> None:
    """$search with its header is valid on Microsoft's side, and refused with words that say whose limit it is."""
    response = await graph.get('/v1.0/users?$search="displayName:Ada"', eventual=True)
    assert response.body["error"]["message"] == "'$search' is not supported by this emulator."


async def test_bad_token_is_401(graph: Service) -> None:
    """Without a good token nothing but 401 comes, with the reason and a challenge; Graph's audiences are requested."""
    graph.unauthorized = "Access token has expired or is not yet valid."
    response = await graph.get("/v1.0/nowhere")
    assert (response.status, response.body["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert response.body["error"]["message"] == graph.unauthorized
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm=""')
    assert set(graph.audiences) == {
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
        "00000003-0000-0000-c000-000000000000",
    }


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("GET", "users", {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}),
        ("GET", "users/ada@contoso.com", {"User.Read.All", "Directory.Read.All"}),
        ("GET", "groups", {"Group.Read.All", "GroupMember.Read.All", "Directory.Read.All"}),
        ("GET", "groups/GROUP/members", {"Group.Read.All", "GroupMember.Read.All", "Directory.Read.All"}),
        ("GET", "users/ada@contoso.com/memberOf", {"Group.Read.All", "GroupMember.Read.All", "Directory.Read.All"}),
        ("PATCH", "users/ada@contoso.com", {"User.ReadWrite.All", "Directory.ReadWrite.All"}),
        ("DELETE", "users/ada@contoso.com", {"User.ReadWrite.All"}),
    ],
)
async def test_operation_needs_a_role(graph: Service, method: str, path: str, roles: set[str]) -> None:
    """Each of these roles alone is enough; with all other roles together it is a 403."""
    path = "/v1.0/" + path.replace("GROUP", graph.directory.groups.reader("id")(0))
    everything = {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
    everything |= {f"{kind}.{verb}.All" for kind in ("Group", "GroupMember") for verb in ("Read", "ReadWrite")}
    body = {"city": "Turin"} if method == "PATCH" else None
    graph.roles = everything - roles - {role.replace("Read.", "ReadWrite.") for role in roles}
    response = await graph.request(method, path, json=body)
    assert (response.status, response.body["error"]["code"]) == (403, "Authorization_RequestDenied")
    assert response.body["error"]["message"] == "Insufficient privileges to complete the operation."
    for role in roles:
        graph.roles = {role}
        assert (await graph.request(method, path, json=body)).status in (200, 204)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "users", "GET, POST"),
        ("PUT", "users/ada@contoso.com", "GET, PATCH, DELETE"),
        ("POST", "users/$count", "GET"),
        ("HEAD", "users", "GET, POST"),
    ],
)
async def test_other_methods_are_405(graph: Service, method: str, path: str, allowed: str) -> None:
    """A method the resource does not know is a 405 that lists those it knows."""
    response = await graph.request(method, f"/v1.0/{path}")
    assert (response.status, response.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize("target", ["/v1.0/users?$filter=displayName eq 'Ada'", "/v1.0/us ers", "/v1.0/users/zoë"])
async def test_unencoded_characters_are_refused(graph: Service, target: str) -> None:
    """A blank or a letter outside ASCII that was not percent-encoded is no request: 400, and the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(graph.url.rpartition(":")[2]))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b" 400 Bad Request\r\n" in await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_each_response_has_its_own_id(graph: Service) -> None:
    """request-id is a new GUID each time."""
    ids = {(await graph.get("/v1.0/nowhere")).headers["request-id"] for _ in range(5)}
    assert len({uuid.UUID(value) for value in ids}) == 5
