"""Batches of the emulated Graph: malformed ones are refused as a whole, and items get what single requests get."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

import aiohttp
import anyio
import anyio.lowlevel
import pytest

from entra_async.testing import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.emulator.conftest import Service

    Send = Callable[..., Awaitable[dict[str, dict[str, Any]]]]

GRACE: dict[str, Any] = {
    "accountEnabled": True,
    "displayName": "Grace Murray",
    "mailNickname": "grace",
    "userPrincipalName": "grace@contoso.com",
    "passwordProfile": {"password": "correct horse battery"},
}
BEARER = {"Authorization": "Bearer t"}
JSON = {"Content-Type": "application/json"}
ADA = "/users/ada@contoso.com"


def get(item_id: str, url: str, **more: Any) -> dict[str, Any]:
    """Return an item that reads."""
    return {"id": item_id, "method": "GET", "url": url, **more}


async def send(graph: Service, *items: dict[str, Any], version: str = "v1.0") -> dict[str, dict[str, Any]]:
    """Send a batch that is well-formed, and return the responses by id."""
    response = await graph.request("POST", f"/{version}/$batch", json={"requests": items}, headers=BEARER)
    assert response.status == 200, response.body
    responses = {each["id"]: each for each in response.body["responses"]}
    assert len(responses) == len(response.body["responses"]) == len(items)
    return responses


async def test_items_get_the_responses_of_single_requests(graph: Service) -> None:
    """Each item gets the status, headers and body it would get alone, errors included; only the gateway's are gone."""
    urls = {
        "1": ADA,
        "2": "users?$top=2&$select=id",
        "3": "/users/nobody@contoso.com",
        "4": "/users?$top=0",
        "5": "groups/delta/nowhere",
    }
    responses = await send(graph, *(get(item_id, url) for item_id, url in urls.items()))
    for item_id, url in urls.items():
        alone = await graph.get(f"/v1.0/{url.removeprefix('/')}")
        assert responses[item_id]["status"] == alone.status
        assert responses[item_id]["headers"]["Content-Type"] == alone.headers["Content-Type"]
        assert responses[item_id]["headers"].get("x-ms-resource-unit") == alone.headers.get("x-ms-resource-unit")
        assert not {"request-id", "client-request-id", "Date"} & responses[item_id]["headers"].keys()
        if alone.status == 200:
            assert responses[item_id]["body"].keys() == alone.body.keys()
            assert responses[item_id]["body"].get("id") == alone.body.get("id")
        else:
            assert responses[item_id]["body"]["error"]["code"] == alone.body["error"]["code"]
            assert responses[item_id]["body"]["error"]["innerError"]["request-id"]
    link = responses["2"]["body"]["@odata.nextLink"]
    assert len((await graph.get(link)).body["value"]) == 2


async def test_headers_of_an_item_are_its_own(graph: Service) -> None:
    """ConsistencyLevel counts in the item only: one on the batch helps no item."""
    advanced = "/users?$filter=endsWith(mail,'@contoso.com')&$count=true&$top=1"
    envelope = {"requests": [get("1", advanced, headers={"consistencylevel": "eventual"}), get("2", advanced)]}
    response = await graph.request(
        "POST", "/v1.0/$batch", json=envelope, headers={**BEARER, "ConsistencyLevel": "eventual"}
    )
    statuses = {each["id"]: each["status"] for each in response.body["responses"]}
    assert statuses == {"1": 200, "2": 400}


async def test_version_is_the_batchs(graph: Service) -> None:
    """Items go to the version the batch was sent to, and cannot name another one."""
    responses = await send(graph, get("1", "users?top=1"), get("2", "v1.0/users"), version="beta")
    assert responses["1"]["body"]["@odata.context"].startswith(f"{graph.url}/beta/")
    assert responses["2"]["status"] == 400


