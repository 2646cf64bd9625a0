"""A cached token that is still fresh is returned at once, while a new one is requested."""

from __future__ import annotations

import time

import anyio
import pytest

from entra_async.errors import AuthenticationError
from entra_async.telemetry.events import Event, TokenRequested
from entra_async.tokens.broker import Broker
from entra_async.tokens.token import Token
from tests.support.scripted_source import KEY, Clock, InteractiveSource, Source, settle


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Source:
    return Source(clock)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def broker(clock: Clock, events: list[Event]) -> Broker:
    return Broker(clock=clock, chance=lambda: 0.5, listener=events.append)


async def test_callers_get_the_old_token_while_the_new_one_is_requested(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """From refresh_on, one request is sent, and nobody waits for it."""
    source.refresh_in_s = 1800
    first = await broker.get(KEY, source)
    source.go = anyio.Event()
    clock.move(1799)
    assert broker.find(KEY) is first
    assert source.requests == 1
    clock.move(2)
    for _ in range(100):
        assert await broker.get(KEY, source) is first
    await settle()
    assert source.requests == 2

    source.go.set()
    await settle()

    assert (await broker.get(KEY, source)).token == "token 2"
    assert broker.stats.renewed == 1
    assert broker.stats.misses == 1


async def test_without_refresh_on_it_is_renewed_at_three_quarters_of_its_life(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """A token of an hour is renewed between 39 and 48 minutes, not five minutes before its end."""
    await broker.get(KEY, source)
    clock.move(3600 * 0.65 - 1)
    broker.find(KEY)
    await settle()
    assert source.requests == 1
    clock.move(3600 * 0.15 + 2)
    broker.find(KEY)
    await settle()

    assert source.requests == 2


async def test_an_outage_shorter_than_the_tokens_life_is_not_noticed(
    broker: Broker, source: Source, clock: Clock, events: list[Event]
) -> None:
    """The token service is down from minute 40 to the last minute: nobody waits or fails, few requests are sent."""
    await broker.get(KEY, source)
    clock.move(2400)
    source.error = AuthenticationError("away", code="AADSTS90033")
    while source.clock.monotonic() < 500 + 3600 - 40:
        assert (await broker.get(KEY, source)).token == "token 1"
        await settle()
        clock.move(1)
    requests_during_outage = source.requests - 1
    source.error = None
    clock.move(20)  # within the last half minute: one more request, and nobody waits for a service that just failed
    assert (await broker.get(KEY, source)).token == "token 1"
    await settle()

    assert (await broker.get(KEY, source)).token == f"token {source.requests}"
    assert 3 <= requests_during_outage <= 10
    failed = [event for event in events if isinstance(event, TokenRequested) and event.error is not None]
    assert {event.error for event in failed} == {"AuthenticationError AADSTS90033"}
    assert all(event.reason == "ahead" and event.retry_in_s is not None for event in failed)
    assert failed[0].retry_in_s == 30


async def test_an_error_is_raised_only_when_the_token_has_expired(broker: Broker, source: Source, clock: Clock) -> None:
    """In its last seconds a token is still returned if no other can be had; after them the error is raised."""
    await broker.get(KEY, source)
    source.error = AuthenticationError("away")
    clock.move(3590)
    assert (await broker.get(KEY, source)).token == "token 1"
    clock.move(11)

    with pytest.raises(AuthenticationError, match="away"):
        await broker.get(KEY, source)


async def test_a_failing_service_gets_no_request_from_each_caller(broker: Broker, source: Source, clock: Clock) -> None:
    """A secret has expired and its token is about to: a thousand calls get the token, and make one request."""
    await broker.get(KEY, source)
    source.error = AuthenticationError("expired", code="AADSTS7000222")
    clock.move(3575)
    for _ in range(1000):
        assert (await broker.get(KEY, source)).token == "token 1"
    await settle()

    assert source.requests == 2


async def test_a_hanging_service_is_waited_for_once(broker: Broker, source: Source, clock: Clock) -> None:
    """The first callers of the last half minute wait five seconds for a response; later ones do not wait."""
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
    assert source.requests == 2


async def test_a_cancelled_caller_of_the_last_moments_leaves_the_request(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """A caller that waits in the last half minute and is cancelled does not cancel the request others will need."""
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
    assert source.requests == 2


async def test_a_clock_that_is_set_back_revives_no_token(broker: Broker, source: Source, clock: Clock) -> None:
    """The wall clock goes back an hour: the token still expires after its hour."""
    await broker.get(KEY, source)
    clock.wall_s -= 3600
    clock.move(3601)
    token = await broker.get(KEY, source)

    assert token.token == "token 2"


async def test_a_token_expires_while_the_machine_sleeps(broker: Broker, source: Source, clock: Clock) -> None:
    """The monotonic clock stood still for two hours: the token has expired all the same."""
    await broker.get(KEY, source)
    clock.wall_s += 7200

    assert broker.find(KEY) is None
    assert (await broker.get(KEY, source)).token == "token 2"


async def test_a_background_renewal_causes_no_user_interaction(broker: Broker, clock: Clock) -> None:
    """A renewal ahead of expiry fails without it; a caller that has no valid token left causes it."""
    source = InteractiveSource(clock)
    await broker.get(KEY, source)
    clock.move(3500)
    assert (await broker.get(KEY, source)).token == "token 1"
    await settle()
    assert source.claims == [None, "silent"]
    clock.move(101)
    token = await broker.get(KEY, source)

    assert source.claims == [None, "silent", None]
    assert token.token == "token 3"


async def test_a_background_renewal_outlives_a_cancelled_caller(broker: Broker, source: Source, clock: Clock) -> None:
    """A caller that waits for a background renewal and is cancelled does not cancel it."""
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

    assert source.requests == 2
    assert (await broker.get(KEY, source)).token == "token 2"


async def test_one_account_is_forgotten(broker: Broker, source: Source) -> None:
    """All tokens of an account are dropped, or those of one resource; other accounts keep theirs."""
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


async def test_never_more_tokens_than_the_limit(clock: Clock, source: Source) -> None:
    """Room is made for new tokens: expired ones are evicted first, then the least recently used."""
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
    assert broker.stats.cached <= 10
    assert broker.stats.evicted >= 2
