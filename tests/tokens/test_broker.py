"""One token request per key, however many callers; no caller suffers for another."""

from __future__ import annotations

import anyio
import pytest

from entra_async.errors import AuthenticationError, ClosedError
from entra_async.testing import Emulator
from entra_async.tokens.broker import Broker
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token
from tests.support.virtual_clock import VirtualClock

KEY = TokenKey("https://login.example", "contoso.com", "ClientSecret#1", ("https://graph.example/.default",))


class Source:
    """A token source that responds once ``go`` is set; records its requests."""

    def __init__(self, clock: VirtualClock, *, life_s: float = 3600) -> None:
        self.clock = clock
        self.life_s = life_s
        self.requests: list[str | None] = []
        self.cancelled = 0
        self.error: Exception | None = None
        self.go = anyio.Event()

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        self.requests.append(tenant_id)
        try:
            await self.go.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Token(f"token {len(self.requests)}", int(self.clock.now() + self.life_s))

    async def aclose(self) -> None:
        """Hold nothing."""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def source(clock: VirtualClock) -> Source:
    return Source(clock)


@pytest.fixture
def broker(clock: VirtualClock) -> Broker:
    return Broker(clock=clock)


async def test_ten_thousand_callers_make_one_token_request(emulator: Emulator) -> None:
    """10,000 tasks that all lack the token: one request to Entra ID, and all get the same token."""
    async with emulator.session() as session:
        graph = await session.connect(emulator.client_secret, service="Endpoint")
        emulator.requests.clear()
        tokens: list[str] = []

        async def get_token() -> None:
            tokens.append((await graph.get_token("https://graph.microsoft.com/.default")).token)

        async with anyio.create_task_group() as group:
            for _ in range(10_000):
                group.start_soon(get_token)

    assert len(emulator.token_requests) == 1
    assert len(tokens) == 10_000
    assert len(set(tokens)) == 1


async def test_the_first_caller_may_be_cancelled(emulator: Emulator) -> None:
    """The task that started the request is cancelled before Entra ID responds: the others get its token."""
    emulator.faults.add("/*/oauth2/v2.0/token", service="identity", after=1, delay_s=60)
    async with emulator.session() as session:
        endpoint = await session.connect(emulator.client_secret, service="Endpoint")
        emulator.requests.clear()
        tokens: list[Token] = []

        async def get_token(scope: anyio.CancelScope) -> None:
            with scope:
                tokens.append(await endpoint.get_token("https://graph.microsoft.com/.default"))

        first = anyio.CancelScope()
        async with anyio.create_task_group() as group:
            group.start_soon(get_token, first)
            await anyio.wait_all_tasks_blocked()
            for _ in range(99):
                group.start_soon(get_token, anyio.CancelScope())
            while not emulator.requests:
                await anyio.lowlevel.checkpoint()
            first.cancel()
            await anyio.wait_all_tasks_blocked()
            emulator.clock.move(60)

    assert first.cancelled_caught
    assert len(tokens) == 99
    assert len(emulator.token_requests) == 1


async def test_a_failure_reaches_every_waiter_and_is_not_cached(broker: Broker, source: Source) -> None:
    """Each waiter gets an error of its own, with one cause; the next caller requests anew."""
    source.error = AuthenticationError("no", code="AADSTS7000215")
    errors: list[AuthenticationError] = []

    async def get_token() -> None:
        try:
            await broker.get(KEY, source)
        except AuthenticationError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(get_token)
        await anyio.wait_all_tasks_blocked()
        source.go.set()
    source.error = None
    token = await broker.get(KEY, source)

    assert len(errors) == 100
    assert len({id(error) for error in errors}) == 100
    assert {error.code for error in errors} == {"AADSTS7000215"}
    assert all(error.__cause__ is errors[0].__cause__ for error in errors)
    assert token.token == "token 2"


async def test_different_keys_do_not_wait_for_each_other(broker: Broker, source: Source, clock: VirtualClock) -> None:
    """A slow token service for one tenant holds up no other tenant, scope or claim."""
    quick = Source(clock)
    quick.go.set()
    keys = [
        KEY._replace(tenant_id="fabrikam.com"),
        KEY._replace(account="ClientSecret#2"),
        KEY._replace(scopes=("other",)),
        KEY._replace(claims="{}"),
        KEY._replace(enable_cae=True),
        KEY._replace(authority="https://login.other.example"),
    ]
    async with anyio.create_task_group() as group:
        group.start_soon(broker.get, KEY, source)
        await anyio.wait_all_tasks_blocked()
        for key in keys:
            await broker.get(key, quick)
        source.go.set()

    assert len(quick.requests) == len(keys)
    assert len(source.requests) == 1


async def test_a_request_nobody_waits_for_is_cancelled(broker: Broker, source: Source) -> None:
    """When the last waiter is cancelled, so is the request, and the next caller starts a new one."""
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(broker.get, KEY, source)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    source.go.set()
    token = await broker.get(KEY, source)

    assert source.cancelled == 1
    assert len(source.requests) == 2
    assert token.token == "token 2"


async def test_closing_ends_every_wait(broker: Broker, source: Source) -> None:
    """Callers that wait when the broker is closed get an error, and so do later ones."""
    errors: list[ClosedError] = []

    async def get_token() -> None:
        try:
            await broker.get(KEY, source)
        except ClosedError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(get_token)
        await anyio.wait_all_tasks_blocked()
        await broker.aclose()
    await get_token()

    assert source.cancelled == 1
    assert len(errors) == 2
