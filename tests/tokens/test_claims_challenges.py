"""Rejected tokens and claims challenges: one new token request meets them, and so does each renewal after it."""

from __future__ import annotations

import json

import anyio
import pytest

from entra_async.errors import AuthenticationError
from entra_async.tokens.broker import Broker
from entra_async.tokens.token import Token
from tests.support.scripted_source import KEY, Clock, InteractiveSource, Source, settle

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


async def test_only_the_rejected_token_is_dropped(broker: Broker, source: Source) -> None:
    """A late 401 to a token that was replaced meanwhile does not cost the new one."""
    old = await broker.get(KEY, source)
    assert broker.rejected(KEY, old.token)
    assert not broker.rejected(KEY, old.token)
    new = await broker.get(KEY, source)
    assert not broker.rejected(KEY, old.token)

    assert broker.find(KEY) is new
    assert source.requests == 2
    assert broker.stats.rejected == 1


async def test_demanded_claims_are_part_of_the_next_request(broker: Broker, source: Source) -> None:
    """The claims of a challenge are requested until a token was issued, and not after that."""
    demand = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    old = await broker.get(KEY, source)
    broker.rejected(KEY, old.token, demand)
    source.error = AuthenticationError("away")
    with pytest.raises(AuthenticationError):
        await broker.get(KEY, source)
    source.error = None
    new = await broker.get(KEY, source)
    broker.rejected(KEY, new.token)
    await broker.get(KEY, source)

    assert source.claims == [None, demand, demand, None]


async def test_lasting_claims_are_requested_at_each_renewal(broker: Broker, source: Source, clock: Clock) -> None:
    """Claims that every token needs are requested in the background and after a plain 401 as well; a date is not."""
    old = await broker.get(KEY, source)
    broker.rejected(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    for _ in range(2):
        clock.move(3000)
        await broker.get(KEY, source)
        await settle()
    token = await broker.get(KEY, source)
    broker.rejected(KEY, token.token, DATE)
    token = await broker.get(KEY, source)
    broker.rejected(KEY, token.token)
    await broker.get(KEY, source)

    assert source.claims[:4] == [None, DEMAND, DEMAND, DEMAND]
    assert [json.loads(claims or "") for claims in source.claims[4:]] == [
        {"access_token": {**json.loads(DEMAND)["access_token"], **json.loads(DATE)["access_token"]}},
        json.loads(DEMAND),
    ]


async def test_claims_that_are_no_longer_granted_are_dropped(broker: Broker, source: Source, clock: Clock) -> None:
    """A renewal fails for claims demanded once: the token is requested without them, now and later."""
    old = await broker.get(KEY, source)
    broker.rejected(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    source.refuses = DEMAND
    for _ in range(2):
        clock.move(3000)
        await broker.get(KEY, source)
        await settle()

    assert source.claims == [None, DEMAND, DEMAND, None, None]
    assert (await broker.get(KEY, source)).token == "token 5"


async def test_lasting_claims_survive_an_outage(broker: Broker, source: Source, clock: Clock) -> None:
    """A service that is down has not refused anything: the same claims are requested when it is back."""
    old = await broker.get(KEY, source)
    broker.rejected(KEY, old.token, DEMAND)
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


async def test_old_claims_cause_no_user_interaction(broker: Broker, clock: Clock) -> None:
    """A user whose token has expired signs in for what the service demands now, not for what it demanded once."""
    source = InteractiveSource(clock)
    old = await broker.get(KEY, source)
    broker.rejected(KEY, old.token, DEMAND)
    await broker.get(KEY, source)
    clock.move(4000)
    await broker.get(KEY, source)

    assert source.claims == [None, DEMAND, "silent", None]


async def test_a_token_requested_with_claims_replaces_the_rejected_one(
    broker: Broker, source: Source, clock: Clock
) -> None:
    """An SDK meets a challenge with claims=: callers without them get its token too, and it is renewed with them."""
    await broker.get(KEY, source)
    clock.move(1)
    new = await broker.get(CHALLENGED, source)
    assert broker.find(KEY) is new
    clock.move(3000)
    await broker.get(KEY, source)
    await settle()

    assert source.claims == [None, DEMAND, DEMAND]


async def test_a_token_is_rejected_with_claims_and_without(broker: Broker, source: Source) -> None:
    """A token that is cached under both keys is dropped from both."""
    await broker.get(KEY, source)
    token = await broker.get(CHALLENGED, source)
    assert broker.rejected(KEY, token.token)

    assert broker.find(CHALLENGED) is None
    assert not broker.rejected(CHALLENGED, token.token)
    assert broker.stats.rejected == 1


async def test_a_renewal_without_the_claims_replaces_nothing(broker: Broker, source: Source, clock: Clock) -> None:
    """It was in flight when the claims were demanded, and finishes after the request that has them."""
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


async def test_rejections_are_bounded(clock: Clock, source: Source) -> None:
    """Rejections without a new request do not pile up: the oldest are dropped."""
    broker = Broker(clock=clock, limit=10)
    keys = [KEY._replace(tenant_id=f"tenant {number}") for number in range(12)]
    for key in keys:
        token = await broker.get(key, source)
        broker.rejected(key, token.token, DEMAND)
    source.claims.clear()
    for key in keys:
        await broker.get(key, source)

    assert source.claims == [None, None] + [DEMAND] * 10


async def test_a_request_sent_before_the_rejection_is_superseded(broker: Broker, source: Source, clock: Clock) -> None:
    """A renewal in flight when the token was rejected does not have the claims: nobody waits for it."""
    old = await broker.get(KEY, source)
    clock.move(3000)
    source.go = anyio.Event()
    await broker.get(KEY, source)
    await settle()
    broker.rejected(KEY, old.token, "{}")
    tokens: list[Token] = []

    async def get_token() -> None:
        tokens.append(await broker.get(KEY, source))

    async with anyio.create_task_group() as group:
        group.start_soon(get_token)
        await settle()
        source.go.set()

    assert source.claims == [None, None, "{}"]
    assert tokens[0].token == "token 3"
