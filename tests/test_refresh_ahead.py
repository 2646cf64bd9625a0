"""A token that is still good is handed out at once, while a new one is asked for."""

from __future__ import annotations

import json
import time

import anyio
import pytest
from anyio.lowlevel import checkpoint

from entra_async.errors import AuthenticationError, InteractionRequiredError
from entra_async.telemetry import Event, TokenAsked
from entra_async.tokens.broker import Broker
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token

KEY = TokenKey("https://login.example", "contoso.com", "ClientSecret#1", ("https://graph.example/.default",))

DEMAND = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'
DATE = '{"access_token": {"nbf": {"essential": true, "value": "1"}}}'
CHALLENGED = KEY._replace(claims=DEMAND)


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
        self.refuses: str | None = None
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
        if claims is not None and claims == self.refuses:
            message = "MFA"
            raise InteractionRequiredError(message, status=400)
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
    """The token service is away from minute 40 to the last minute: nobody waits or fails, few questions are put."""
    await broker.get(KEY, source)
    clock.move(2400)
    source.error = AuthenticationError("away", code="AADSTS90033")
    while source.clock.monotonic() < 500 + 3600 - 40:
        assert (await broker.get(KEY, source)).token == "token 1"
        await settle()
        clock.move(1)
    asked_during_outage = source.asked - 1
    source.error = None
    clock.move(20)  # within the last half minute: it is asked once more, and nobody waits for who has just failed
    assert (await broker.get(KEY, source)).token == "token 1"
    await settle()

    assert (await broker.get(KEY, source)).token == f"token {source.asked}"
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


async def test_a_failing_service_is_not_asked_by_each_caller(broker: Broker, source: Source, clock: Clock) -> None:
    """A secret has expired and the last seconds of its token run: a thousand calls get the token, and ask once."""
    await broker.get(KEY, source)
    source.error = AuthenticationError("expired", code="AADSTS7000222")
    clock.move(3575)
    for _ in range(1000):
        assert (await broker.get(KEY, source)).token == "token 1"
    await settle()

    assert source.asked == 2


async def test_a_hanging_service_is_waited_for_once(broker: Broker, source: Source, clock: Clock) -> None:
    """The first callers of the last half minute wait five seconds for an answer; those who come later do not wait."""
    await broker.get(KEY, source)
    source.go = anyio.Event()
    clock.move(3575)
    waiting: list[Token] = []

    async def wait() -> None:
        waiting.append(await broker.get(KEY, source))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await settle()
        assert not waiting
        clock.move(5)
        with anyio.fail_after(4):  # of real time, of which a caller that waits would take five seconds
            for _ in range(1000):
                assert (await broker.get(KEY, source)).token == "token 1"
        source.go.set()

    assert waiting[0].token == "token 2"
    assert source.asked == 2


