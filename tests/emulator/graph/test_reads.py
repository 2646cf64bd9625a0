"""What the emulated Graph answers to reads: objects, members, filters, counts, and the headers of every response."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from tests.emulator.conftest import Service

E5 = "06ebc4ee-1bb5-47dd-8120-11324bc54e06"
DEFAULT_PROPERTIES = {
    "businessPhones",
    "displayName",
    "givenName",
    "id",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
}


async def test_user_is_read_by_id_and_name(graph: Service) -> None:
    """An id, a user principal name, and a key in parentheses lead to the same user, with the default properties."""
    user_id = graph.directory.user_id(0)
    keys = ("/" + user_id, "/" + user_id.upper(), "/ada@contoso.com", "/ADA%40contoso.com", "('ada@contoso.com')")
    for key in keys:
        response = await graph.get(f"/v1.0/users{key}")
        assert response.status == 200
        assert response.body.pop("@odata.context") == f"{graph.url}/v1.0/$metadata#users/$entity"
        assert response.body.keys() == DEFAULT_PROPERTIES
        assert response.body["id"] == user_id


async def test_guest_and_apostrophe_names_are_keys(graph: Service) -> None:
    """A name with #EXT# works percent-encoded; one with an apostrophe works bare, and doubled in parentheses."""
    names = [graph.directory.user(index)["userPrincipalName"] for index in range(50)]
    guest = next(name for name in names if "#EXT#" in name)
    irish = next(name for name in names if "'" in name)
    assert (await graph.get(f"{graph.url}/v1.0/users/{quote(guest)}")).body["userPrincipalName"] == guest
    assert (await graph.get(f"/v1.0/users/{irish}")).body["userPrincipalName"] == irish
    doubled = irish.replace("'", "''")
    assert (await graph.get(f"/v1.0/users('{doubled}')")).body["userPrincipalName"] == irish


async def test_select_names_what_comes_back(graph: Service) -> None:
    """$select gives exactly its properties, in its order, and says so in the context; unselected ones never come."""
    response = await graph.get("/v1.0/users/ada@contoso.com?$select=userType,id,accountEnabled")
    assert list(response.body) == ["@odata.context", "userType", "id", "accountEnabled"]
    assert response.body["@odata.context"].endswith("/v1.0/$metadata#users(userType,id,accountEnabled)/$entity")
    page = await graph.get("/v1.0/users?$select=id&$top=1")
    assert page.body["@odata.context"].endswith("/v1.0/$metadata#users(id)")
    assert page.body["value"] == [{"id": graph.directory.user_id(0)}]


async def test_beta_works_without_dollar_signs(graph: Service) -> None:
    """Beta serves the same directory under its own version, and reads options without their $."""
    response = await graph.get("/beta/users?select=id&top=1")
    assert response.body["value"] == [{"id": graph.directory.user_id(0)}]
    assert response.body["@odata.context"].startswith(f"{graph.url}/beta/")
    assert response.body["@odata.nextLink"].startswith(f"{graph.url}/beta/users?$select=id&$top=1&$skiptoken=")
    assert (await graph.get("/v1.0/users?select=id")).status == 400


@pytest.mark.parametrize("role", ["GroupMember.Read.All", "Group.Read.All"])
async def test_members_that_may_not_be_read_are_type_and_id(graph: Service, role: str) -> None:
    """Who may read a group but no users gets each member's type and id, and null for everything else."""
    group = graph.directory.groups.reader("id")(0)
    path = f"/v1.0/groups/{group}/members?$top=5"
    graph.roles = {role, "User.Read.All"}
    whole = (await graph.get(path)).body["value"]
    graph.roles = {role}
    limited = (await graph.get(path)).body["value"]
    shown = {"@odata.type", "id"}
    assert [{name: user[name] for name in shown} for user in limited] == [
        {name: user[name] for name in shown} for user in whole
    ]
    assert all(user.keys() == limited[0].keys() for user in whole)
    assert {value for user in limited for name, value in user.items() if name not in shown} == {None}
    assert all(user["displayName"] for user in whole)
    chosen = (await graph.get(f"{path}&$select=displayName")).body["value"]
    assert [user["displayName"] for user in chosen] == [None] * 5
    assert (await graph.get(f"/v1.0/groups/{group}/members/$count", eventual=True)).body == "250"


