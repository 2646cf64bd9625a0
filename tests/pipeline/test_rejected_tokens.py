"""A service rejects a token: a new one is requested once, and every request is sent again once."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import pytest

from entra_async import MemoryStore, StaticToken
from entra_async.errors import AuthenticationError, UnauthorizedError
from entra_async.telemetry.events import TokenRejected

if TYPE_CHECKING:
    from entra_async import Connection
    from entra_async.telemetry.events import Event
    from entra_async.testing import Emulator
    from entra_async.testing.entra.tokens.access_evaluation import ChallengeForm


async def call_often(graph: Connection, count: int) -> list[object]:
    """Return the results of so many calls at once."""
    results: list[object] = []

    async def call() -> None:
        try:
            results.append(await graph.invoke("users?$top=1", paging=False))
        except (UnauthorizedError, AuthenticationError) as error:
            results.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(call)
    return results


@pytest.mark.parametrize("challenged", [False, True])
async def test_five_hundred_401s_cost_one_token_request(emulator: Emulator, *, challenged: bool) -> None:
    """500 requests get a 401 at once: one token request, each request sent again once, 500 successes."""
    events: list[Event] = []
    async with emulator.session(listener=events.append) as session:
        graph = await session.connect(emulator.client_secret)
        if challenged:
            emulator.revoke_sessions(emulator.app)
        else:
            emulator.access_evaluation.reject_tokens()
        emulator.requests.clear()
        results = await call_often(graph, 500)
        stats = session.token_stats

    assert all(isinstance(result, list) for result in results)
    assert len(emulator.token_requests) == 1
    statuses = Counter(each.status for each in emulator.requests.matching(service="graph"))
    assert statuses[200] == 500
    assert statuses[401] <= 500
    assert stats.rejected == 1
    rejections = [event for event in events if isinstance(event, TokenRejected)]
    assert [event.first for event in rejections].count(True) == 1
    assert all(event.claims is challenged for event in rejections)


@pytest.mark.parametrize("form", ["plain", "for_urls", "beside_others", "two_lines", "session_revoked"])
async def test_a_claims_challenge_is_met_in_every_form(emulator: Emulator, form: ChallengeForm) -> None:
    """Only a token that was requested with the service's claims is accepted, and the caller notices nothing."""
    emulator.access_evaluation.challenge_form = form
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.access_evaluation.require_authentication_context("c1")
        emulator.requests.clear()
        assert await graph.invoke("users?$top=1", paging=False)

    requested = [each.form["claims"] for each in emulator.token_requests]
    assert len(requested) == 1
    assert '"acrs"' in requested[0]
    assert '"xms_cc"' in requested[0]


async def test_claims_demanded_once_are_requested_ahead(emulator: Emulator) -> None:
    """After each renewal in the background every request is taken at once: no 401 for each token's life."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.access_evaluation.require_authentication_context("c1")
        await graph.invoke("users?$top=1", paging=False)
        for _ in range(2):
            emulator.requests.clear()
            assert graph.token is not None
            old = graph.token.token
            emulator.clock.move(0.85 * (graph.token.expires_on - emulator.clock.now()))
            await graph.get_token()
            while graph.token is None or graph.token.token == old:
                await anyio.lowlevel.checkpoint()
            await call_often(graph, 10)
            assert {each.status for each in emulator.requests.matching(service="graph")} == {200}
            assert len(emulator.token_requests) == 1


async def test_sessions_of_one_store_meet_a_challenge_together(emulator: Emulator) -> None:
    """Ten Sessions are challenged at once: one asks with the claims, and the others take what it got."""
    store = MemoryStore(now=emulator.clock.now)
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(emulator.session(store=store)) for _ in range(10)]
        for session in sessions:
            await session.connect(emulator.client_secret)
        assert len(emulator.token_requests) == 1
        emulator.revoke_sessions(emulator.app)
        emulator.requests.clear()
        async with anyio.create_task_group() as group:
            for session in sessions:
                group.start_soon(session.invoke, "users/ada@contoso.com")

    assert len(emulator.token_requests) == 1
    assert Counter(each.status for each in emulator.requests.matching(service="graph")) == {401: 10, 200: 10}


async def test_a_rejected_token_of_the_store_is_not_used_for_its_claims(emulator: Emulator) -> None:
    """A new start takes a challenged token from the store; rejected as well, it is requested anew with its claims."""
    store = MemoryStore(now=emulator.clock.now)
    emulator.access_evaluation.require_authentication_context("c1")
    for _ in range(2):
        async with emulator.session(store=store) as session:
            graph = await session.connect(emulator.client_secret)
            emulator.requests.clear()
            assert await graph.invoke("users?$top=1", paging=False)
    assert not emulator.token_requests
    emulator.access_evaluation.reject_tokens()
    async with emulator.session(store=store) as session:
        graph = await session.connect(emulator.client_secret)
        assert await graph.invoke("users?$top=1", paging=False)

    assert ['"acrs"' in each.form["claims"] for each in emulator.token_requests] == [True]


async def test_a_challenge_met_by_an_sdk_serves_every_caller(emulator: Emulator) -> None:
    """After get_token(claims=…) nobody is handed the token that was refused."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.access_evaluation.reject_tokens()
        emulator.requests.clear()
        new = await graph.get_token(claims='{"access_token": {"nbf": {"essential": true, "value": "1"}}}')
        assert await graph.get_token() is new
        await graph.invoke("users?$top=1", paging=False)

    assert {each.status for each in emulator.requests} == {200}


