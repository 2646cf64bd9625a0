"""What services refuse and demand: one new question, which asks for it, and so does each renewal after it."""

from __future__ import annotations

import json

import anyio
import pytest

from entra_async.errors import AuthenticationError
from entra_async.tokens.broker import Broker
from entra_async.tokens.token import Token
from tests.support.scripted_source import KEY, Clock, PersonSource, Source, settle

DEMAND = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'
DATE = '{"access_token": {"nbf": {"essential": true, "value": "1"}}}'
CHALLENGED = KEY._replace(claims=DEMAND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Source:
    return Source(clock)


@pytest.fixture
def broker(clock: Clock) -> Broker:
    return Broker(clock=clock, chance=lambda: 0.5)


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