async def test_responses_come_in_another_order(graph: Service) -> None:
    """The order of responses is never that of the requests, and the same each time."""
    items = [get(str(number), ADA) for number in range(20)]
    orders = []
    for _ in range(2):
        response = await graph.request("POST", "/v1.0/$batch", json={"requests": items}, headers=BEARER)
        orders.append([each["id"] for each in response.body["responses"]])
    assert orders[0] == orders[1] != [item["id"] for item in items]
    assert sorted(orders[0], key=int) == [item["id"] for item in items]


async def test_what_is_not_json_is_base64(graph: Service) -> None:
    """The number that …/$count answers comes as base64, and an empty answer without a body."""
    changed = {"id": "2", "method": "PATCH", "url": ADA, "headers": JSON, "body": {"city": "Turin"}}
    responses = await send(graph, get("1", "/users/$count", headers={"ConsistencyLevel": "eventual"}), changed)
    assert base64.b64decode(responses["1"]["body"]) == b"250"
    assert responses["1"]["headers"]["Content-Type"].startswith("text/plain")
    assert responses["2"]["status"] == 204
    assert "body" not in responses["2"]
    assert (await graph.get(f"/v1.0{ADA}?$select=city")).body["city"] == "Turin"


@pytest.mark.parametrize(
    ("body", "status"), [(base64.b64encode(b"{}"), 415), (base64.urlsafe_b64encode(b"\xff>"), 415)]
)
async def test_other_bodies_are_decoded_before_the_operation_sees_them(
    graph: Service, body: bytes, status: int
) -> None:
    """A base64 body in either alphabet reaches the operation, which refuses what is not JSON as it always does."""
    item = {"id": "1", "method": "POST", "url": "/users", "headers": {"Content-Type": "image/png"}}
    responses = await send(graph, item | {"body": body.decode()})
    assert responses["1"]["status"] == status


async def test_dependent_items_run_after_what_they_need(graph: Service) -> None:
    """Items run in the order dependsOn gives, whatever order they stand in, and ids ignore the case of letters."""
    url = "/users/grace@contoso.com"
    responses = await send(
        graph,
        get("Read", f"{url}?$select=city", dependsOn=["CHANGE"]),
        {"id": "change", "method": "PATCH", "url": url, "headers": JSON, "body": {"city": "X"}, "dependsOn": ["make"]},
        {"id": "make", "method": "POST", "url": "users", "headers": JSON, "body": GRACE, "dependsOn": []},
    )
    assert {key: each["status"] for key, each in responses.items()} == {"make": 201, "change": 204, "Read": 200}
    assert responses["Read"]["body"]["city"] == "X"


async def test_failure_passes_on_to_those_that_depend(graph: Service) -> None:
    """Who depends on a failed item is 424 without having run, and so is who depends on that one; others run."""
    responses = await send(
        graph,
        get("1", "/users/nobody@contoso.com"),
        {"id": "2", "method": "DELETE", "url": ADA, "dependsOn": ["1", "4"]},
        get("3", "/users", dependsOn=["2"]),
        get("4", ADA),
    )
    assert {key: each["status"] for key, each in responses.items()} == {"1": 404, "2": 424, "3": 424, "4": 200}
    assert responses["3"]["body"]["error"]["code"] == "FailedDependency"
    assert (await graph.get(f"/v1.0{ADA}")).status == 200


