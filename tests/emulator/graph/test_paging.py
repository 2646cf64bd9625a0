"""Pages of the emulated Graph: nothing lost, nothing twice, and links that only work as they were given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from yarl import URL

if TYPE_CHECKING:
    from tests.emulator.conftest import Service


@pytest.mark.parametrize("top", [1, 99, 125, 249, 250, 251, 999])
async def test_pages_hold_every_user_once(graph: Service, top: int) -> None:
    """Whatever the page size, following the links gives all 250 users, each once, and no page is empty."""
    link: str | None = f"/v1.0/users?$top={top}&$select=id"
    sizes, ids = [], []
    while link is not None:
        page = (await graph.get(link)).body
        sizes.append(len(page["value"]))
        ids += [user["id"] for user in page["value"]]
        link = page.get("@odata.nextLink")
    assert ids == [graph.directory.user_id(index) for index in range(250)]
    assert all(size == top for size in sizes[:-1])
    assert sizes[-1] > 0


async def test_page_has_100_by_default(graph: Service) -> None:
    """Without $top a page holds 100; a test can change that."""
    assert len((await graph.get("/v1.0/users")).body["value"]) == 100
    graph.behaviour.page_size = 3
    assert len((await graph.get("/v1.0/users")).body["value"]) == 3


async def test_link_repeats_the_query_and_names_the_called_host(graph: Service) -> None:
    """The link is absolute, goes where the client went, and repeats every option besides the opaque token."""
    path = "/v1.0/users?$select=id&$top=2&$count=true&$filter=startsWith(displayName,'a')"
    link = (await graph.get(path, eventual=True)).body["@odata.nextLink"]
    assert link.startswith(f"{graph.url}/v1.0/users?")
    query = dict(URL(link).query)
    assert query.pop("$skiptoken")
    assert query == {
        "$select": "id",
        "$top": "2",
        "$count": "true",
        "$filter": "startsWith(displayName,'a')",
    }
    by_name = await graph.get("/v1.0/users?$top=2", headers={"Host": "graph.example:8443"})
    assert by_name.body["@odata.nextLink"].startswith("http://graph.example:8443/v1.0/users?")


async def test_link_survives_reencoding(graph: Service) -> None:
    """The same link with options encoded or ordered differently still works: that does not change what it says."""
    link = (await graph.get("/v1.0/users?$select=id,mail&$top=2")).body["@odata.nextLink"]
    token = URL(link).query["$skiptoken"]
    reencoded = f"{graph.url}/v1.0/users?%24top=2&%24skiptoken={token}&%24select=id,mail"
    assert (await graph.get(reencoded)).body["value"] == (await graph.get(link)).body["value"]


@pytest.mark.parametrize(
    ("found", "replacement"),
    [
        (r"\$top=2", "$top=3"),
        (r"&\$top=2", ""),
        (r"\$select=id", "$select=mail"),
        (r"\$select=id", "$select=id&$count=true"),
        (r"/v1.0/users", "/beta/users"),
        (r"/v1.0/users", "/v1.0/groups"),
        (r"skiptoken=.", "skiptoken="),
        (r"skiptoken=.*", "skiptoken="),
        (r"skiptoken=.*", "skiptoken=QUFBQUFBQUFBQUFBQUFBQXsicG9zaXRpb24iOjB9"),
        (r"skiptoken=.*", "skiptoken=%00%C3%A9"),
        (r"skiptoken=", "skiptoken=!!!!"),
        (r"(skiptoken=.*)", r"\1===="),
        (r"(skiptoken=.*)", r"\1%0A"),
        (r"$", "x"),
    ],
)
async def test_changed_link_is_refused(graph: Service, found: str, replacement: str) -> None:
    """A link with another option, path, version or token than it was given with is a 400."""
    link = (await graph.get("/v1.0/users?$select=id&$top=2")).body["@odata.nextLink"]
    assert (await graph.get(link)).status == 200
    response = await graph.get(re.sub(found, replacement, link, count=1))
    assert response.status == 400
    assert response.body["error"]["code"] == "Request_BadRequest"


async def test_another_emulators_link_is_refused(graph: Service, defender: Service) -> None:
    """A token is good for the service that issued it only: keys are not shared."""
    link = (await graph.get("/v1.0/users?$top=2")).body["@odata.nextLink"]
    assert (await defender.get(link.replace(graph.url, defender.url))).status == 404


async def test_link_expires(graph: Service) -> None:
    """A link that is older than its lifetime on the emulator's clock is a Directory_ExpiredPageToken."""
    graph.behaviour.page_token_lifetime_s = 60
    link = (await graph.get("/v1.0/users?$top=2")).body["@odata.nextLink"]
    graph.clock.move(50)
    assert (await graph.get(link)).status == 200
    graph.clock.move(11)
    response = await graph.get(link)
    assert (response.status, response.body["error"]["code"]) == (400, "Directory_ExpiredPageToken")


async def test_advanced_query_needs_its_header_on_every_page(graph: Service) -> None:
    """The second page of an advanced query without ConsistencyLevel is a 400, also when nothing is filtered."""
    for path in ("/v1.0/users?$count=true&$top=2", "/v1.0/users?$count=true&$top=2&$filter=accountEnabled ne false"):
        link = (await graph.get(path, eventual=True)).body["@odata.nextLink"]
        assert (await graph.get(link)).status == 400
        assert (await graph.get(link, eventual=True)).status == 200


async def test_empty_pages_are_no_end(graph: Service) -> None:
    """With empty pages switched on, every n-th page is empty but has a link, and still nobody is lost."""
    graph.behaviour.empty_pages = 2
    first = await graph.get("/v1.0/users?$top=50&$select=id")
    second = await graph.get(first.body["@odata.nextLink"])
    assert second.body["value"] == []
    users = await graph.items("/v1.0/users?$top=50&$select=id")
    assert [user["id"] for user in users] == [graph.directory.user_id(index) for index in range(250)]


async def test_pages_stay_right_while_the_directory_changes(graph: Service) -> None:
    """Deleting served and unserved users between two pages loses nobody else, and doubles nobody."""
    first = await graph.get("/v1.0/users?$top=100&$select=id")
    for index in (5, 99, 100, 101):
        assert (await graph.request("DELETE", f"/v1.0/users/{graph.directory.user_id(index)}")).status == 204
    rest = await graph.items(first.body["@odata.nextLink"])
    assert [user["id"] for user in rest] == [graph.directory.user_id(index) for index in range(102, 250)]


async def test_members_are_paged(graph: Service) -> None:
    """The members of a group come in pages like any collection, each once."""
    group = graph.directory.groups.reader("id")(0)
    members = await graph.items(f"/v1.0/groups/{group}/members?$top=33&$select=id")
    assert len(members) == len({member["id"] for member in members}) == 250
