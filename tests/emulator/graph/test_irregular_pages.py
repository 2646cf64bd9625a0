"""What goes wrong with pages on purpose: tokens that expire early, objects that come twice, links that lead back."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Service

TENTH = "/v1.0/users?$top=25&$select=id"


async def follow(graph: Service, path: str, *, pages: int) -> tuple[list[dict[str, Any]], list[str | None]]:
    """Return that many pages at most, and the link each ends with."""
    bodies: list[dict[str, Any]] = []
    links: list[str | None] = []
    link: str | None = path
    while link is not None and len(bodies) < pages:
        graph.clock.move(1)  # links are dated
        response = await graph.get(link)
        assert response.status == 200, response.body
        link = response.body.get("@odata.nextLink")
        bodies.append(response.body)
        links.append(link)
    return bodies, links


async def test_tokens_expire_at_once(graph: Service) -> None:
    """Every link issued so far is a Directory_ExpiredPageToken from now on; a new query pages on."""
    link = (await graph.get(TENTH)).body["@odata.nextLink"]
    graph.behaviour.expire_page_tokens()
    for _ in range(2):
        response = await graph.get(link)
        assert (response.status, response.body["error"]["code"]) == (400, "Directory_ExpiredPageToken")
    assert len(await graph.items(TENTH)) == 250


async def test_token_of_one_page_expires_once(graph: Service) -> None:
    """The link to page 7 expires when it is used, for good and once: whoever starts over gets to the end."""
    graph.behaviour.expire_page_tokens(at_page=7)
    _, links = await follow(graph, TENTH, pages=6)
    for _ in range(2):
        assert links[-1] is not None
        response = await graph.get(links[-1])
        assert (response.status, response.body["error"]["code"]) == (400, "Directory_ExpiredPageToken")
    bodies, _ = await follow(graph, TENTH, pages=20)
    assert [len(body["value"]) for body in bodies] == [25] * 10


async def test_objects_come_again_on_the_next_page(graph: Service) -> None:
    """The last two of each page begin the next one; every page keeps its size, and nobody is lost."""
    graph.behaviour.repeated_items = 2
    bodies, _ = await follow(graph, TENTH, pages=20)
    pages = [[user["id"] for user in body["value"]] for body in bodies]
    for before, after in pairwise(pages):
        assert after[:2] == before[-2:]
    assert {len(page) for page in pages[:-1]} == {25}
    everybody = [graph.directory.user_id(index) for index in range(250)]
    assert list(dict.fromkeys(user for page in pages for user in page)) == everybody


async def test_repeated_objects_leave_room_for_new_ones(graph: Service) -> None:
    """However many come again, each page has somebody new, so that following the links ends."""
    graph.behaviour.repeated_items = 1000
    assert len({user["id"] for user in await graph.items("/v1.0/users?$top=50&$select=id")}) == 250


@pytest.mark.parametrize(("injected", "round_trip"), [({1: 1}, 1), ({3: 3}, 1), ({3: 2}, 2), ({10: 1}, 10)])
async def test_links_lead_back(graph: Service, injected: dict[int, int], round_trip: int) -> None:
    """A page links to itself or to one before: the same pages come round, with links that are the same text."""
    graph.behaviour.injected_links = injected
    page = next(iter(injected))
    bodies, links = await follow(graph, TENTH, pages=page + 2 * round_trip)
    assert len(bodies) == page + 2 * round_trip
    again = page + round_trip
    assert links[page - 1 : again] == links[again - 1 : again + round_trip]
    assert [body["value"] for body in bodies[page:again]] == [body["value"] for body in bodies[again:]]
    assert bodies[page]["value"] == bodies[injected[page] - 1]["value"]


async def test_page_can_lead_past_another(graph: Service) -> None:
    """A injected link forward leaves out what is between."""
    graph.behaviour.injected_links = {1: 3}
    bodies, _ = await follow(graph, TENTH, pages=20)
    assert len(bodies) == 9
    assert bodies[1]["value"][0]["id"] == graph.directory.user_id(50)