async def test_each_item_is_charged_by_itself(graph: Service) -> None:
    """The items over the limit are 429 with a Retry-After of their own; the batch itself is free and 200."""
    graph.throttle.limit(requests=3, per_s=30)
    responses = await send(graph, *(get(str(number), ADA) for number in range(5)))
    statuses = [responses[str(number)]["status"] for number in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    waits = [responses[item_id]["headers"]["Retry-After"] for item_id in ("3", "4")]
    assert waits == ["20", "30"]
    assert responses["3"]["body"]["error"]["code"] == "TooManyRequests"
    graph.clock.move(30)
    assert (await send(graph, get("1", ADA)))["1"]["status"] == 200


async def test_batch_needs_a_token_and_items_their_roles(graph: Service) -> None:
    """Without a valid token the batch is 401; what the token does not allow is 403 for the item alone."""
    graph.roles = frozenset({"Group.Read.All"})
    responses = await send(graph, get("1", "/groups?$top=1"), get("2", ADA))
    assert (responses["1"]["status"], responses["2"]["status"]) == (200, 403)
    graph.unauthorized = "Access token has expired or is not yet valid."
    refused = await graph.request("POST", "/v1.0/$batch", json={"requests": [get("1", ADA)]}, headers=BEARER)
    assert (refused.status, refused.body["error"]["code"]) == (401, "InvalidAuthenticationToken")


WRITE = {"id": "1", "method": "POST", "url": "/users", "headers": JSON, "body": GRACE}


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "Invalid batch payload format."),
        ([get(str(number), ADA) for number in range(21)], "exceeds the limit of 20"),
        ([get("a", ADA), get("A", ADA)], "Request Id A has to be unique in a batch."),
        ([{**WRITE, "id": 1}], "Expected `str`, got `int`"),
        ([{**WRITE, "id": ""}], "the id is empty"),
        ([{"method": "GET", "url": "/users"}], "missing required field `id`"),
        ([{"id": "1", "method": "GET"}], "missing required field `url`"),
        ([{**WRITE, "method": "FETCH"}], "the method 'FETCH' is not supported"),
        ([{**WRITE, "method": "post"}], "the method 'post' is not supported"),
        ([get("1", "https://graph.microsoft.com/v1.0/users")], "must be relative"),
        ([get("1", "//graph.microsoft.com/v1.0/users")], "must be relative"),
        ([get("1", "")], "must be relative"),
        ([get("1", "/")], "must be relative"),
        ([{**WRITE, "url": "/$batch"}], "can't be part of a batch"),
        ([{**WRITE, "url": "%24Batch/?a=1"}], "can't be part of a batch"),
        ([{**WRITE, "headers": {}}], "needs a Content-Type header"),
        ([{**WRITE, "headers": {"authorization": "Bearer t"}}], "can't have one of their own"),
        ([{**WRITE, "headers": {"Prefer": 1}}], "Expected `str`, got `int`"),
        ([{**WRITE, "body": "e30="}], "a body of JSON must be an object"),
        ([{**WRITE, "headers": {"Content-Type": "image/png"}, "body": {}}], "must be a base64-encoded string"),
        ([{**WRITE, "headers": {"Content-Type": "image/png"}, "body": "?"}], "must be a base64-encoded string"),
        ([{**WRITE, "method": "GET"}], "a GET request can't have a body"),
        ([{**WRITE, "atomicityGroup": "g"}], "unknown field `atomicityGroup`"),
        ([{**WRITE, "dependsOn": "2"}], "Expected `array`, got `str`"),
        ([{**WRITE, "dependsOn": ["2"]}], "depends on request '2', which is not in the batch"),
        ([{**WRITE, "dependsOn": ["1"]}], "depend on each other in a circle"),
        ([{**WRITE, "dependsOn": ["2"]}, get("2", ADA, dependsOn=["3"]), get("3", ADA, dependsOn=["1"])], "circle"),
    ],
)
async def test_malformed_batch_is_refused_whole(graph: Service, requests: list[dict[str, Any]], message: str) -> None:
    """One mistake is a 400 for the batch that names it, and no item runs."""
    valid = {"id": "ok", "method": "DELETE", "url": ADA}
    response = await graph.request(
        "POST", "/v1.0/$batch", json={"requests": [valid, *requests] if requests else []}, headers=BEARER
    )
    assert (response.status, response.body["error"]["code"]) == (400, "BadRequest")
    assert message in response.body["error"]["message"]
    assert (await graph.get(f"/v1.0{ADA}")).status == 200