async def test_members_have_their_type(graph: Service) -> None:
    """A group's members are directory objects, so each says that it is a user; the user sees the group, too."""
    group = (await graph.get("/v1.0/groups?$top=2")).body["value"][1]
    response = await graph.get(f"/v1.0/groups/{group['id']}/members?$select=id")
    assert response.body["@odata.context"].endswith("/v1.0/$metadata#directoryObjects(id)")
    assert response.body["value"]
    for member in response.body["value"]:
        assert member.keys() == {"@odata.type", "id"}
        assert member["@odata.type"] == "#microsoft.graph.user"
        groups = (await graph.get(f"/v1.0/users/{member['id']}/memberOf?$select=id")).body["value"]
        assert {"@odata.type": "#microsoft.graph.group", "id": group["id"]} in groups
    count = await graph.get(f"/v1.0/groups/{group['id']}/members/$count", eventual=True)
    assert count.body == str(len(response.body["value"]))


async def test_a_group_can_be_empty(graph: Service) -> None:
    """A group without members answers an empty page without a link."""
    empty = graph.directory.groups.reader("id")(2)
    response = await graph.get(f"/v1.0/groups/{empty}/members")
    assert response.status == 200
    assert response.body["value"] == []
    assert "@odata.nextLink" not in response.body


async def test_me_is_the_signed_in_user(graph: Service) -> None:
    """A delegated token with User.Read reads its own user and groups; the same token reads nobody else."""
    graph.app_only, graph.roles = False, {"User.Read"}
    graph.claims = {"appid": "app-1", "oid": graph.directory.user_id(0)}
    assert (await graph.get("/v1.0/me")).body["displayName"] == "Ada Lovelace"
    assert (await graph.get("/v1.0/me/memberOf")).body["value"]
    assert (await graph.get("/v1.0/users")).status == 403
    assert (await graph.get(f"/v1.0/users/{graph.directory.user_id(1)}/memberOf")).status == 403


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("accountEnabled eq false", lambda user: not user["accountEnabled"]),
        ("startsWith(displayName,'a')", lambda user: user["displayName"].lower().startswith("a")),
        (
            "surname eq 'O''Neill' and accountEnabled eq true",
            lambda u: u["surname"] == "O'Neill" and u["accountEnabled"],
        ),
        ("department in ('R&D','Sales')", lambda user: user["department"] in ("R&D", "Sales")),
        ("createdDateTime le 2015-01-01T09:00:00Z", lambda user: user["createdDateTime"] <= "2015-01-01T09:00:00Z"),
        ("userType eq 'Guest' or city eq '東京'", lambda u: u["userType"] == "Guest" or u["city"] == "東京"),
        ("businessPhones/any(p:startsWith(p,'+44'))", lambda user: bool(user["businessPhones"])),
        (f"assignedLicenses/any(l:l/skuId eq {E5})", lambda u: E5 in [each["skuId"] for each in u["assignedLicenses"]]),
    ],
)
async def test_filter_works_by_default(graph: Service, text: str, passes: Callable[[dict[str, Any]], bool]) -> None:
    """These filters need no special header; their pages hold every user that passes and nobody else, in order."""
    expected = [user["id"] for user in map(graph.directory.user, range(250)) if passes(user)]
    found = await graph.items(f"/v1.0/users?$filter={quote(text)}&$select=id&$top=7")
    assert 0 < len(expected) < 250
    assert [user["id"] for user in found] == expected


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("accountEnabled ne true", lambda user: not user["accountEnabled"]),
        ("not startsWith(displayName,'A')", lambda user: not user["displayName"].startswith("A")),
        ("endsWith(mail,'@contoso.com')", lambda user: (user["mail"] or "").endswith("@contoso.com")),
        ("NOT(companyName eq 'Contoso')", lambda user: user["companyName"] != "Contoso"),
        ("jobTitle eq null", lambda user: user["jobTitle"] is None),
        ("assignedLicenses/$count eq 0", lambda user: not user["assignedLicenses"]),
        (f"not assignedLicenses/any(l:l/skuId eq {E5})", lambda user: len(user["assignedLicenses"]) < 2),
        ("startsWith(mobilePhone,'+49')", lambda user: user["mobilePhone"] is not None),
    ],
)
async def test_advanced_filter_needs_header_and_count(
    graph: Service, text: str, passes: Callable[[dict[str, Any]], bool]
) -> None:
    """These filters work with ConsistencyLevel and $count=true together, which also count; with one alone it is 400."""
    expected = [user["id"] for user in map(graph.directory.user, range(250)) if passes(user)]
    path = f"/v1.0/users?$filter={quote(text)}&$select=id&$top=100"
    first = await graph.get(f"{path}&$count=true", eventual=True)
    assert first.body["@odata.count"] == len(expected)
    assert [user["id"] for user in await graph.items(f"{path}&$count=true", eventual=True)] == expected
    count = await graph.get(f"/v1.0/users/$count?$filter={quote(text)}", eventual=True)
    assert count.body == str(len(expected))
    for bare, eventual in ((path, False), (path, True), (f"{path}&$count=true", False)):
        response = await graph.get(bare, eventual=eventual)
        assert response.status == 400
        assert response.body["error"]["code"] == "Request_UnsupportedQuery"


