"""Many requests in few: each gets its own result, at its place, and is sent no more often than it must be."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
import pytest

from entra_async import Connection, Request, Response, RetryPolicy
from entra_async.errors import (
    APIStatusError,
    ConfigurationError,
    EntraError,
    FailedDependencyError,
    ForbiddenError,
    NotFoundError,
)
from entra_async.testing import Emulator
from tests.support.virtual_clock import VirtualClock

ADA = "users/ada@contoso.com"
NOBODY = "users/nobody@contoso.com"
BATCH = "/v1.0/$batch"
FORMS: list[float | str] = [1, 30, "2.128"]
GRACE: dict[str, Any] = {
    "accountEnabled": True,
    "displayName": "Grace Murray",
    "mailNickname": "grace",
    "userPrincipalName": "grace@contoso.com",
    "passwordProfile": {"password": "Correct-Horse-7"},
}


@pytest.fixture
async def graph(emulator: Emulator) -> AsyncIterator[Connection]:
    async with emulator.session() as session:
        yield await session.connect(emulator.client_secret)


def sizes(emulator: Emulator) -> list[int]:
    """Return how many items each batch held."""
    return [len(record.items) for record in emulator.requests.matching(path=BATCH.replace("$", r"\$"))]


async def test_results_and_errors_in_order(graph: Connection, emulator: Emulator) -> None:
    """Values, lists, nothing and errors stand where their requests stood; errors are those of a single call."""
    results: list[Any] = await graph.batch(
        [
            ADA,
            NOBODY,
            {"path": ADA, "method": "PATCH", "body": {"jobTitle": "Countess"}},
            Request("users", query={"$top": 3}, paging=False),
            Request("users?$top=0", id="x"),
        ]
    )
    with pytest.raises(NotFoundError) as alone:
        await graph.invoke(NOBODY)

    ada, nobody, changed, users, refused = results
    assert ada["givenName"] == "Ada"
    assert isinstance(nobody, NotFoundError)
    assert str(nobody) == str(alone.value)
    assert (nobody.status, nobody.code, nobody.attempts) == (404, alone.value.code, 1)
    assert nobody.request_id
    assert nobody.client_request_id
    assert pickle.loads(pickle.dumps(nobody)).code == nobody.code
    assert changed is None
    assert len(users) == 3
    assert isinstance(refused, APIStatusError)
    assert sizes(emulator) == [5]


async def test_a_thousand_requests_with_throttled_items() -> None:
    """One in ten is answered 429 by itself, in each form of Retry-After: 1,000 right answers, none fetched twice."""
    chance = random.Random(8)
    clock = VirtualClock()
    patient = RetryPolicy(deadline_s=1e6)  # every wait of every item moves the one clock
    async with Emulator(users=1_000) as emulator, emulator.session(clock=clock, retry=patient) as session:
        graph = await session.connect(emulator.client_secret)
        ids = [user["id"] async for user in graph.stream("users", query={"$top": 999, "$select": "id"})]
        chance.shuffle(ids)
        struck = {f"/v1.0/users/{user_id}": chance.randint(1, 3) for user_id in chance.sample(ids, 100)}
        for path, times in struck.items():
            emulator.faults.add(path, throttle=chance.choice(FORMS), times=times)
        results: list[Any] = await graph.batch(f"users/{user_id}" for user_id in ids)
        items = Counter((item.path, item.status) for item in emulator.requests.items())

    assert [user["id"] for user in results] == ids
    for user_id in ids:
        path = f"/v1.0/users/{user_id}"
        assert (items[path, 200], items[path, 429]) == (1, struck.get(path, 0))
    assert max(sizes(emulator)) == 20
    assert emulator.requests.count(path="/v1.0/users/.*") == 0
    assert max(clock.sleeps) >= 29


async def test_a_throttled_item_waits_alone(emulator: Emulator) -> None:
    """Who was not throttled is answered at once; the one that was waits for its own Retry-After, and counts it."""
    emulator.faults.add(f"/v1.0/{ADA}", throttle="2.5")
    clock = VirtualClock()
    async with emulator.session(clock=clock) as session:
        graph = await session.connect(emulator.client_secret)
        results: list[Any] = await graph.batch(
            [Request(ADA, raw=True), Request("groups", query={"$top": 1}, paging=False)]
        )
        ada, others = results

    assert (ada.status, ada.attempts) == (200, 2)
    assert len(others) == 1
    assert clock.sleeps == pytest.approx([2.5], abs=0.1)
    assert sizes(emulator) == [2, 1]


async def test_pages_beyond_the_first_are_followed(graph: Connection, emulator: Emulator) -> None:
    """A collection in a batch is read to its end, with its headers and type, and raw gives the response itself."""

    class User(msgspec.Struct):
        id: str

    query = {"$filter": "endsWith(mail,'@contoso.com')", "$count": True, "$top": 90}
    eventual = {"ConsistencyLevel": "eventual"}
    results: list[Any] = await graph.batch(
        [
            Request("users", query={"$top": 30}, type=list[User]),
            Request("users", query={"$top": 30}, paging=False),
            Request(ADA, raw=True),
            Request("users", query=query, headers=eventual),
        ]
    )
    everyone, first, response, advanced = results

    assert len({user.id for user in everyone}) == len(everyone) == 200
    assert len(first) == 30
    assert isinstance(response, Response)
    assert response.headers["CONTENT-type"].startswith("application/json")
    assert "request-id" in response.headers
    assert advanced == await graph.invoke("users", query=query, headers=eventual)
    assert len(advanced) > 90


async def test_what_is_not_json(graph: Connection) -> None:
    """A text comes as it would alone, and bytes arrive as what they are."""
    results: list[Any] = await graph.batch(
        [
            Request("users/$count", headers={"ConsistencyLevel": "eventual"}, raw=True),
            Request("users", method="POST", body=b"\xff\xd8", content_type="image/jpeg"),
        ]
    )
    count, picture = results

    assert count.text == "200"
    assert isinstance(picture, APIStatusError)
    assert picture.status == 415


async def test_batches_hold_twenty(graph: Connection, emulator: Emulator) -> None:
    """Requests from an async generator go in full batches, and the rest in one that is not."""

    async def paths() -> AsyncIterator[str]:
        for _ in range(45):
            yield ADA

    results: list[Any] = await graph.batch(paths())

    assert len(results) == 45
    assert sorted(sizes(emulator)) == [5, 20, 20]


async def test_batches_stay_below_the_size_limit(graph: Connection, emulator: Emulator) -> None:
    """Bodies of 1.5 MB go two by two, since three would be more than Graph takes."""
    large = {"jobTitle": "x" * 1_500_000}
    results: list[Any] = await graph.batch([Request(ADA, method="PATCH", body=large)] * 3)

    assert all(isinstance(result, APIStatusError) and result.status == 400 for result in results)
    assert sorted(sizes(emulator)) == [1, 2]


async def test_no_requests(graph: Connection, emulator: Emulator) -> None:
    """A batch of nothing is nothing, and sends nothing."""
    assert await graph.batch([]) == []
    assert sizes(emulator) == []


@pytest.mark.parametrize(
    ("requests", "field", "message"),
    [
        (ADA, "requests", "a single request"),
        (Request(ADA), "requests", "a single request"),
        ({"path": ADA}, "requests", "a single request"),
        (7, "requests", "int"),
        ([ADA, 7], "requests", "A request is a int"),
        ([{"url": ADA}], "requests", "without a path"),
        ([{"path": ADA, "retries": 3}], "requests", "'retries'"),
        ([ADA, "../beta/users"], "path", "Request 1 of the batch: path"),
        ([Request(ADA, timeout=0)], "timeout", "timeout"),
        ([Request(ADA, type=cast("Any", object()))], "type", "type"),
        ([Request(ADA, method="POST", body={1j: 2})], "body", "JSON"),
        ([Request(ADA, method="POST", body=[1])], "body", "no object"),
        ([Request(ADA, method="POST", body="{", content_type="application/json")], "body", "no object"),
        ([Request(ADA, method="HEAD")], "method", "HEAD"),
        ([Request("$batch", method="POST", body={})], "path", "A batch cannot hold a batch"),
        ([Request(ADA, service="Azure")], "service", "'Azure'"),
        ([Request(ADA, id="a"), Request(ADA, id="A")], "id", "'A'"),
        ([Request(ADA, depends_on=("b",))], "depends_on", "'b'"),
        (
            [Request(ADA, id="a", depends_on=("b",)), Request(ADA, id="b", depends_on=("a",))],
            "depends_on",
            "depend on each other",
        ),
        ([ADA] * 6_000 + [""], "path", "Request 6000 of the batch"),
    ],
)
async def test_bad_input(graph: Connection, emulator: Emulator, requests: Any, field: str, message: str) -> None:
    """What cannot be sent is named before anything was, however much of the batch is right."""
    with pytest.raises(ConfigurationError) as caught:
        await graph.batch(requests)
    assert message in str(caught.value)
    assert caught.value.field == field
    assert sizes(emulator) == []


async def test_services_without_batches(emulator: Emulator) -> None:
    """A service that knows no $batch says what to use instead."""
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        with pytest.raises(ConfigurationError, match=r"takes no batches.*invoke_many"):
            await endpoint.batch(["machines"])
        with pytest.raises(ConfigurationError, match="takes no batches"):
            endpoint.batching()


async def test_a_session_batches_on_the_connection_named(emulator: Emulator) -> None:
    """session.batch takes the service, and the version of the batch is that of the service."""
    async with emulator.session() as session:
        await session.connect(emulator.client_secret, service=["Graph", "GraphBeta"])
        (ada,) = await session.batch([ADA])
        (beta,) = await session.batch([Request(ADA, service="graphbeta")], service="GraphBeta")

    assert not isinstance(ada, EntraError)
    assert not isinstance(beta, EntraError)
    assert ada["id"] == beta["id"]
    assert [record.path for record in emulator.requests.matching(service="graph")] == [BATCH, "/beta/$batch"]


async def test_a_connection_takes_no_other_service(graph: Connection, emulator: Emulator) -> None:
    """What is meant for another service is not sent to this one."""
    emulator.requests.clear()
    with pytest.raises(ConfigurationError, match="'Azure'"):
        await graph.batch([ADA], service="Azure")
    with pytest.raises(ConfigurationError, match="'Azure'"):
        graph.batching(service="Azure")
    with pytest.raises(ConfigurationError, match="'Azure'"):
        graph.stream("users", service="Azure")

    assert not emulator.requests


async def test_requests_wait_for_those_they_depend_on(graph: Connection, emulator: Emulator) -> None:
    """What depends on another is sent after that has succeeded, whatever the order given, also in any shape."""
    grace = "users/grace@contoso.com"
    results: list[Any] = await graph.batch(
        [
            Request(grace, id="read", depends_on=("CHANGE",)),
            Request(grace, method="PATCH", body={"city": "Arlington"}, id="change", depends_on=("make",)),
            Request("users", method="POST", body=GRACE, id="Make"),
            Request(f"{grace}?$select=city", depends_on=("read", "change")),
        ]
    )
    read, changed, made, both = results

    assert made["displayName"] == "Grace Murray"
    assert changed is None
    assert read["userPrincipalName"] == "grace@contoso.com"
    assert both["city"] == "Arlington"
    assert sizes(emulator) == [1, 1, 1, 1]


async def test_a_chain_longer_than_a_batch(graph: Connection, emulator: Emulator) -> None:
    """Thirty requests, each after the one before, beside forty others that do not wait for them."""
    chain = [Request(ADA, id=f"{n}", depends_on=(f"{n - 1}",) if n else ()) for n in range(30)]
    results: list[Any] = await graph.batch([*chain, *[ADA] * 40])

    assert all(result["givenName"] == "Ada" for result in results)
    assert sorted(sizes(emulator)) == [1] * 30 + [20, 20]


async def test_what_depends_on_a_failure_is_not_sent(graph: Connection, emulator: Emulator) -> None:
    """Followers of a failed request fail without being sent, and name the one they waited for; others go on."""
    results: list[Any] = await graph.batch(
        [
            Request(NOBODY, id="first"),
            Request(ADA, method="DELETE", id="second", depends_on=("first",)),
            Request("groups", depends_on=("second",)),
            ADA,
        ]
    )
    failed, follower, its_follower, other = results

    assert isinstance(failed, NotFoundError)
    assert isinstance(follower, FailedDependencyError)
    assert (follower.depends_on, follower.attempts, follower.method) == ("first", 0, "DELETE")
    assert "'first', which failed (NotFoundError)" in str(follower)
    assert isinstance(its_follower, FailedDependencyError)
    assert its_follower.depends_on == "second"
    assert other["givenName"] == "Ada"
    assert sizes(emulator) == [2]


async def test_a_dependent_waits_until_the_first_has_ended(emulator: Emulator) -> None:
    """A request that is throttled and then succeeds has its followers sent after it, once."""
    emulator.faults.add(f"/v1.0/{ADA}", method="PATCH", throttle=5, times=2)
    async with emulator.session(clock=VirtualClock()) as session:
        graph = await session.connect(emulator.client_secret)
        results: list[Any] = await graph.batch(
            [
                Request(ADA, method="PATCH", body={"city": "Turin"}, id="a"),
                Request(f"{ADA}?$select=city", depends_on=("a",)),
            ]
        )

    assert results[1]["city"] == "Turin"
    sent = [(item.method, item.status) for item in emulator.requests.items()]
    assert sent == [("PATCH", 429), ("PATCH", 429), ("PATCH", 204), ("GET", 200)]


async def test_a_missing_permission_fails_one_item(emulator: Emulator) -> None:
    """Items whose token lacks a permission say so, beside items that succeed."""
    app = emulator.register_app(roles=["User.Read.All"])
    provider = emulator.client_secret.__class__(
        client_id=app.client_id, tenant_id=emulator.tenant_id, client_secret=app.secret
    )
    async with emulator.session() as session:
        graph = await session.connect(provider)
        results: list[Any] = await graph.batch(["groups", ADA, Request(ADA, required_scopes=["Mail.Read"])])

    assert isinstance(results[0], ForbiddenError)
    assert results[1]["givenName"] == "Ada"
    assert isinstance(results[2], EntraError)
    assert len(emulator.requests.items()) == 2


def test_a_request_is_a_value() -> None:
    """A Request survives pickling, equals its like, and shows neither body nor query nor headers."""
    request = Request(ADA, method="POST", body={"password": "canary"}, query={"q": "canary"}, headers={"x": "canary"})
    assert pickle.loads(pickle.dumps(request)) == request
    assert "canary" not in repr(request)
    assert Request("users") == Request("users")
