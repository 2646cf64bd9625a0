"""Planner's tasks in the emulated Graph: nothing is changed by who does not know the latest version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Service, ServiceResponse

TASK = {"planId": "xqQg5FS2LkCp935s-FIFm2QAFkHM", "title": "Water the plants"}


async def create(graph: Service) -> ServiceResponse:
    """Create a task."""
    created = await graph.request("POST", "/v1.0/planner/tasks", json=TASK)
    assert created.status == 201
    return created


async def test_task_has_an_etag(graph: Service) -> None:
    """A new task is found at its Location, with the etag in body and header that it was created with."""
    created = await create(graph)
    read = await graph.get(created.headers["Location"])
    assert read.body == created.body
    assert read.body["title"] == "Water the plants"
    assert read.headers["ETag"] == read.body["@odata.etag"]
    assert read.body["@odata.etag"].startswith('W/"')
    assert (await graph.get(created.headers["Location"][:-1])).status == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_change_needs_the_latest_etag(graph: Service, method: str) -> None:
    """Without If-Match a change is 400, with another version's or another task's it is 412, and nothing happens."""
    task, other = await create(graph), await create(graph)
    path = task.headers["Location"]
    body: dict[str, Any] = {"json": {"title": "x"}} if method == "PATCH" else {}
    etags = ['W/"old"', other.body["@odata.etag"], "*", task.body["@odata.etag"].replace('"', '\\"')]
    refused: list[tuple[int, dict[str, str]]] = [(400, {}), *((412, {"If-Match": etag}) for etag in etags)]
    for status, headers in refused:
        response = await graph.request(method, path, headers=headers, **body)
        assert response.status == status
        assert response.body["error"]["code"] == ("preconditionFailed" if status == 412 else "Request_BadRequest")
    assert (await graph.get(path)).body == task.body
    done = await graph.request(method, path, headers={"If-Match": task.body["@odata.etag"]}, **body)
    assert (done.status, done.body) == (204, "")


async def test_each_change_makes_a_new_version(graph: Service) -> None:
    """After a change the old etag is worth nothing, and the new one comes with the representation if preferred."""
    task = await create(graph)
    path, etag = task.headers["Location"], task.body["@odata.etag"]
    headers = {"If-Match": etag, "Prefer": "return=representation"}
    changed = await graph.request("PATCH", path, json={"percentComplete": 50}, headers=headers)
    assert (changed.status, changed.body["percentComplete"]) == (200, 50)
    assert changed.body["@odata.etag"] != etag
    assert (await graph.request("PATCH", path, json={"title": "x"}, headers=headers)).status == 412
    assert (await graph.request("DELETE", path, headers={"If-Match": changed.body["@odata.etag"]})).status == 204
    assert (await graph.get(path)).status == 404


async def test_unchanged_task_is_not_sent_again(graph: Service) -> None:
    """If-None-Match with the latest etag is a 304 without a body; with an old one the task is sent."""
    task = await create(graph)
    path, etag = task.headers["Location"], task.body["@odata.etag"]
    unchanged = await graph.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, "", etag)
    await graph.request("PATCH", path, json={"title": "x"}, headers={"If-Match": etag})
    assert (await graph.get(path, headers={"If-None-Match": etag})).body["title"] == "x"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"title": "x"}, "The required property 'planId' is missing."),
        ({**TASK, "percentComplete": 101}, "Invalid value specified for property 'percentComplete'"),
        ({**TASK, "percentComplete": True}, "Invalid value specified for property 'percentComplete'"),
        ({**TASK, "title": ""}, "Invalid value specified for property 'title'"),
        ({**TASK, "id": "x"}, "The property 'id' does not exist"),
    ],
)
async def test_new_task_is_refused(graph: Service, body: dict[str, Any], message: str) -> None:
    """A task needs a plan and a title, and values of the right type."""
    response = await graph.request("POST", "/v1.0/planner/tasks", json=body)
    assert response.status == 400
    assert message in response.body["error"]["message"]


async def test_if_match_goes_into_the_item_of_a_batch(graph: Service) -> None:
    """In a batch the item's own If-Match counts."""
    task = await create(graph)
    item = {"method": "DELETE", "url": f"planner/tasks/{task.body['id']}"}
    items = [
        {**item, "id": "without"},
        {**item, "id": "with", "headers": {"If-Match": task.body["@odata.etag"]}},
    ]
    headers = {"Authorization": "Bearer t", "If-Match": task.body["@odata.etag"]}
    response = await graph.request("POST", "/v1.0/$batch", json={"requests": items}, headers=headers)
    assert {each["id"]: each["status"] for each in response.body["responses"]} == {"without": 400, "with": 204}


async def test_reading_and_writing_take_their_roles(graph: Service) -> None:
    """Who may read tasks may not write them."""
    path = (await create(graph)).headers["Location"]
    graph.roles = frozenset({"Tasks.Read.All"})
    assert (await graph.get(path)).status == 200
    assert (await graph.request("POST", "/v1.0/planner/tasks", json=TASK)).status == 403
    graph.roles = frozenset({"User.ReadWrite.All"})
    assert (await graph.get(path)).status == 403