async def test_a_cancelled_caller_of_the_last_moments_leaves_the_question(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """Who waits for a token in the last half minute and is cancelled does not cancel what others will need."""
    await broker.get(KEY, source)
    source.go = anyio.Event()
    clock.move(3575)
    async with anyio.create_task_group() as group:
        group.start_soon(broker.get, KEY, source)
        await settle()
        group.cancel_scope.cancel()
    source.go.set()
    await settle()

    assert (await broker.get(KEY, source)).token == "token 2"
    assert source.asked == 2


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


async def test_a_lasting_demand_is_asked_for_at_each_renewal(broker: Broker, source: Source, clock: Clock) -> None:
    """What every token needs is asked for ahead of its end and after a plain 401 as well; a date is not."""
    old = await broker.get(KEY, source)
    broker.refused(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    for _ in range(2):
        clock.move(3000)
        await broker.get(KEY, source)
        await settle()
    held = await broker.get(KEY, source)
    broker.refused(KEY, held.token, DATE)
    held = await broker.get(KEY, source)
    broker.refused(KEY, held.token)
    await broker.get(KEY, source)

    assert source.claims[:4] == [None, DEMAND, DEMAND, DEMAND]
    assert [json.loads(claims or "") for claims in source.claims[4:]] == [
        {"access_token": {**json.loads(DEMAND)["access_token"], **json.loads(DATE)["access_token"]}},
        json.loads(DEMAND),
    ]


async def test_a_demand_that_is_not_granted_any_more_is_dropped(broker: Broker, source: Source, clock: Clock) -> None:
    """A renewal fails for what was demanded once: the token is had without it, and is asked for without it later."""
    old = await broker.get(KEY, source)
    broker.refused(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    source.refuses = DEMAND
    for _ in range(2):
        clock.move(3000)
        await broker.get(KEY, source)
        await settle()

    assert source.claims == [None, DEMAND, DEMAND, None, None]
    assert (await broker.get(KEY, source)).token == "token 5"


async def test_a_demand_is_kept_through_an_outage(broker: Broker, source: Source, clock: Clock) -> None:
    """A service that is away has not refused anything: it is asked for the same when it is back."""
    old = await broker.get(KEY, source)
    broker.refused(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    source.error = AuthenticationError("away", status=503)
    clock.move(3000)
    await broker.get(KEY, source)
    await settle()
    source.error = None
    clock.move(40)
    await broker.get(KEY, source)
    await settle()

    assert source.claims == [None, DEMAND, DEMAND, DEMAND]


async def test_nobody_is_asked_for_an_old_demand(broker: Broker, clock: Clock) -> None:
    """Whose token is gone is asked for what the service demands now, not for what it demanded once."""
    source = PersonSource(clock)
    old = await broker.get(KEY, source)
    broker.refused(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    clock.move(4000)
    await broker.get(KEY, source)

    assert source.claims == [None, DEMAND, "silent", None]


async def test_a_token_asked_for_with_claims_takes_the_place_of_the_refused_one(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """An SDK answers a challenge with claims=: who asks without gets its token too, and it is renewed with them."""
    await broker.get(KEY, source)
    clock.move(1)
    new = await broker.get(CHALLENGED, source)
    assert broker.find(KEY) is new
    clock.move(3000)
    await broker.get(KEY, source)
    await settle()

    assert source.claims == [None, DEMAND, DEMAND]


async def test_a_token_is_refused_with_claims_and_without(broker: Broker, source: Source) -> None:
    """The token that serves both is forgotten for both."""
    await broker.get(KEY, source)
    token = await broker.get(CHALLENGED, source)
    assert broker.refused(KEY, token.token)

    assert broker.find(CHALLENGED) is None
    assert not broker.refused(CHALLENGED, token.token)
    assert broker.numbers.refused == 1


async def test_a_renewal_that_knew_of_no_claims_replaces_nothing(broker: Broker, source: Source, clock: Clock) -> None:
    """It was under way when the claims were demanded, and answers after the token that has them."""
    await broker.get(KEY, source)
    clock.move(3000)
    go, source.go = source.go, anyio.Event()
    await broker.get(KEY, source)
    await settle()
    late, source.go = source.go, go
    clock.move(1)
    new = await broker.get(CHALLENGED, source)
    late.set()
    await settle()

    assert source.claims == [None, None, DEMAND]
    assert broker.find(KEY) is new


async def test_refusals_are_bounded(clock: Clock, source: Source) -> None:
    """Demands that nobody asks about any more do not pile up: the oldest are forgotten."""
    broker = Broker(clock=clock, limit=10)
    keys = [KEY._replace(tenant_id=f"tenant {number}") for number in range(12)]
    for key in keys:
        token = await broker.get(key, source)
        broker.refused(key, token.token, DEMAND)
    source.claims.clear()
    for key in keys:
        await broker.get(key, source)

    assert source.claims == [None, None] + [DEMAND] * 10


async def test_one_account_is_forgotten(broker: Broker, source: Source) -> None:
    """Of an account everything goes, or one resource; others keep what they have."""
    keys = [KEY._replace(account=account, scopes=(scope,)) for account in ("a", "b") for scope in ("one", "two")]
    for key in keys:
        await broker.get(key, source)
    broker.forget("a", ("one",))
    assert [broker.find(key) is not None for key in keys] == [False, True, True, True]
    broker.forget("a")
    broker.forget("nobody")
    assert [broker.find(key) is not None for key in keys] == [False, False, True, True]


async def test_forgetting_one_of_many_accounts_costs_what_one_costs(clock: Clock, source: Source) -> None:
    """Connections come and go beside 20,000 other accounts: the loop does not stand still for each of them."""

    async def cost_s(others: int) -> float:
        broker = Broker(clock=clock, limit=100_000)
        for number in range(others):
            await broker.get(KEY._replace(account=f"other {number}"), source)
        best_s = float("inf")
        for _ in range(20):
            await broker.get(KEY, source)
            started = time.perf_counter()
            broker.forget(KEY.account)
            best_s = min(best_s, time.perf_counter() - started)
        return best_s

    assert await cost_s(20_000) < 20 * await cost_s(100)  # 200 times as much, if all were looked at


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
