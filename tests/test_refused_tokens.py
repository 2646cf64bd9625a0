"""A service refuses a token: one new one is asked for, and every request is sent again once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import anyio
import pytest

from entra_async import StaticToken
from entra_async.errors import AuthenticationError, UnauthorizedError
from entra_async.telemetry import TokenRefused

if TYPE_CHECKING:
    from entra_async import Connection
    from entra_async.telemetry import Event
    from entra_async.testing import Emulator
    from entra_async.testing.access_evaluation import ChallengeForm


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
async def test_five_hundred_refusals_cost_one_token(emulator: Emulator, *, challenged: bool) -> None:
    """500 requests are answered 401 at once: one token request, each request sent again once, 500 successes."""
    heard: list[Event] = []
    async with emulator.session(listener=heard.append) as session:
        graph = await session.connect(emulator.client_secret)
        if challenged:
            emulator.revoke_sessions(emulator.app)
        else:
            emulator.access_evaluation.reject_tokens()
        emulator.requests.clear()
        results = await call_often(graph, 500)
        numbers = session.token_numbers

    assert all(isinstance(result, list) for result in results)
    assert len(emulator.token_requests) == 1
    statuses = Counter(each.status for each in emulator.requests.matching(service="graph"))
    assert statuses[200] == 500
    assert statuses[401] <= 500
    assert numbers.refused == 1
    refusals = [event for event in heard if isinstance(event, TokenRefused)]
    assert [event.first for event in refusals].count(True) == 1
    assert all(event.claims is challenged for event in refusals)


@pytest.mark.parametrize("form", ["plain", "for_urls", "beside_others", "two_lines", "session_revoked"])
async def test_a_demand_is_met_in_whatever_form_it_comes(emulator: Emulator, form: ChallengeForm) -> None:
    """Only a token that was asked for with the service's claims is taken, and the caller notices nothing."""
    emulator.access_evaluation.challenge_form = form
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.access_evaluation.require_authentication_context("c1")
        emulator.requests.clear()
        assert await graph.invoke("users?$top=1", paging=False)

    asked = [each.form["claims"] for each in emulator.token_requests]
    assert len(asked) == 1
    assert '"acrs"' in asked[0]
    assert '"xms_cc"' in asked[0]


async def test_a_second_refusal_surfaces(emulator: Emulator) -> None:
    """A service that refuses the new token as well is not asked a third time."""
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


async def test_what_the_token_service_says_reaches_every_caller(emulator: Emulator) -> None:
    """The app was revoked and may not sign in any more: each caller gets the reason, after one question."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret)
        emulator.revoke_sessions(emulator.app)
        emulator.faults.add("/*/oauth2/v2.0/token", service="identity", status=400, body={"error": "invalid_grant"})
        emulator.requests.clear()
        results = await call_often(graph, 50)

    assert all(isinstance(result, AuthenticationError) for result in results)
    assert len(emulator.token_requests) == 1


async def test_the_demand_is_in_the_error(emulator: Emulator) -> None:
    """Where only a person can meet it, the error carries what to ask for."""
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
