"""Headers that make no sense are refused by Graph and Defender, each in its own shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

if TYPE_CHECKING:
    from tests.emulator.conftest import Service

USERS, COUNT, MACHINES = "/v1.0/users?$top=1", "/v1.0/users/$count", "/api/machines?$top=1"

REFUSED: dict[str, tuple[list[tuple[str, str]], int]] = {
    "two tokens": ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], 400),
    "the same token twice": ([("Authorization", "Bearer a"), ("Authorization", "Bearer a")], 400),
    "two levels": ([("ConsistencyLevel", "eventual"), ("ConsistencyLevel", "eventual")], 400),
    "two levels in one": ([("ConsistencyLevel", "eventual,eventual")], 400),
    "unknown level": ([("ConsistencyLevel", "strong")], 400),
    "empty level": ([("ConsistencyLevel", "")], 400),
    "HTML only": ([("Accept", "text/html")], 406),
    "text only": ([("Accept", "text/plain")], 406),
    "anything but JSON": ([("Accept", "application/xml, application/json;q=0")], 406),
    "two that are not JSON": ([("Accept", "text/html"), ("Accept", "application/atom+xml")], 406),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_senseless_header_is_refused(graph: Service, defender: Service, case: str) -> None:
    """More than one token or level, a level that does not exist, and a client that takes no JSON get nothing."""
    headers, status = REFUSED[case]
    for service, path in ((graph, USERS), (defender, MACHINES)):
        response = await service.get(path, headers=CIMultiDict(headers))
        assert (response.status, response.body["error"]["code"]) == (
            status,
            "NotAcceptable" if status == 406 else "BadRequest",
        )
        assert response.body["error"]["message"]


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "Application/JSON;odata.metadata=none",
        "application/*",
        "*/*",
        "text/html, application/json;q=0.9",
        "text/html, */*;q=0.001",
        "",
    ],
)
async def test_json_may_be_accepted_in_any_way(graph: Service, defender: Service, accept: str) -> None:
    """Whatever media range JSON falls into is fine, and so is a client that does not care."""
    for service, path in ((graph, USERS), (defender, MACHINES)):
        assert (await service.get(path, headers={"Accept": accept})).status == 200


async def test_count_is_plain_text(graph: Service) -> None:
    """A count may be requested as text, but not as a web page."""
    for accept in ("text/plain", "text/*", "application/json"):
        assert (await graph.get(COUNT, eventual=True, headers={"Accept": accept})).body == "250"
    assert (await graph.get(COUNT, eventual=True, headers={"Accept": "text/html"})).status == 406


async def test_level_is_read_in_any_case(graph: Service) -> None:
    """Letters' case and blanks around the level do not matter."""
    assert (await graph.get(COUNT, headers={"ConsistencyLevel": " Eventual "})).body == "250"
