"""A token that is still good is handed out at once, while a new one is asked for."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint

from entra_async.errors import AuthenticationError, InteractionRequiredError
from entra_async.telemetry import Event, TokenAsked
from entra_async.tokens.broker import Broker
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token

KEY = TokenKey("https://login.example", "contoso.com", "ClientSecret#1", ("https://graph.example/.default",))


class Clock:
    """Two clocks that a test moves, together or each on its own."""

    def __init__(self) -> None:
        self.wall_s = 1_800_000_000.0
        self.monotonic_s = 500.0

    def now(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.monotonic_s

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)
        await checkpoint()

    def move(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


class Source:
    """Answers when it is let go, with a token or an error."""

    def __init__(self, clock: Clock, *, life_s: float = 3600, refresh_in_s: float | None = None) -> None:
        self.clock = clock
        self.life_s = life_s
        self.refresh_in_s = refresh_in_s
        self.claims: list[str | None] = []
        self.error: Exception | None = None
        self.go = anyio.Event()
        self.go.set()

    @property
    def asked(self) -> int:
        return len(self.claims)

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        self.claims.append(claims)
        number = self.asked
        await self.go.wait()
        if self.error is not None:
            raise self.error
        now = self.clock.now()
        refresh_on = None if self.refresh_in_s is None else int(now + self.refresh_in_s)
        return Token(f"token {number}", int(now + self.life_s), refresh_on)

    async def aclose(self) -> None:
        """Hold nothing."""


class PersonSource(Source):
    """Can be told not to ask the person."""

    async def renew(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        self.claims.append("silent")
        message = "The refresh token is worth nothing any more."
        raise InteractionRequiredError(message)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Source:
    return Source(clock)


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def broker(clock: Clock, heard: list[Event]) -> Broker:
    return Broker(clock=clock, chance=lambda: 0.5, listener=heard.append)


async def settle() -> None:
    """Let what runs in the background run."""
    await anyio.wait_all_tasks_blocked()
    await checkpoint()


async def test_callers_get_the_old_token_while_the_new_one_is_asked_for(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """From the time the service wishes on, one question is put, and nobody waits for it."""
    source.refresh_in_s = 1800
    first = await broker.get(KEY, source)
    source.go = anyio.Event()
    clock.move(1799)
    assert broker.find(KEY) is first
    assert source.asked == 1
    clock.move(2)
    for _ in range(100):
        assert await broker.get(KEY, source) is first
    await settle()
    assert source.asked == 2

    source.go.set()
    await settle()

    assert (await broker.get(KEY, source)).token == "token 2"
    assert broker.numbers.renewed == 1
    assert broker.numbers.misses == 1


async def test_without_a_wish_it_is_renewed_at_three_quarters_of_its_life(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """A token of an hour is renewed between 39 and 48 minutes, not five minutes before its end."""
    await broker.get(KEY, source)
    clock.move(3600 * 0.65 - 1)
    broker.find(KEY)
    await settle()
    assert source.asked == 1
    clock.move(3600 * 0.15 + 2)
    broker.find(KEY)
    await settle()

    assert source.asked == 2


async def test_an_outage_shorter_than_the_tokens_life_is_not_noticed(
    broker: Broker, source: Source, clock: Clock, heard: list[Event]
) -> None:
    """The token service is away from minute 40 to the last minute: every caller is served, few questions are put."""
    await broker.get(KEY, source)
    clock.move(2400)
    source.error = AuthenticationError("away", code="AADSTS90033")
    while source.clock.monotonic() < 500 + 3600 - 40:
        assert (await broker.get(KEY, source)).token == "token 1"
        await settle()
        clock.move(1)
    asked_during_outage = source.asked - 1
    source.error = None
    clock.move(20)  # within the last half minute: callers wait now
    token = await broker.get(KEY, source)

    assert token.token == f"token {source.asked}"
    assert 3 <= asked_during_outage <= 10
    failed = [event for event in heard if isinstance(event, TokenAsked) and event.error is not None]
    assert {event.error for event in failed} == {"AuthenticationError AADSTS90033"}
    assert all(event.reason == "ahead" and event.retry_in_s is not None for event in failed)
    assert failed[0].retry_in_s == 30


async def test_an_error_is_fatal_only_when_the_token_is_gone(broker: Broker, source: Source, clock: Clock) -> None:
    """In its last seconds a token still serves whoever could not get another; after them the error is raised."""
    await broker.get(KEY, source)
    source.error = AuthenticationError("away")
    clock.move(3590)
    assert (await broker.get(KEY, source)).token == "token 1"
    clock.move(11)

    with pytest.raises(AuthenticationError, match="away"):
        await broker.get(KEY, source)


async def test_a_clock_that_is_set_back_revives_no_token(broker: Broker, source: Source, clock: Clock) -> None:
    """The wall clock goes back an hour: the token still dies after the hour that it has."""
    await broker.get(KEY, source)
    clock.wall_s -= 3600
    clock.move(3601)
    token = await broker.get(KEY, source)

    assert token.token == "token 2"


async def test_a_machine_that_slept_holds_no_living_token(broker: Broker, source: Source, clock: Clock) -> None:
    """The monotonic clock stood still for two hours: the token is known to be dead all the same."""
    await broker.get(KEY, source)
    clock.wall_s += 7200

    assert broker.find(KEY) is None
    assert (await broker.get(KEY, source)).token == "token 2"


async def test_nobody_is_asked_in_the_background(broker: Broker, clock: Clock) -> None:
    """A refresh ahead that only a person could help goes on without him; whoever has no token left asks him."""
    source = PersonSource(clock)
    await broker.get(KEY, source)
    clock.move(3500)
    assert (await broker.get(KEY, source)).token == "token 1"
    await settle()
    assert source.claims == [None, "silent"]
    clock.move(101)
    token = await broker.get(KEY, source)

    assert source.claims == [None, "silent", None]
    assert token.token == "token 3"


async def test_what_was_begun_for_nobody_goes_on_when_a_caller_gives_up(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """A caller that waits for a refresh ahead and is cancelled does not cancel the refresh."""
    await broker.get(KEY, source)
    source.go = anyio.Event()
    clock.move(3400)
    await broker.get(KEY, source)
    await settle()
    clock.move(201)
    async with anyio.create_task_group() as group:
        group.start_soon(broker.get, KEY, source)
        await settle()
        group.cancel_scope.cancel()
    source.go.set()
    await settle()

    assert source.asked == 2
    assert (await broker.get(KEY, source)).token == "token 2"


async def test_only_the_refused_token_is_forgotten(broker: Broker, source: Source) -> None:
    """A late 401 to a token that was replaced meanwhile does not cost the new one."""
    old = await broker.get(KEY, source)
    assert broker.refused(KEY, old.token)
    assert not broker.refused(KEY, old.token)
    new = await broker.get(KEY, source)
    assert not broker.refused(KEY, old.token)

    assert broker.find(KEY) is new
    assert source.asked == 2
    assert broker.numbers.refused == 1


async def test_a_demand_is_part_of_the_next_question(broker: Broker, source: Source) -> None:
    """What the service demanded is asked for until a token came, and not after that."""
    demand = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    old = await broker.get(KEY, source)
    broker.refused(KEY, old.token, demand)
    source.error = AuthenticationError("away")
    with pytest.raises(AuthenticationError):
        await broker.get(KEY, source)
    source.error = None
    new = await broker.get(KEY, source)
    broker.refused(KEY, new.token)
    await broker.get(KEY, source)

    assert source.claims == [None, demand, demand, None]


async def test_a_question_put_before_the_refusal_is_put_again(broker: Broker, source: Source, clock: Clock) -> None:
    """A refresh that was under way when the token was refused knew nothing of the demand: it is not waited for."""
    old = await broker.get(KEY, source)
    clock.move(3000)
    source.go = anyio.Event()
    await broker.get(KEY, source)
    await settle()
    broker.refused(KEY, old.token, "{}")
    tokens: list[Token] = []

    async def ask() -> None:
        tokens.append(await broker.get(KEY, source))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await settle()
        source.go.set()

    assert source.claims == [None, None, "{}"]
    assert tokens[0].token == "token 3"


async def test_never_more_tokens_than_the_limit(clock: Clock, source: Source) -> None:
    """Room is made for new tokens: the expired go first, then those that were not used for longest."""
    broker = Broker(clock=clock, limit=10)
    short = Source(clock, life_s=60)
    keys = [KEY._replace(tenant_id=f"tenant {number}") for number in range(12)]
    await broker.get(keys[0], short)
    for key in keys[1:10]:
        clock.move(10)
        await broker.get(key, source)
    clock.move(1)
    broker.find(keys[1])
    clock.move(1)
    await broker.get(keys[10], source)
    assert broker.peek(keys[0]) is None  # expired
    assert all(broker.peek(key) is not None for key in keys[1:11])
    clock.move(1)
    await broker.get(keys[11], source)

    assert broker.peek(keys[1]) is not None  # used a moment ago
    assert broker.peek(keys[2]) is None
    assert broker.numbers.held <= 10
    assert broker.numbers.evicted >= 2