@pytest.mark.parametrize(
    ("method", "options", "status"),
    [
        ("GET", {}, 405),
        ("POST", {"data": b""}, 400),
        ("POST", {"json": [get("1", ADA)]}, 400),
        ("POST", {"json": {"requests": {"1": get("1", ADA)}}}, 400),
        ("POST", {"json": {"requests": [get("1", ADA)], "more": 1}}, 400),
        ("POST", {"data": b'{"requests":[]}', "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", {"data": BytesIO(b" " * (4 * 1024 * 1024 + 1)), "headers": JSON}, 413),
    ],
)
async def test_batch_must_be_a_json_object(graph: Service, method: str, options: dict[str, Any], status: int) -> None:
    """Anything but a POST with an object of at most 4 MB that holds requests is refused."""
    assert (await graph.request(method, "/v1.0/$batch", **options)).status == status


async def test_large_batch_under_the_limit_is_served(graph: Service) -> None:
    """A batch of just under 4 MB runs."""
    large = {"id": "1", "method": "POST", "url": "/users", "headers": JSON, "body": {"displayName": "x" * 4_000_000}}
    body = BytesIO(json.dumps({"requests": [large, get("2", ADA)]}).encode())
    response = await graph.request("POST", "/v1.0/$batch", data=body, headers=BEARER | JSON)
    assert {each["id"]: each["status"] for each in response.body["responses"]} == {"1": 400, "2": 200}


@asynccontextmanager
async def signed_in(emulator: Emulator, http: aiohttp.ClientSession) -> AsyncIterator[Send]:
    """Yield what sends a batch to a whole emulator, signed in."""
    form = {
        "grant_type": "client_credentials",
        "client_id": emulator.app.client_id,
        "client_secret": emulator.app.secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    async with http.post(f"{emulator.authority}/{emulator.tenant_id}/oauth2/v2.0/token", data=form) as response:
        headers = {"Authorization": f"Bearer {(await response.json())['access_token']}"}

    async def post(*items: dict[str, Any]) -> dict[str, dict[str, Any]]:
        async with http.post(f"{emulator.graph_url}/v1.0/$batch", json={"requests": items}, headers=headers) as reply:
            assert reply.status == 200
            return {each["id"]: each for each in (await reply.json())["responses"]}

    yield post


async def test_faults_affect_single_items(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A fault on a path affects the item with that path, in the shape a single request gets, and no other item."""
    faults = [
        emulator.faults.add("/v1.0/users/*", status=503, headers={"Retry-After": "7"}),
        emulator.faults.add("/v1.0/users/*", throttle=2.5),
        emulator.faults.add("/v1.0/users/*", html=True),
        emulator.faults.add("/v1.0/users/*", empty=True),
        emulator.faults.add("/v1.0/users/*", status=200, body=b'{"cut', headers={"Content-Type": "application/json"}),
    ]
    async with signed_in(emulator, http) as batch:
        responses = await batch(get("0", "/groups?$top=1"), *(get(str(number), ADA) for number in range(1, 7)))
    assert [responses[str(number)]["status"] for number in range(7)] == [200, 503, 429, 200, 200, 200, 200]
    assert responses["1"]["headers"]["Retry-After"] == "7"
    assert responses["1"]["body"]["error"]["code"] == "serviceNotAvailable"
    assert responses["2"]["headers"]["Retry-After"] == "2.5"
    assert base64.b64decode(responses["3"]["body"]).startswith(b"<!DOCTYPE html>")
    assert "body" not in responses["4"]
    assert base64.b64decode(responses["5"]["body"]) == b'{"cut'
    assert responses["6"]["body"]["displayName"] == "Ada Lovelace"
    assert [fault.hits for fault in faults] == [1] * 5


async def test_fault_that_cuts_passes_items_by(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A reset or half a body cannot affect an item: it waits, uncounted, for a request of that path."""
    faults = [emulator.faults.add("/v1.0/users/*", reset="after"), emulator.faults.add("/v1.0/users/*", half_body=True)]
    async with signed_in(emulator, http) as batch:
        assert (await batch(get("1", ADA)))["1"]["status"] == 200
        assert [fault.hits for fault in faults] == [0, 0]
        emulator.faults.clear()
        fault = emulator.faults.add("/v1.0/$batch", reset="after")
        with suppress(aiohttp.ClientError):  # pytest.raises would hold the headers aiohttp's frames hold
            await batch({"id": "1", "method": "DELETE", "url": ADA})
        assert fault.hits == 1
        assert (await batch(get("1", ADA)))["1"]["status"] == 404  # it had acted


async def test_delayed_item_delays_no_other(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Items run at the same time: two that take a minute take a minute together."""
    fault = emulator.faults.add("/v1.0/users/*", times=2, delay_s=60)
    started = emulator.clock.now()
    responses: dict[str, dict[str, Any]] = {}
    async with signed_in(emulator, http) as batch, anyio.create_task_group() as tasks:

        async def run() -> None:
            responses.update(await batch(get("1", ADA), get("2", ADA), get("3", ADA)))

        tasks.start_soon(run)
        (envelope,) = await emulator.requests.wait_for(path=r"/v1.0/\$batch")
        while fault.hits < 2:
            await anyio.lowlevel.checkpoint()
        emulator.clock.move(60)
    assert {each["status"] for each in responses.values()} == {200}
    assert [item.status for item in envelope.items] == [200, 200, 200]
    assert 60 <= emulator.clock.now() - started < 110


async def test_disconnecting_ends_a_batch_that_waits() -> None:
    """An item that is delayed for an hour does not keep the emulator from closing."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks, Emulator(users=1) as emulator:
            connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
            client = aiohttp.ClientSession(connector=connector)
            fault = emulator.faults.add("/v1.0/users/*", delay_s=3600)

            async def run() -> None:
                async with client, signed_in(emulator, client) as batch:
                    with suppress(aiohttp.ClientError):
                        await batch(get("1", ADA), get("2", ADA))

            tasks.start_soon(run)
            while fault.hits < 1:
                await anyio.lowlevel.checkpoint()
    assert emulator.requests[-1].items[0].status is None


async def test_page_delay_is_taken_once_for_a_batch() -> None:
    """The time each request takes is taken by the batch, and not by its items again."""
    statuses: list[int] = []
    async with Emulator(users=1, page_delay_s=60) as emulator, anyio.create_task_group() as tasks:
        connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
        async with aiohttp.ClientSession(connector=connector) as client, signed_in(emulator, client) as batch:

            async def run() -> None:
                responses = await batch(get("1", ADA), get("2", ADA, dependsOn=["1"]))
                statuses.extend(each["status"] for each in responses.values())
                done.set()

            done = anyio.Event()
            tasks.start_soon(run)
            await emulator.requests.wait_for(path=r"/v1.0/\$batch")
            emulator.clock.move(60)
            with anyio.fail_after(10):
                await done.wait()
    assert statuses == [200, 200]


async def test_items_are_recorded_in_their_batch(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The log counts one arrival; its items are in it, with path, query and status, and without secrets."""
    async with signed_in(emulator, http) as batch:
        await batch(
            get("a", "users/nobody%40contoso.com?$select=id&code=s3cret"),
            {"id": "b", "method": "PATCH", "url": ADA, "headers": {**JSON, "Cookie": "s3cret"}, "body": {"city": "X"}},
            get("c", ADA, dependsOn=["a"]),
        )
    (envelope,) = emulator.requests.matching(service="graph")
    assert (envelope.path, envelope.status, envelope.item_id) == ("/v1.0/$batch", 200, None)
    recorded = [(item.item_id, item.method, item.path, item.status) for item in envelope.items]
    assert recorded == [
        ("a", "GET", "/v1.0/users/nobody@contoso.com", 404),
        ("b", "PATCH", f"/v1.0{ADA}", 204),
        ("c", "GET", f"/v1.0{ADA}", 424),
    ]
    assert envelope.items[0].query["$select"] == "id"
    assert emulator.requests.items(path=f"/v1.0{ADA}", method="patch") == [envelope.items[1]]
    assert emulator.requests.count(path=f"/v1.0{ADA}") == 0
    assert "s3cret" not in repr(envelope)
    assert envelope.items[1].headers["cookie"] == "***"