async def test_a_second_401_surfaces(emulator: Emulator) -> None:
    """A service that rejects the new token as well gets no third request."""
    emulator.faults.add("/v1.0/users", status=401, times=None)
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.requests.clear()
        with pytest.raises(UnauthorizedError) as caught:
            await graph.invoke("users?$top=1")

    assert caught.value.attempts == 2
    assert len(emulator.requests.matching(service="graph")) == 2
    assert len(emulator.token_requests) == 1


async def test_the_same_token_is_not_sent_again(emulator: Emulator) -> None:
    """Who has nothing else to offer does not try again."""
    async with emulator.session() as session:
        token = await (await session.connect(emulator.client_secret)).get_token()
        graph = await session.connect(StaticToken(token=token.token))
        emulator.access_evaluation.reject_tokens()
        emulator.requests.clear()
        with pytest.raises(UnauthorizedError):
            await graph.invoke("users?$top=1")

    assert len(emulator.requests.matching(service="graph")) == 1


async def test_a_write_is_sent_again_as_it_was(emulator: Emulator) -> None:
    """401 says that nothing was done: a POST is sent again, body and all, once."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.revoke_sessions(emulator.app)
        name = f"grace@{emulator.domain}"
        body = {
            "accountEnabled": True,
            "displayName": "Grace",
            "mailNickname": "grace",
            "userPrincipalName": name,
            "passwordProfile": {"password": "correct horse 1 Battery"},
        }
        user = await graph.invoke("users", method="POST", body=body)

    assert user["userPrincipalName"] == name
    assert [each.status for each in emulator.requests.matching(service="graph", method="POST")] == [401, 201]


async def test_the_token_services_error_reaches_every_caller(emulator: Emulator) -> None:
    """The app was revoked and may not sign in any more: each caller gets the reason, after one token request."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.revoke_sessions(emulator.app)
        emulator.faults.add("/*/oauth2/v2.0/token", service="identity", status=400, body={"error": "invalid_grant"})
        emulator.requests.clear()
        results = await call_often(graph, 50)

    assert all(isinstance(result, AuthenticationError) for result in results)
    assert len(emulator.token_requests) == 1


async def test_the_claims_challenge_is_in_the_error(emulator: Emulator) -> None:
    """Where only a user can meet it, the error has the claims to request."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.access_evaluation.require_authentication_context("c1")
        emulator.faults.add(
            "/*/oauth2/v2.0/token", service="identity", status=400, body={"error": "interaction_required"}
        )
        with pytest.raises(AuthenticationError) as caught:
            await graph.invoke("users?$top=1")

    assert caught.value.claims is not None
    assert '"acrs"' in caught.value.claims


async def test_a_cancelled_caller_leaves_the_renewal_to_the_others(emulator: Emulator) -> None:
    """One of many refused callers is cancelled while the new token is on its way: the others go on."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.access_evaluation.reject_tokens()
        emulator.faults.add("/*/oauth2/v2.0/token", service="identity", delay_s=60)
        emulator.requests.clear()
        results: list[object] = []
        scope = anyio.CancelScope()

        async def be_cancelled() -> None:
            with scope:
                await graph.invoke("users?$top=1", paging=False)

        async def call() -> None:
            results.extend(await call_often(graph, 20))

        async with anyio.create_task_group() as group:
            group.start_soon(be_cancelled)
            group.start_soon(call)
            while not emulator.token_requests:
                await anyio.lowlevel.checkpoint()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            emulator.clock.move(60)

    assert scope.cancelled_caught
    assert [type(result) for result in results] == [list] * 20
    assert len(emulator.token_requests) == 1