async def test_filter_by_unique_name_finds_one(graph: Service) -> None:
    """id eq, userPrincipalName eq and in find their users in directory order, and nobody who does not exist."""
    wanted = [graph.directory.user(index) for index in (200, 3)]
    names = ",".join("'" + user["userPrincipalName"].replace("'", "''") + "'" for user in wanted)
    found = await graph.items(f"/v1.0/users?$filter={quote(f'userPrincipalName in ({names})')}&$top=1")
    assert [user["id"] for user in found] == [wanted[1]["id"], wanted[0]["id"]]
    for nobody in (f"id eq '{wanted[0]['id']}' and surname eq 'Nobody'", f"id eq '{uuid.uuid4()}'"):
        assert await graph.items(f"/v1.0/users?$filter={quote(nobody)}") == []


async def test_count_without_header_is_silently_ignored(graph: Service) -> None:
    """$count=true alone changes nothing; with the header the first page, and only that, tells the number."""
    plain = await graph.get("/v1.0/users?$count=true&$top=100")
    assert plain.status == 200
    assert "@odata.count" not in plain.body
    first = await graph.get("/v1.0/users?$count=true&$top=100", eventual=True)
    assert first.body["@odata.count"] == 250
    second = await graph.get(first.body["@odata.nextLink"], eventual=True)
    assert "@odata.count" not in second.body
    count = await graph.get("/v1.0/users/$count", eventual=True)
    assert (count.body, count.headers["Content-Type"]) == ("250", "text/plain; charset=utf-8")


async def test_every_response_has_the_usual_headers(graph: Service) -> None:
    """Success or not, a response has both ids, the emulator's date, diagnostics and OData's version."""
    graph.clock.move(86_400)
    for path, status in (("/v1.0/users", 200), ("/v1.0/nowhere", 400)):
        response = await graph.get(path, headers={"client-request-id": "mine"})
        assert response.status == status
        assert response.headers["client-request-id"] == "mine"
        assert str(uuid.UUID(response.headers["request-id"])) == response.headers["request-id"]
        assert abs(parsedate_to_datetime(response.headers["Date"]).timestamp() - graph.clock.now()) < 5
        assert "ServerInfo" in json.loads(response.headers["x-ms-ags-diagnostic"])
        assert response.headers["OData-Version"] == "4.0"
        assert response.headers["Content-Type"] == (
            "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"
        )
    copied = await graph.get("/v1.0/users?$top=1")
    assert copied.headers["client-request-id"] == copied.headers["request-id"]


@pytest.mark.parametrize(
    ("path", "units"),
    [
        ("/v1.0/users", 2),
        ("/v1.0/users?$select=id", 1),
        ("/v1.0/users?$top=5&$select=id", 1),
        ("/v1.0/users/ada@contoso.com", 1),
        ("/v1.0/groups", 1),
        ("/v1.0/groups/GROUP/members", 3),
        ("/v1.0/groups/GROUP/members?$top=19", 2),
        ("/v1.0/groups/GROUP/members?$top=20", 3),
    ],
)
async def test_responses_have_their_cost(graph: Service, path: str, units: int) -> None:
    """x-ms-resource-unit is what Microsoft's table charges: less with $select or a small $top, never below 1."""
    response = await graph.get(path.replace("GROUP", graph.directory.groups.reader("id")(0)))
    assert response.headers["x-ms-resource-unit"] == str(units)


async def test_a_long_search_lets_others_run(
    serve_graph: Callable[[int], AbstractAsyncContextManager[Service]],
) -> None:
    """A filter over 200,000 users never keeps the event loop for long: no turn takes a quarter of the search."""
    async with serve_graph(200_000) as graph:
        search = asyncio.create_task(graph.get("/v1.0/users?$filter=department eq 'Nowhere'"))
        turns = [time.perf_counter()]
        while not search.done():
            await asyncio.sleep(0)
            turns.append(time.perf_counter())
        assert search.result().body["value"] == []
        longest_s = max(after - before for before, after in pairwise(turns))
        assert longest_s < (turns[-1] - turns[0]) / 4
